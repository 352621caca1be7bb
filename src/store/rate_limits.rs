//! Rate limits for addresses, mailboxes and accounts.
//!
//! A rate limit is checked and counted in one statement, so that concurrent attempts can't slip through between a
//! check and a count (CVE-2024-4629).

use std::time::Duration;

use super::{
    Error, Store,
    begin::RELAXED,
    tx::{Conn, Tx, values},
};
use crate::domain::time::{CLOCK_TOLERANCE, Timestamp};

/// A rate limit: a burst, and then one request per interval.
#[derive(Clone, Copy, Debug)]
pub struct RateLimit {
    /// The number of requests that are possible at once.
    pub burst: u32,
    /// The time after which one more request is possible.
    pub interval: Duration,
}

/// `Ok` if a request is permitted, or the time until it is.
pub type Verdict = Result<(), Duration>;

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
}

/// $1 the key, $2 now, $3 the interval, $4 the latest `full_at` that permits the request, $5 the highest possible
/// `full_at`. Beyond $5 the clock was put back, and the limit is treated as full.
const TAKE: &str = "INSERT INTO address_throttles (key, full_at) VALUES ($1, $2 + $3) \
    ON CONFLICT (key) DO UPDATE SET full_at = $3 + \
        CASE WHEN address_throttles.full_at > $2 AND address_throttles.full_at <= $5 \
             THEN address_throttles.full_at ELSE $2 END \
    WHERE address_throttles.full_at <= $4 OR address_throttles.full_at > $5 \
    RETURNING full_at";

/// Takes one permit from a rate limit, by the generic cell rate algorithm (ITU-T I.371). One statement checks and
/// counts. It reads all rows, though there is at most one: outside of a transaction SQLite commits only then, and only
/// then reports a failure.
pub(super) async fn take(conn: &mut Conn<'_>, key: &str, rule: RateLimit, now: Timestamp) -> Result<Verdict, Error> {
    let whole = rule.interval.saturating_mul(rule.burst);
    let latest = now.plus(whole.saturating_sub(rule.interval));
    let values = values![key, now, rule.interval, latest, now.plus(whole).plus(CLOCK_TOLERANCE)];
    if !conn.fetch_all::<(i64,)>(TAKE, values).await?.is_empty() {
        return Ok(Ok(()));
    }
    let sql = "SELECT full_at FROM address_throttles WHERE key = $1";
    let (full_at,): (i64,) = conn.fetch_one(sql, values![key]).await?;
    Ok(Err(Timestamp::from_millis(full_at).since(latest)))
}

/// Deletes the rate limits of an account.
pub(super) async fn forget_action_limits(tx: &mut Tx<'_>, user: &str) -> Result<(), Error> {
    for action in LimitedAction::ALL {
        tx.execute("DELETE FROM address_throttles WHERE key = $1", values![&action.key(user)]).await?;
    }
    Ok(())
}

impl Store {
    /// Takes one permit from the rate limit of an address, an account or a mailbox. If none is left, nothing is
    /// counted.
    pub async fn take(&self, key: &str, rule: RateLimit, now: Timestamp) -> Result<Verdict, Error> {
        self.write(RELAXED, async |tx| take(tx, key, rule, now).await).await
    }
}
