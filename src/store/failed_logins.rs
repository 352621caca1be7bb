//! Failed logins, and the delays after them.
//!
//! A login takes two steps: it is reserved before the password is compared, and then settled as failed or as
//! successful. Each step is one statement, like a rate limit.

use std::time::Duration;

use super::{
    Error, Failure, Store,
    begin::RELAXED,
    rate_limits::forget_action_limits,
    tx::{Conn, Tx, values},
};
use crate::domain::time::{CLOCK_TOLERANCE, Timestamp};

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
    pub reset_after: Duration,
    /// An attempt that is not settled after this long is counted as failed, since its server has stopped.
    pub settled_within: Duration,
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

/// The result of trying to reserve a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// The attempt is reserved and must be settled.
    Now,
    /// Other attempts are running. Try again when they are settled.
    Later,
    /// Other attempts were reserved, but their server has stopped. They are counted as failed.
    Abandoned,
    /// No attempt is permitted before this time has passed.
    Wait(Duration),
}

impl Reservation {
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

/// Copies strangers' failures from one key to another, when a name is assigned to an account or released. A name that
/// was rate-limited stays rate-limited.
#[derive(Clone, Debug)]
pub struct InheritFailures {
    /// The key with the failures.
    pub from: String,
    /// The key that gets them too.
    pub to: String,
    /// Failures before this are forgotten.
    pub since: Timestamp,
}

/// Reserves an attempt. As many can be reserved at once as free failures remain. After those, one at a time can be
/// reserved, once the delay has passed. $1 the key, $2 now, $3 the time before which failures are forgotten, $4 the
/// free ones, $5 the end of the reservation, $6 the latest possible time of an attempt. Beyond $6 the clock was put
/// back.
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
        reserved = CASE WHEN account_throttles.reserved > 0 THEN account_throttles.reserved - 1 ELSE 0 END \
     RETURNING failures, delay"
);

/// Counts abandoned attempts as failed: their server stopped before it settled them. Parameters as for [`FAIL`],
/// without $7.
const GIVE_UP: &str = concat!(
    "UPDATE account_throttles SET failures = failures + reserved, delay = ",
    longer_delay!("account_throttles.failures + account_throttles.reserved"),
    ", last_at = $5, reserved = 0 WHERE key = $1 AND reserved > 0 AND (reserved_until <= $5 OR reserved_until > $6)"
);

/// The keys of an account's own counters: for its known networks, its sessions, and the links in its mails. $1 the
/// account.
macro_rules! own_counts {
    () => {
        "SELECT key FROM known_networks WHERE user_id = $1 \
         UNION ALL SELECT 'session:' || id FROM sessions WHERE user_id = $1 \
         UNION ALL SELECT 'link:' || id FROM users WHERE id = $1"
    };
}

/// Deletes failures by their keys. A subquery or a list of keys follows.
macro_rules! forget_failures_in {
    () => {
        "DELETE FROM account_throttles WHERE key IN "
    };
}
pub(super) use forget_failures_in;

/// Deletes the failures counted under a key.
pub(super) async fn forget_failures_of(conn: &mut Conn<'_>, key: &str) -> Result<(), Error> {
    conn.execute(concat!(forget_failures_in!(), "($1)"), values![key]).await.map(drop)
}

/// Forgets the failures in the account's own counters. Strangers' failures belong to the name and remain, so that
/// they don't reveal what happens to the account.
pub(super) async fn forget_own_failures(tx: &mut Tx<'_>, user: &str) -> Result<(), Error> {
    tx.execute(concat!(forget_failures_in!(), "(", own_counts!(), ")"), values![user]).await.map(drop)
}

/// Deletes the counters of an account before it is deleted.
pub(super) async fn forget_counts(tx: &mut Tx<'_>, user: &str) -> Result<(), Error> {
    forget_own_failures(tx, user).await?;
    forget_action_limits(tx, user).await
}

/// Copies strangers' failures to another key. If both keys have failures, the stricter value of each number is
/// stored, so that nobody gains additional guesses.
pub(super) async fn inherit_failures(tx: &mut Tx<'_>, inherit: &InheritFailures) -> Result<(), Error> {
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
    tx.execute(sql, values![&inherit.from, &inherit.to, inherit.since]).await.map(drop)
}

/// Reserves one attempt to log in. It reads all rows for the same reason as `take`.
pub(super) async fn reserve(
    conn: &mut Conn<'_>,
    key: &str,
    rule: LoginBackoff,
    now: Timestamp,
) -> Result<Reservation, Error> {
    let values = values![
        key,
        now,
        now.minus(rule.reset_after),
        rule.free,
        now.plus(rule.settled_within),
        now.plus(CLOCK_TOLERANCE),
    ];
    if !conn.fetch_all::<(i64,)>(RESERVE, values).await?.is_empty() {
        return Ok(Reservation::Now);
    }
    let sql = "SELECT reserved, reserved_until, last_at + delay FROM account_throttles WHERE key = $1";
    let row: Option<(i64, i64, i64)> = conn.fetch_optional(sql, values![key]).await?;
    let reservation = Reservation::of(row, rule, now);
    if reservation == Reservation::Abandoned {
        let latest = now.plus(rule.settled_within).plus(CLOCK_TOLERANCE);
        let values = values![key, rule.free, rule.first_delay, rule.longest_delay, now, latest];
        conn.execute(GIVE_UP, values).await?;
    }
    Ok(reservation)
}

/// Settles an attempt with a correct password and releases its reservation. If the counter is the owner's, its
/// failures are forgotten.
pub(super) async fn settle_right(conn: &mut Conn<'_>, counter: &LoginCounter) -> Result<(), Error> {
    let values = values![&counter.key, counter.owners];
    let sql = "DELETE FROM account_throttles WHERE key = $1 AND reserved <= 1 AND (failures = 0 OR $2)";
    if conn.execute(sql, values).await? == 0 {
        let sql = "UPDATE account_throttles SET reserved = reserved - 1, \
                   failures = CASE WHEN $2 THEN 0 ELSE failures END, delay = CASE WHEN $2 THEN 0 ELSE delay END \
                   WHERE key = $1 AND reserved > 0";
        conn.execute(sql, values).await?;
    }
    Ok(())
}

impl Store {
    /// Reserves a login that had to wait for others.
    pub async fn reserve_login(&self, key: &str, rule: LoginBackoff, now: Timestamp) -> Result<Reservation, Error> {
        self.each(async |conn| reserve(conn, key, rule, now).await).await
    }

    /// Deletes the failed logins counted under a key.
    pub async fn forget_failures(&self, key: &str) -> Result<(), Error> {
        self.each(async |conn| forget_failures_of(conn, key).await).await
    }

    /// Settles an attempt as failed, with its event.
    pub async fn settle_failed(
        &self,
        key: &str,
        rule: LoginBackoff,
        now: Timestamp,
        failure: Option<&Failure>,
    ) -> Result<(), Error> {
        let first_failure = if rule.free <= 1 { rule.first_delay } else { Duration::ZERO };
        let latest = now.plus(CLOCK_TOLERANCE);
        let values = values![key, rule.free, rule.first_delay, rule.longest_delay, now, latest, first_failure];
        self.write(RELAXED, async |tx| {
            let (attempts, wait): (i64, i64) = tx.fetch_one(FAIL, values).await?;
            let Some(failure) = failure else { return Ok(()) };
            let wait = Duration::from_millis(u64::try_from(wait).unwrap_or(0));
            failure.record(tx, (attempts, wait), rule.free).await
        })
        .await
    }

    /// Settles an attempt with a correct password that creates no session.
    pub async fn settle_right(&self, counter: &LoginCounter) -> Result<(), Error> {
        self.each(async |conn| settle_right(conn, counter).await).await
    }

    /// An account's last login, if any, with the number of remembered failed logins and the time of the last one. The
    /// failures include those of strangers, counted under the key `strangers`. Times are milliseconds since 1970.
    pub async fn attempts_of(&self, user: &str, strangers: &str) -> Result<(Option<i64>, Option<(i64, i64)>), Error> {
        self.read(async |conn| {
            let sql = "SELECT last_login_at FROM users WHERE id = $1";
            let last: Option<(Option<i64>,)> = conn.fetch_optional(sql, values![user]).await?;
            let sql = concat!(
                "SELECT CAST(SUM(failures) AS BIGINT), MAX(last_at) FROM account_throttles WHERE failures > 0 AND \
                 ((key = $2 AND EXISTS (SELECT id FROM users WHERE id = $1)) OR key IN (",
                own_counts!(),
                "))"
            );
            let failed: (Option<i64>, Option<i64>) = conn.fetch_one(sql, values![user, strangers]).await?;
            Ok((last.and_then(|(last,)| last), failed.0.zip(failed.1)))
        })
        .await
    }
}
