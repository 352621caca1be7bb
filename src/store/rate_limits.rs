//! Rate limits: what an address, a mailbox or an account may still do, and how long an account must wait to log in.
//!
//! An allowance is taken in one statement that counts and decides at once, so that attempts side by side can't slip through
//! between a check and a count (CVE-2024-4629). A login is counted in two: it is reserved before its password is compared,
//! and settled afterwards, as failed or as right.

use std::time::Duration;

use super::{Credential, CredentialRow, Error, NameKey, RELAXED, Store, on_each, on_write, users::find_for_login};
use crate::domain::{
    identifier::Identifier,
    time::{CLOCK_TOLERANCE, Timestamp, millis},
};

/// How an account's failed logins are held back.
#[derive(Clone, Copy, Debug)]
pub struct LoginBackoff {
    /// Failures that cost nothing.
    pub free: u32,
    /// The wait after the last free failure. It doubles with each further one.
    pub first_delay: Duration,
    /// The longest wait.
    pub longest_delay: Duration,
    /// After this long without an attempt, the failures are forgotten.
    pub memory: Duration,
    /// After this long an attempt that was not settled counts as failed: its server has ended.
    pub settled_within: Duration,
}

/// $1 the key, $2 now, $3 the interval, $4 the latest time that leaves an allowance, $5 the time past which none can come
/// from counting: the clock was put back, and the allowance is whole.
const TAKE: &str = "INSERT INTO address_throttles (key, full_at) VALUES ($1, $2 + $3) \
    ON CONFLICT (key) DO UPDATE SET full_at = $3 + \
        CASE WHEN address_throttles.full_at > $2 AND address_throttles.full_at <= $5 \
             THEN address_throttles.full_at ELSE $2 END \
    WHERE address_throttles.full_at <= $4 OR address_throttles.full_at > $5 \
    RETURNING full_at";

/// Reserves an attempt: as many at once as there are free failures left; after those, one at a time, once the wait is over.
/// $1 the key, $2 now, $3 since when failures count, $4 the free ones, $5 when the reservation ends, $6 the time past which no
/// attempt can have been made: the clock was put back.
const RESERVE: &str = "INSERT INTO account_throttles (key, failures, delay, last_at, reserved, reserved_until) \
    VALUES ($1, 0, 0, $2, 1, $5) \
    ON CONFLICT (key) DO UPDATE SET \
        failures = CASE WHEN account_throttles.last_at < $3 THEN 0 ELSE account_throttles.failures END, \
        delay = CASE WHEN account_throttles.last_at < $3 THEN 0 ELSE account_throttles.delay END, \
        last_at = CASE WHEN account_throttles.last_at < $3 THEN $2 ELSE account_throttles.last_at END, \
        reserved = account_throttles.reserved + 1, reserved_until = $5 \
    WHERE account_throttles.failures + account_throttles.reserved < $4 \
        OR (account_throttles.last_at < $3 AND account_throttles.reserved < $4) \
        OR (account_throttles.reserved = 0 AND (account_throttles.last_at + account_throttles.delay <= $2 \
            OR account_throttles.last_at > $6)) \
    RETURNING failures";

/// The wait after one more failure: $2 the free ones, $3 the first wait, $4 the longest.
macro_rules! longer_delay {
    ($failures:literal) => {
        concat!(
            "CASE WHEN ",
            $failures,
            " < $2 THEN 0 WHEN account_throttles.delay = 0 THEN $3 \
              WHEN account_throttles.delay * 2 > $4 THEN $4 ELSE account_throttles.delay * 2 END"
        )
    };
}

/// Settles an attempt as failed. $1 the key, $2 to $4 as above, $5 now, $6 the time past which no attempt can have been made, $7
/// the wait after the very first failure.
const FAIL: &str = concat!(
    "INSERT INTO account_throttles (key, failures, delay, last_at) VALUES ($1, 1, $7, $5) \
     ON CONFLICT (key) DO UPDATE SET failures = account_throttles.failures + 1, delay = ",
    longer_delay!("account_throttles.failures + 1"),
    ", last_at = CASE WHEN account_throttles.last_at > $5 AND account_throttles.last_at <= $6 \
            THEN account_throttles.last_at ELSE $5 END, \
        reserved = CASE WHEN account_throttles.reserved > 0 THEN account_throttles.reserved - 1 ELSE 0 END"
);

/// Counts attempts as failed whose server has ended before it settled them. Parameters as for [`FAIL`], without the last.
const GIVE_UP: &str = concat!(
    "UPDATE account_throttles SET failures = failures + reserved, delay = ",
    longer_delay!("account_throttles.failures + account_throttles.reserved"),
    ", last_at = $5, reserved = 0 WHERE key = $1 AND reserved > 0 AND (reserved_until <= $5 OR reserved_until > $6)"
);

/// What an account has an allowance of, besides its failed logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitedAction {
    /// Making personal access tokens.
    Tokens,
    /// Changing its password.
    Passwords,
    /// Asking at other emails whether it may move there.
    Moves,
}

impl LimitedAction {
    /// All of them.
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

/// The keys of an account's own counts: of its known networks, its sessions, and the links in its mails. $1 the account.
macro_rules! own_counts {
    () => {
        "SELECT key FROM known_networks WHERE user_id = $1 \
         UNION ALL SELECT 'session:' || id FROM sessions WHERE user_id = $1 \
         UNION ALL SELECT 'link:' || id FROM users WHERE id = $1"
    };
}

/// Forgets the failures of those whom an account knows. What strangers are counted under is the name's, and stays: nobody is to
/// learn from it what becomes of the account.
macro_rules! forget_own_failures {
    ($tx:ident, $user:expr) => {{
        use $crate::store::rate_limits::own_counts;
        let sql = concat!("DELETE FROM account_throttles WHERE key IN (", own_counts!(), ")");
        sqlx::query(sql).bind($user).execute(&mut *$tx).await?;
    }};
}

/// Counts strangers' failures under another key as well. Of two counts the stricter of each number stays, so that nobody gets
/// further guesses by it.
macro_rules! inherit_failures {
    ($tx:ident, $inherit:expr) => {{
        let inherit: &$crate::store::Inherit = $inherit;
        let sql = "INSERT INTO account_throttles (key, failures, delay, last_at) \
                   SELECT $2, failures, delay, last_at FROM account_throttles \
                   WHERE key = $1 AND failures > 0 AND last_at >= $3 \
                   ON CONFLICT (key) DO UPDATE SET \
                   failures = CASE WHEN account_throttles.last_at >= $3 AND account_throttles.failures > excluded.failures \
                       THEN account_throttles.failures ELSE excluded.failures END, \
                   delay = CASE WHEN account_throttles.last_at >= $3 AND account_throttles.delay > excluded.delay \
                       THEN account_throttles.delay ELSE excluded.delay END, \
                   last_at = CASE WHEN account_throttles.last_at > excluded.last_at \
                       THEN account_throttles.last_at ELSE excluded.last_at END";
        let query = sqlx::query(sql).bind(&inherit.from).bind(&inherit.to).bind(inherit.since.as_millis());
        query.execute(&mut *$tx).await?;
    }};
}

/// Forgets the failures that are counted under a key.
macro_rules! forget_failures_of {
    ($tx:ident, $key:expr) => {{
        sqlx::query("DELETE FROM account_throttles WHERE key = $1").bind($key).execute(&mut *$tx).await?;
    }};
}

/// Forgets what an account did, before it is deleted.
macro_rules! forget_counts {
    ($tx:ident, $user:expr) => {{
        $crate::store::rate_limits::forget_own_failures!($tx, $user);
        for key in $crate::store::rate_limits::LimitedAction::keys($user) {
            sqlx::query("DELETE FROM address_throttles WHERE key = $1").bind(key).execute(&mut *$tx).await?;
        }
    }};
}

/// Forgets the networks that an account knows, with their counts. Somebody else may have logged in from them.
macro_rules! forget_networks {
    ($tx:ident, $user:expr) => {{
        let user: &str = $user;
        let sql = "DELETE FROM account_throttles WHERE key IN (SELECT key FROM known_networks WHERE user_id = $1)";
        sqlx::query(sql).bind(user).execute(&mut *$tx).await?;
        sqlx::query("DELETE FROM known_networks WHERE user_id = $1").bind(user).execute(&mut *$tx).await?;
    }};
}

pub(super) use {
    forget_counts, forget_failures_of, forget_networks, forget_own_failures, inherit_failures, own_counts,
};

// Both fetch all rows, though there is one at the most: SQLite commits a statement that stands alone when its rows have
// been read to their end, and only then can say that it failed.

/// One of an allowance, by the generic cell rate algorithm (ITU-T I.371): one statement that counts and
/// decides at once.
macro_rules! take {
    ($tx:ident, $key:expr, $rule:expr, $now:expr) => {{
        let (rule, now): (RateLimit, Timestamp) = ($rule, $now);
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

/// Reserves one attempt to log in.
macro_rules! reserve {
    ($tx:ident, $key:expr, $rule:expr, $now:expr) => {{
        let (rule, now): (LoginBackoff, Timestamp) = ($rule, $now);
        let reserved: Vec<i64> = sqlx::query_scalar(RESERVE)
            .bind($key)
            .bind(now.as_millis())
            .bind(now.minus(rule.memory).as_millis())
            .bind(i64::from(rule.free))
            .bind(now.plus(rule.settled_within).as_millis())
            .bind(now.plus(CLOCK_TOLERANCE).as_millis())
            .fetch_all(&mut *$tx)
            .await?;
        if reserved.is_empty() {
            let sql = "SELECT reserved, reserved_until, last_at + delay FROM account_throttles WHERE key = $1";
            let row: Option<(i64, i64, i64)> = sqlx::query_as(sql).bind($key).fetch_optional(&mut *$tx).await?;
            let turn = Turn::of(row, rule, now);
            if turn == Turn::Abandoned {
                sqlx::query(GIVE_UP)
                    .bind($key)
                    .bind(i64::from(rule.free))
                    .bind(millis(rule.first_delay))
                    .bind(millis(rule.longest_delay))
                    .bind(now.as_millis())
                    .bind(now.plus(rule.settled_within).plus(CLOCK_TOLERANCE).as_millis())
                    .execute(&mut *$tx)
                    .await?;
            }
            turn
        } else {
            Turn::Now
        }
    }};
}

/// Settles an attempt whose password was right: its reservation is given back. Where the count is the owner's, its failures are
/// forgotten.
macro_rules! settle_right {
    ($tx:ident, $count:expr) => {{
        let count: &$crate::store::LoginCounter = $count;
        let sql = "DELETE FROM account_throttles WHERE key = $1 AND reserved <= 1 AND (failures = 0 OR $2)";
        let query = sqlx::query(sql).bind(&count.key).bind(count.owners);
        if query.execute(&mut *$tx).await?.rows_affected() == 0 {
            let sql = "UPDATE account_throttles SET reserved = reserved - 1, \
                       failures = CASE WHEN $2 THEN 0 ELSE failures END, delay = CASE WHEN $2 THEN 0 ELSE delay END \
                       WHERE key = $1 AND reserved > 0";
            sqlx::query(sql).bind(&count.key).bind(count.owners).execute(&mut *$tx).await?;
        }
    }};
}

/// Networks that an account knows at the most; the one that was not seen for the longest time gives way.
pub(super) const KNOWN_NETWORKS: i64 = 10;

/// The networks that give way to one, with the failures that were counted for them. Parameters: the one's key, the account, and how
/// many others stay known.
macro_rules! older {
    () => {
        "user_id = $2 AND key <> $1 AND key NOT IN \
         (SELECT key FROM known_networks WHERE user_id = $2 AND key <> $1 ORDER BY seen_at DESC, key LIMIT $3)"
    };
}
pub(super) const FORGET_OLDER: &str = concat!("DELETE FROM known_networks WHERE ", older!());
pub(super) const FORGET_COUNTS_OF_OLDER: &str =
    concat!("DELETE FROM account_throttles WHERE key IN (SELECT key FROM known_networks WHERE ", older!(), ")");

/// Notes that an account knows a network.
macro_rules! know_network {
    ($tx:ident, $user:expr, $key:expr, $now:expr) => {{
        let (key, user, most): (&str, &str, i64) = ($key, $user, $crate::store::rate_limits::KNOWN_NETWORKS);
        let sql = "INSERT INTO known_networks (key, user_id, seen_at) VALUES ($1, $2, $3) \
                   ON CONFLICT (key) DO UPDATE SET seen_at = $3 \
                   RETURNING (SELECT COUNT(*) FROM known_networks WHERE user_id = $2 AND key <> $1)";
        let query = sqlx::query_scalar(sql).bind(key).bind(user).bind($now.as_millis());
        let others: i64 = query.fetch_one(&mut *$tx).await?;
        if others >= most {
            for sql in [$crate::store::rate_limits::FORGET_COUNTS_OF_OLDER, $crate::store::rate_limits::FORGET_OLDER] {
                sqlx::query(sql).bind(key).bind(user).bind(most - 1).execute(&mut *$tx).await?;
            }
        }
    }};
}

/// Makes the network known where somebody proved that the account is theirs, with no failures. Logins from there succeed, however
/// often strangers guess.
macro_rules! welcome {
    ($tx:ident, $user:expr, $network:expr, $now:expr) => {{
        $crate::store::rate_limits::know_network!($tx, $user, $network, $now);
        $crate::store::rate_limits::forget_failures_of!($tx, $network);
    }};
}

pub(super) use {know_network, settle_right, welcome};

/// An allowance that comes back: so many at once, and then one each interval.
#[derive(Clone, Copy, Debug)]
pub struct RateLimit {
    /// So many at once.
    pub burst: u32,
    /// The time in which one comes back.
    pub interval: Duration,
}

/// What failed logins are counted under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginCounter {
    /// The key of the count.
    pub key: String,
    /// Whether those who are counted here are known to the owner, so that a right password forgets their failures. Strangers' are
    /// not the owner's to forget: they would learn from it that there is an owner.
    pub owners: bool,
}

/// Whom a login is about.
#[derive(Clone, Debug)]
pub enum LoginOf {
    /// The account with a name.
    Named {
        /// The name.
        identifier: Identifier,
        /// The name as it was typed.
        typed: String,
        /// The key under which names are counted.
        names: NameKey,
        /// The hash of the network that it comes from.
        network: String,
        /// Since when a network must have been seen, so that it is known.
        known_since: Timestamp,
    },
    /// An account whose owner is known by something else: a session, or a link in a mail.
    Owner {
        /// The account's email, which it is found by.
        identifier: Identifier,
        /// What failures are counted under.
        counter: LoginCounter,
    },
}

/// Whether an attempt may be made, or how long to wait until it may.
pub type Verdict = Result<(), Duration>;

/// Whether an attempt to log in may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is reserved, and must be settled.
    Now,
    /// Others are under way. When they are settled it may be its turn.
    Later,
    /// So are others, but their server has ended: they count as failed.
    Abandoned,
    /// Not before this time has passed.
    Wait(Duration),
}

impl Turn {
    /// Why nothing could be reserved: how many are under way, until when, and when the wait ends.
    fn of(row: Option<(i64, i64, i64)>, rule: LoginBackoff, now: Timestamp) -> Self {
        let latest = now.plus(rule.settled_within).plus(CLOCK_TOLERANCE).as_millis();
        match row {
            Some((reserved, until, _)) if reserved > 0 && (until <= now.as_millis() || until > latest) => {
                Self::Abandoned
            }
            Some((0, _, free_at)) if free_at > now.as_millis() => {
                Self::Wait(Timestamp::from_millis(free_at).since(now))
            }
            // Between the two statements another one was settled.
            _ => Self::Later,
        }
    }
}

/// What became of a login that is about to be tried.
#[derive(Debug)]
pub enum LoginCount {
    /// An address or network, by its place among those that were given, must wait so long. The account was not counted.
    AddressLimited(usize, Duration),
    /// The address may.
    Counted(Counted),
}

/// A login that was counted on its address.
#[derive(Debug)]
pub struct Counted {
    /// The account, if there is one.
    pub known: Option<Credential>,
    /// What it is counted under.
    pub counter: LoginCounter,
    /// When the account was last logged in to from this network, if it knows it.
    pub network_seen_at: Option<Timestamp>,
    /// Whether it may be tried.
    pub turn: Turn,
}

/// A row of `users` with what a login must know of it.
#[derive(Debug, sqlx::FromRow)]
pub struct LoginRow {
    #[sqlx(flatten)]
    credential: CredentialRow,
    email_key: String,
    network_seen_at: Option<i64>,
}

/// Of a name that becomes an account's, or stops being one's: strangers' failures that are counted under one key count under
/// another as well from now on. A name that was held back stays so.
#[derive(Clone, Debug)]
pub struct Inherit {
    /// The key under which they are counted.
    pub from: String,
    /// The other key.
    pub to: String,
    /// Since when failures count.
    pub since: Timestamp,
}

/// What strangers' failed logins are counted under, whether there is an account or not: its canonical email, or a name that is
/// nobody's. Somebody may have typed a password there, so no name is kept.
#[must_use]
pub fn strangers_key(names: &NameKey, name: &str) -> String {
    canonical_key(names, &canonical(name, &Identifier::parse(name)))
}

fn canonical_key(names: &NameKey, canonical: &str) -> String {
    names.name("name:", canonical)
}

/// A name in its canonical form: one spelling for all cases and forms, as for real accounts.
fn canonical(typed: &str, parsed: &Identifier) -> String {
    match parsed {
        Identifier::Email(email) => email.key().to_owned(),
        Identifier::Username(username) => username.key().to_owned(),
        Identifier::Invalid => typed.trim().to_lowercase(),
    }
}

/// What a login from a network is counted under, if the account that it is about knows the network.
#[must_use]
pub fn known_key(user: &str, network: &str) -> String {
    format!("known:{user}:{network}")
}

impl LoginOf {
    fn identifier(&self) -> &Identifier {
        match self {
            Self::Named { identifier, .. } | Self::Owner { identifier, .. } => identifier,
        }
    }

    fn network(&self) -> &str {
        match self {
            Self::Named { network, .. } => network,
            Self::Owner { .. } => "",
        }
    }

    /// What is counted, for the account that was found.
    fn counted(&self, row: Option<LoginRow>) -> Counted {
        let row = row.map(|row| (Credential::from(row.credential), row.email_key, row.network_seen_at));
        let (known, email_key, seen_at) = match row {
            Some((known, email_key, seen_at)) => (Some(known), Some(email_key), seen_at),
            None => (None, None, None),
        };
        let (counter, network_seen_at) = match self {
            Self::Owner { counter, .. } => (counter.clone(), None),
            Self::Named { identifier, typed, names, network, known_since } => {
                let seen_at = seen_at.map(Timestamp::from_millis).filter(|seen| seen > known_since);
                let key = match (&known, seen_at, email_key) {
                    (Some(known), Some(_), _) => known_key(&known.user.id, network),
                    (_, _, Some(email_key)) => canonical_key(names, &email_key),
                    _ => canonical_key(names, &canonical(typed, identifier)),
                };
                (LoginCounter { key, owners: seen_at.is_some() }, seen_at)
            }
        };
        Counted { known, counter, network_seen_at, turn: Turn::Later }
    }
}

impl Store {
    /// Takes one of the allowance of an address, an account or a mailbox. When it is used up, nothing is counted.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn take(&self, key: &str, rule: RateLimit, now: Timestamp) -> Result<Verdict, Error> {
        Ok(on_write!(self, RELAXED, tx => take!(tx, key, rule, now)))
    }

    /// Looks an account up, takes one of the allowance of each of an address's networks and, if there was one, reserves an
    /// attempt to log in, unless others wait `in_line` for theirs. What is reserved must be settled: by [`Store::begin_session`], [`Store::settle_right`] or
    /// [`Store::settle_failed`]. If the database fails in the middle, the attempt may have been counted on its address alone.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn count_login(
        &self,
        of: &LoginOf,
        addresses: &[(String, RateLimit)],
        (rule, in_line): (LoginBackoff, &(dyn Fn(&str) -> bool + Sync)),
        now: Timestamp,
    ) -> Result<LoginCount, Error> {
        Ok(on_each!(self, RELAXED, tx => {
            let row = find_for_login!(tx, of.identifier(), of.network());
            let mut held = None;
            for (place, (key, allowance)) in addresses.iter().enumerate() {
                if let Err(wait) = take!(tx, key, *allowance, now) {
                    held = Some(LoginCount::AddressLimited(place, wait));
                    break;
                }
            }
            if let Some(held) = held {
                held
            } else {
                let mut counted = of.counted(row);
                if !in_line(&counted.counter.key) {
                    counted.turn = reserve!(tx, &counted.counter.key, rule, now);
                }
                LoginCount::Counted(counted)
            }
        }))
    }

    /// Reserves an attempt to log in that had to wait for others.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn reserve_login(&self, key: &str, rule: LoginBackoff, now: Timestamp) -> Result<Turn, Error> {
        Ok(on_each!(self, RELAXED, tx => reserve!(tx, key, rule, now)))
    }

    /// Forgets the failed logins that are counted under a key.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn forget_failures(&self, key: &str) -> Result<(), Error> {
        on_each!(self, RELAXED, tx => forget_failures_of!(tx, key));
        Ok(())
    }

    /// Settles an attempt that failed.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn settle_failed(&self, key: &str, rule: LoginBackoff, now: Timestamp) -> Result<(), Error> {
        let first = millis(rule.first_delay);
        on_each!(self, RELAXED, tx => {
            sqlx::query(FAIL)
                .bind(key)
                .bind(i64::from(rule.free))
                .bind(first)
                .bind(millis(rule.longest_delay))
                .bind(now.as_millis())
                .bind(now.plus(CLOCK_TOLERANCE).as_millis())
                .bind(if rule.free <= 1 { first } else { 0 })
                .execute(&mut *tx)
                .await?;
        });
        Ok(())
    }

    /// Settles an attempt whose password was right, where no session begins by it.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn settle_right(&self, counter: &LoginCounter) -> Result<(), Error> {
        on_each!(self, RELAXED, tx => settle_right!(tx, counter));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(typed: &str) -> String {
        strangers_key(&NameKey::new([7; NameKey::LENGTH]), typed)
    }

    #[test]
    fn spellings_of_a_ghost_share_one_count_r88() {
        assert_eq!(key_of("Ghost@Example.org"), key_of(" ghost@example.ORG"));
        assert_eq!(key_of("Ghost"), key_of("gHOST "));
        assert_eq!(key_of("not valid!"), key_of("Not Valid!"));
        assert_ne!(key_of("ghost"), key_of("ghost2"));
    }

    #[test]
    fn a_ghosts_name_is_not_kept_in_the_clear() {
        assert!(!key_of("correct horse battery").contains("horse"));
    }
}
