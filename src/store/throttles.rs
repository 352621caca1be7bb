//! Throttles: what an address, a mailbox or an account may still do, and how long an account must wait to log in.
//!
//! Each attempt is one statement that counts and decides at once, so that attempts side by side can't slip through
//! between a check and a count (CVE-2024-4629).

use std::time::Duration;

use super::{Credential, Error, RELAXED, Store, on_each, on_write, users::find};
use crate::domain::{
    identifier::Identifier,
    time::{CLOCK_TOLERANCE, Timestamp, millis},
};

/// How an account's failed logins are held back.
#[derive(Clone, Copy, Debug)]
pub struct AccountAttempt {
    /// Failures that cost nothing.
    pub free: u32,
    /// The wait after the last free failure. It doubles with each further one.
    pub first_delay: Duration,
    /// The longest wait.
    pub longest_delay: Duration,
    /// After this long without an attempt, the failures are forgotten.
    pub memory: Duration,
}

/// $1 the key, $2 now, $3 the interval, $4 the latest time that leaves an allowance, $5 the time past which none can come
/// from counting: the clock was put back, and the allowance is whole.
const TAKE: &str = "INSERT INTO address_throttles (key, full_at) VALUES ($1, $2 + $3) \
    ON CONFLICT (key) DO UPDATE SET full_at = $3 + \
        CASE WHEN address_throttles.full_at > $2 AND address_throttles.full_at <= $5 \
             THEN address_throttles.full_at ELSE $2 END \
    WHERE address_throttles.full_at <= $4 OR address_throttles.full_at > $5 \
    RETURNING full_at";

/// $1 the key, $2 now, $3 since when failures count, $4 the free ones, $5 the first wait, $6 the wait after the very
/// first failure, $7 the longest, $8 the time past which no attempt can have been made: the clock was put back.
const COUNT: &str = "INSERT INTO account_throttles (key, failures, delay, last_at) VALUES ($1, 1, $6, $2) \
    ON CONFLICT (key) DO UPDATE SET \
        failures = CASE WHEN account_throttles.last_at < $3 THEN 1 ELSE account_throttles.failures + 1 END, \
        delay = CASE WHEN account_throttles.last_at < $3 THEN $6 \
                     WHEN account_throttles.failures + 1 < $4 THEN 0 \
                     WHEN account_throttles.delay = 0 THEN $5 \
                     WHEN account_throttles.delay * 2 > $7 THEN $7 \
                     ELSE account_throttles.delay * 2 END, \
        last_at = CASE WHEN account_throttles.last_at > $2 AND account_throttles.last_at <= $8 \
                       THEN account_throttles.last_at ELSE $2 END \
    WHERE account_throttles.delay = 0 OR account_throttles.last_at + account_throttles.delay <= $2 \
        OR account_throttles.last_at > $8 \
    RETURNING failures";

/// What an account has an allowance of, besides its failed logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// Making personal access tokens.
    Tokens,
    /// Changing its password.
    Passwords,
    /// Asking at other emails whether it may move there.
    Moves,
}

impl Telling {
    /// In the order of their keys, in which the sweep goes through them: neither waits for the other with a row of its own.
    const ALL: [Self; 3] = [Self::Moves, Self::Passwords, Self::Tokens];

    /// What the throttle counts it as.
    #[must_use]
    pub fn key(self, user: &str) -> String {
        let of = match self {
            Self::Tokens => "token",
            Self::Passwords => "password",
            Self::Moves => "move",
        };
        format!("{of}:{user}")
    }

    /// All that is counted of one account.
    pub(super) fn keys(user: &str) -> [String; 3] {
        Self::ALL.map(|telling| telling.key(user))
    }
}

/// Forgets what an account that is gone did.
macro_rules! forget_counts {
    ($tx:ident, $user:expr) => {{
        sqlx::query("DELETE FROM account_throttles WHERE key = $1").bind($user).execute(&mut *$tx).await?;
        for key in $crate::store::throttles::Telling::keys($user) {
            sqlx::query("DELETE FROM address_throttles WHERE key = $1").bind(key).execute(&mut *$tx).await?;
        }
    }};
}

pub(super) use forget_counts;

// Both fetch all rows, though there is one at the most: SQLite commits a statement that stands alone when its rows have
// been read to their end, and only then can say that it failed.

/// One of an allowance, by the generic cell rate algorithm (ITU-T I.371): one statement that counts and
/// decides at once.
macro_rules! take {
    ($tx:ident, $key:expr, $rule:expr, $now:expr) => {{
        let (rule, now): (Allowance, Timestamp) = ($rule, $now);
        let whole = rule.interval.saturating_mul(rule.burst);
        let latest = now.plus(whole.saturating_sub(rule.interval));
        let taken: Vec<i64> = sqlx::query_scalar(TAKE)
            .bind($key)
            .bind(now.as_millis())
            .bind(millis(rule.interval))
            .bind(latest.as_millis())
            .bind(now.plus(whole).plus(CLOCK_TOLERANCE).as_millis())
            .fetch_all(&mut *$tx)
            .await?;
        if taken.is_empty() {
            let sql = "SELECT full_at FROM address_throttles WHERE key = $1";
            let full_at: i64 = sqlx::query_scalar(sql).bind($key).fetch_one(&mut *$tx).await?;
            Err(Timestamp::from_millis(full_at).since(latest))
        } else {
            Ok(())
        }
    }};
}

/// One attempt on an account, counted in one statement that decides at once.
macro_rules! count {
    ($tx:ident, $key:expr, $rule:expr, $now:expr) => {{
        let (rule, now): (AccountAttempt, Timestamp) = ($rule, $now);
        let first = millis(rule.first_delay);
        let counted: Vec<i64> = sqlx::query_scalar(COUNT)
            .bind($key)
            .bind(now.as_millis())
            .bind(now.minus(rule.memory).as_millis())
            .bind(i64::from(rule.free))
            .bind(first)
            .bind(if rule.free <= 1 { first } else { 0 })
            .bind(millis(rule.longest_delay))
            .bind(now.plus(CLOCK_TOLERANCE).as_millis())
            .fetch_all(&mut *$tx)
            .await?;
        if counted.is_empty() {
            let sql = "SELECT last_at + delay FROM account_throttles WHERE key = $1";
            let until: i64 = sqlx::query_scalar(sql).bind($key).fetch_one(&mut *$tx).await?;
            Err(Timestamp::from_millis(until).since(now))
        } else {
            Ok(())
        }
    }};
}

/// An allowance that comes back: so many at once, and then one each interval.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    /// So many at once.
    pub burst: u32,
    /// The time in which one comes back.
    pub interval: Duration,
}

/// A login that is about to be tried.
#[derive(Clone, Copy, Debug)]
pub struct LoginAttempt<'a> {
    /// What its address counts as.
    pub address: &'a str,
    /// Whose account it is about.
    pub identifier: &'a Identifier,
    /// What that counts as if it is nobody's.
    pub ghost: &'a str,
}

/// Whether an attempt may be made, or how long to wait until it may.
pub type Verdict = Result<(), Duration>;

/// What became of a login that is about to be tried.
#[derive(Debug)]
pub enum LoginCount {
    /// It is counted and may be tried, on this account if there is one.
    Counted(Option<Credential>),
    /// Its address must wait so long. Nothing is counted.
    AddressHeld(Duration),
    /// The account must wait so long. The attempt is counted on the address alone.
    AccountHeld(Duration),
}

impl Store {
    /// Takes one of the allowance of an address, an account or a mailbox. When it is used up, nothing is counted.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn take_allowance(&self, key: &str, rule: Allowance, now: Timestamp) -> Result<Verdict, Error> {
        Ok(on_write!(self, RELAXED, tx => take!(tx, key, rule, now)))
    }

    /// Looks an account up, takes one of the address's allowance and, if there was one, counts a login of the account as
    /// failed before it is tried; a success takes that count back ([`Store::begin_session`]). An account that must wait
    /// is not counted. If the database fails in the middle, the attempt may have been counted on its address alone.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn count_login(
        &self,
        attempt: LoginAttempt<'_>,
        (of_address, of_account): (Allowance, AccountAttempt),
        now: Timestamp,
    ) -> Result<LoginCount, Error> {
        Ok(on_each!(self, RELAXED, tx => {
            let known = find!(tx, attempt.identifier);
            let account = known.as_ref().map_or(attempt.ghost, |known| &known.user.id);
            match take!(tx, attempt.address, of_address, now) {
                Err(wait) => LoginCount::AddressHeld(wait),
                Ok(()) => match count!(tx, account, of_account, now) {
                    Err(wait) => LoginCount::AccountHeld(wait),
                    Ok(()) => LoginCount::Counted(known),
                },
            }
        }))
    }
}
