//! Rate limits for addresses, mailboxes and accounts, and delays after failed logins.
//!
//! A rate limit is checked and counted in one statement, so that concurrent attempts can't slip through between a
//! check and a count (CVE-2024-4629). A login takes two steps: it is reserved before the password is compared, and
//! then settled as failed or as successful.

use std::time::Duration;

use super::{Credential, CredentialRow, Error, NameKey, RELAXED, Store, on_each, on_read, on_write};
use crate::domain::{
    identifier::Identifier,
    time::{CLOCK_TOLERANCE, Timestamp, millis},
};

/// The delays after an account's failed logins.
#[derive(Clone, Copy, Debug)]
pub struct LoginBackoff {
    /// The number of failures without a delay.
    pub free: u32,
    /// The delay after the last free failure. It doubles with each further failure.
    pub first_delay: Duration,
    /// The longest delay.
    pub longest_delay: Duration,
    /// Failures are forgotten after this long without an attempt.
    pub memory: Duration,
    /// An attempt that is not settled after this long is counted as failed, since its server has stopped.
    pub settled_within: Duration,
}

/// $1 the key, $2 now, $3 the interval, $4 the latest `full_at` that permits the request, $5 the highest possible
/// `full_at`. Beyond $5 the clock was put back, and the limit is treated as full.
const TAKE: &str = "INSERT INTO address_throttles (key, full_at) VALUES ($1, $2 + $3) \
    ON CONFLICT (key) DO UPDATE SET full_at = $3 + \
        CASE WHEN address_throttles.full_at > $2 AND address_throttles.full_at <= $5 \
             THEN address_throttles.full_at ELSE $2 END \
    WHERE address_throttles.full_at <= $4 OR address_throttles.full_at > $5 \
    RETURNING full_at";

/// Reserves an attempt. As many can be reserved at once as free failures remain. After those, one at a time, once the
/// delay has passed. $1 the key, $2 now, $3 the time before which failures are forgotten, $4 the free ones, $5 the
/// end of the reservation, $6 the latest possible time of an attempt. Beyond $6 the clock was put back.
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

/// The delay after one more failure: $2 the free ones, $3 the first delay, $4 the longest.
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

/// Settles an attempt as failed. $1 the key, $2 to $4 as above, $5 now, $6 the latest possible time of an attempt, $7
/// the delay after the very first failure.
const FAIL: &str = concat!(
    "INSERT INTO account_throttles (key, failures, delay, last_at) VALUES ($1, 1, $7, $5) \
     ON CONFLICT (key) DO UPDATE SET failures = account_throttles.failures + 1, delay = ",
    longer_delay!("account_throttles.failures + 1"),
    ", last_at = CASE WHEN account_throttles.last_at > $5 AND account_throttles.last_at <= $6 \
            THEN account_throttles.last_at ELSE $5 END, \
        reserved = CASE WHEN account_throttles.reserved > 0 THEN account_throttles.reserved - 1 ELSE 0 END"
);

/// Counts abandoned attempts as failed: their server stopped before it settled them. Parameters as for [`FAIL`],
/// without $7.
const GIVE_UP: &str = concat!(
    "UPDATE account_throttles SET failures = failures + reserved, delay = ",
    longer_delay!("account_throttles.failures + account_throttles.reserved"),
    ", last_at = $5, reserved = 0 WHERE key = $1 AND reserved > 0 AND (reserved_until <= $5 OR reserved_until > $6)"
);

/// Actions that are rate-limited per account, besides failed logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitedAction {
    /// Creating personal access tokens.
    Tokens,
    /// Changing the password.
    Passwords,
    /// Sending confirmation mails to a new address.
    Moves,
}

impl LimitedAction {
    const ALL: [Self; 3] = [Self::Moves, Self::Passwords, Self::Tokens];

    /// The key of the rate limit for a user.
    #[must_use]
    pub fn key(self, user: &str) -> String {
        let of = match self {
            Self::Tokens => "token",
            Self::Passwords => "password",
            Self::Moves => "move",
        };
        format!("{of}:{user}")
    }

    /// The keys of every rate limit of a user.
    pub(super) fn keys(user: &str) -> [String; 3] {
        Self::ALL.map(|action| action.key(user))
    }
}

/// The keys of an account's own counters: for its known networks, its sessions, and the links in its mails. $1 the
/// account.
macro_rules! own_counts {
    () => {
        "SELECT key FROM known_networks WHERE user_id = $1 \
         UNION ALL SELECT 'session:' || id FROM sessions WHERE user_id = $1 \
         UNION ALL SELECT 'link:' || id FROM users WHERE id = $1"
    };
}

/// Forgets the failures in the account's own counters. Strangers' failures belong to the name and remain, so that
/// they don't reveal what happens to the account.
macro_rules! forget_own_failures {
    ($tx:ident, $user:expr) => {{
        use $crate::store::rate_limits::own_counts;
        let sql = concat!("DELETE FROM account_throttles WHERE key IN (", own_counts!(), ")");
        sqlx::query(sql).bind($user).execute(&mut *$tx).await?;
    }};
}

/// Copies strangers' failures to another key. If both keys have failures, the stricter value of each number is
/// stored, so that nobody gains additional guesses.
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

/// Deletes the failures counted under a key.
macro_rules! forget_failures_of {
    ($tx:ident, $key:expr) => {{
        sqlx::query("DELETE FROM account_throttles WHERE key = $1").bind($key).execute(&mut *$tx).await?;
    }};
}

/// Deletes the counters of an account before it is deleted.
macro_rules! forget_counts {
    ($tx:ident, $user:expr) => {{
        $crate::store::rate_limits::forget_own_failures!($tx, $user);
        for key in $crate::store::rate_limits::LimitedAction::keys($user) {
            sqlx::query("DELETE FROM address_throttles WHERE key = $1").bind(key).execute(&mut *$tx).await?;
        }
    }};
}

/// Deletes the known networks of an account and their counters, since someone else may have logged in from them.
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

// `take!` and `reserve!` fetch all rows, though there is at most one. SQLite commits a standalone statement only once
// all its rows have been read, and only then reports a failure.

/// Takes one permit from a rate limit, by the generic cell rate algorithm (ITU-T I.371). One statement checks and
/// counts.
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

/// Settles an attempt with a correct password and releases its reservation. If the counter is the owner's, its
/// failures are forgotten.
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

/// The maximum number of known networks of an account. The one that was not seen for the longest time is replaced.
pub(super) const KNOWN_NETWORKS: i64 = 10;

/// The networks that a new one replaces. Used for their counters, too. Parameters: the new one's key, the account,
/// and how many others stay known.
macro_rules! older {
    () => {
        "user_id = $2 AND key <> $1 AND key NOT IN \
         (SELECT key FROM known_networks WHERE user_id = $2 AND key <> $1 ORDER BY seen_at DESC, key LIMIT $3)"
    };
}
pub(super) const FORGET_OLDER: &str = concat!("DELETE FROM known_networks WHERE ", older!());
pub(super) const FORGET_COUNTS_OF_OLDER: &str =
    concat!("DELETE FROM account_throttles WHERE key IN (SELECT key FROM known_networks WHERE ", older!(), ")");

/// Stores a network as known to an account.
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

/// Stores the network from which the owner proved ownership as known, without failures. Logins from there succeed,
/// however often strangers guess.
macro_rules! welcome {
    ($tx:ident, $user:expr, $network:expr, $now:expr) => {{
        $crate::store::rate_limits::know_network!($tx, $user, $network, $now);
        $crate::store::rate_limits::forget_failures_of!($tx, $network);
    }};
}

pub(super) use {know_network, settle_right, welcome};

/// A rate limit: a burst, and then one request per interval.
#[derive(Clone, Copy, Debug)]
pub struct RateLimit {
    /// The number of requests that are possible at once.
    pub burst: u32,
    /// The time after which one more request is possible.
    pub interval: Duration,
}

/// The counter for failed logins that applies to an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginCounter {
    /// The key of the counter.
    pub key: String,
    /// Whether the counter belongs to clients that the owner knows, so that a correct password resets it. Strangers'
    /// failures are not reset: this would reveal to them that the account has an owner.
    pub owners: bool,
}

/// The account that a login is for.
#[derive(Clone, Debug)]
pub enum LoginOf {
    /// The account with a name.
    Named {
        /// The email or username.
        identifier: Identifier,
        /// The name as typed.
        typed: String,
        /// The key for hashing names in counters.
        names: NameKey,
        /// The hash of the client's network.
        network: String,
        /// A network last seen before this is not known any more.
        known_since: Timestamp,
    },
    /// An account whose owner is identified by a session or by a link in a mail.
    Owner {
        /// The account's email, for the look-up.
        identifier: Identifier,
        /// The counter for failures.
        counter: LoginCounter,
    },
}

/// `Ok` if a request is permitted, or the time until it is.
pub type Verdict = Result<(), Duration>;

/// The result of trying to reserve a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The attempt is reserved and must be settled.
    Now,
    /// Other attempts are running. Try again when they are settled.
    Later,
    /// Other attempts were reserved, but their server has stopped. They are counted as failed.
    Abandoned,
    /// No attempt is permitted before this time has passed.
    Wait(Duration),
}

impl Turn {
    /// Why nothing could be reserved. `row` has the number of running attempts, the end of their reservation, and the
    /// end of the delay.
    fn of(row: Option<(i64, i64, i64)>, rule: LoginBackoff, now: Timestamp) -> Self {
        let latest = now.plus(rule.settled_within).plus(CLOCK_TOLERANCE).as_millis();
        match row {
            Some((reserved, until, _)) if reserved > 0 && (until <= now.as_millis() || until > latest) => {
                Self::Abandoned
            }
            Some((0, _, free_at)) if free_at > now.as_millis() => {
                Self::Wait(Timestamp::from_millis(free_at).since(now))
            }
            // Another attempt was settled between the two statements.
            _ => Self::Later,
        }
    }
}

/// The result of counting a login before it is tried.
#[derive(Debug)]
pub enum LoginCount {
    /// An address or network is rate-limited, by its index in the list, for this long. The account was not counted.
    AddressLimited(usize, Duration),
    /// The addresses are within their limits.
    Counted(Counted),
}

/// A login that was counted for its addresses.
#[derive(Debug)]
pub struct Counted {
    /// The account, if there is one.
    pub known: Option<Credential>,
    /// The counter for failures.
    pub counter: LoginCounter,
    /// The account's last login from this network, if the network is known.
    pub network_seen_at: Option<Timestamp>,
    /// Whether the login may be tried.
    pub turn: Turn,
}

/// A row of `users` with the columns that a login needs.
#[derive(Debug, sqlx::FromRow)]
pub struct LoginRow {
    #[sqlx(flatten)]
    credential: CredentialRow,
    email_key: String,
    network_seen_at: Option<i64>,
}

/// Copies strangers' failures from one key to another, when a name is assigned to an account or released. A name that
/// was rate-limited stays rate-limited.
#[derive(Clone, Debug)]
pub struct Inherit {
    /// The key with the failures.
    pub from: String,
    /// The key that gets them too.
    pub to: String,
    /// Failures before this are forgotten.
    pub since: Timestamp,
}

/// The key of the counter for strangers' failed logins. It is based on the account's canonical email, or on the name
/// if there is no account. Names are hashed, since someone may have typed a password there.
#[must_use]
pub fn strangers_key(names: &NameKey, name: &str) -> String {
    canonical_key(names, &canonical(name, &Identifier::parse(name)))
}

fn canonical_key(names: &NameKey, canonical: &str) -> String {
    names.name("name:", canonical)
}

/// The canonical spelling of a name. Names without an account are normalised in case and form, as account names are.
fn canonical(typed: &str, parsed: &Identifier) -> String {
    match parsed {
        Identifier::Email(email) => email.key().to_owned(),
        Identifier::Username(username) => username.key().to_owned(),
        Identifier::Invalid => typed.trim().to_lowercase(),
    }
}

/// The key of the counter for logins from a network that the account knows.
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

    /// Selects the counter for the account that was found.
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

/// Selects an account with the columns that a login needs. $1 the key, $2 the hash of the client's network.
macro_rules! for_login {
    ($key:literal) => {
        concat!(
            "SELECT id, email, username, created_at, disabled_at, email_verified_at, password_hash, email_key, \
             (SELECT seen_at FROM known_networks WHERE key = 'known:' || users.id || ':' || $2) AS network_seen_at \
             FROM users WHERE ",
            $key,
            " = $1"
        )
    };
}

const BY_EMAIL_FOR_LOGIN: &str = for_login!("email_key");
const BY_USERNAME_FOR_LOGIN: &str = for_login!("username_key");

/// Finds the account with a name for a login from a network.
macro_rules! find_for_login {
    ($conn:ident, $identifier:expr, $network:expr) => {{
        let named = match $identifier {
            Identifier::Email(email) => Some((BY_EMAIL_FOR_LOGIN, email.key())),
            Identifier::Username(username) => Some((BY_USERNAME_FOR_LOGIN, username.key())),
            Identifier::Invalid => None,
        };
        let row: Option<LoginRow> = match named {
            Some((sql, key)) => sqlx::query_as(sql).bind(key).bind($network).fetch_optional(&mut *$conn).await?,
            None => None,
        };
        row
    }};
}

impl Store {
    /// Takes one permit from the rate limit of an address, an account or a mailbox. If none is left, nothing is
    /// counted.
    pub async fn take(&self, key: &str, rule: RateLimit, now: Timestamp) -> Result<Verdict, Error> {
        Ok(on_write!(self, RELAXED, tx => take!(tx, key, rule, now)))
    }

    /// Finds an account and takes one permit from the rate limit of each address. If they permit it, reserves a
    /// login, unless `in_line` reports that others are waiting for the same counter. A reservation must be settled:
    /// by [`Store::begin_session`], [`Store::settle_right`] or [`Store::settle_failed`]. If the database fails in
    /// between, the attempt may be counted for its addresses only.
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

    /// Reserves a login that had to wait for others.
    pub async fn reserve_login(&self, key: &str, rule: LoginBackoff, now: Timestamp) -> Result<Turn, Error> {
        Ok(on_each!(self, RELAXED, tx => reserve!(tx, key, rule, now)))
    }

    /// Deletes the failed logins counted under a key.
    pub async fn forget_failures(&self, key: &str) -> Result<(), Error> {
        on_each!(self, RELAXED, tx => forget_failures_of!(tx, key));
        Ok(())
    }

    /// Settles an attempt as failed.
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

    /// Settles an attempt with a correct password that creates no session.
    pub async fn settle_right(&self, counter: &LoginCounter) -> Result<(), Error> {
        on_each!(self, RELAXED, tx => settle_right!(tx, counter));
        Ok(())
    }

    /// An account's last login, if any, with the number of remembered failed logins and the time of the last one. The
    /// failures include those of strangers, counted under the key `strangers`. Times are milliseconds since 1970.
    /// [`Error::Unavailable`].
    pub async fn attempts_of(&self, user: &str, strangers: &str) -> Result<(Option<i64>, Option<(i64, i64)>), Error> {
        Ok(on_read!(self, conn => {
            let sql = "SELECT last_login_at FROM users WHERE id = $1";
            let last: Option<Option<i64>> = sqlx::query_scalar(sql).bind(user).fetch_optional(&mut *conn).await?;
            let sql = concat!(
                "SELECT CAST(SUM(failures) AS BIGINT), MAX(last_at) FROM account_throttles WHERE failures > 0 AND \
                 ((key = $2 AND EXISTS (SELECT id FROM users WHERE id = $1)) OR key IN (",
                own_counts!(),
                "))"
            );
            let failed: (Option<i64>, Option<i64>) =
                sqlx::query_as(sql).bind(user).bind(strangers).fetch_one(&mut *conn).await?;
            (last.flatten(), failed.0.zip(failed.1))
        }))
    }

    /// The last login from each network that an account knows, the latest first. Times are milliseconds since 1970.
    pub async fn known_networks_of(&self, user: &str) -> Result<Vec<i64>, Error> {
        let sql = "SELECT seen_at FROM known_networks WHERE user_id = $1 ORDER BY seen_at DESC";
        Ok(on_read!(self, conn => sqlx::query_scalar(sql).bind(user).fetch_all(&mut *conn).await?))
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
