//! Throttles: what an address may still do, and how long an account must wait.
//!
//! Each attempt is one statement that counts and decides at once, so that attempts side by side can't slip through
//! between a check and a count (CVE-2024-4629).

use std::time::Duration;

use super::{Error, Store, on_read, on_write};
use crate::domain::time::{Timestamp, millis};

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

impl Store {
    /// Takes one of an address's allowance, which comes back one every `interval`, up to `burst` (the generic cell
    /// rate algorithm, ITU-T I.371). `Ok(Err(wait))` when it is used up; then nothing is counted.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn take_allowance(
        &self,
        key: &str,
        burst: u32,
        interval: Duration,
        now: Timestamp,
    ) -> Result<Result<(), Duration>, Error> {
        let whole = interval.saturating_mul(burst);
        let latest = now.plus(whole.saturating_sub(interval));
        // A time past `now + whole` can't come from counting: the clock was put back, and the allowance is whole.
        let sql = "INSERT INTO address_throttles (key, full_at) VALUES ($1, $2 + $3) \
                   ON CONFLICT (key) DO UPDATE SET full_at = $3 + \
                       CASE WHEN address_throttles.full_at > $2 AND address_throttles.full_at <= $5 \
                            THEN address_throttles.full_at ELSE $2 END \
                   WHERE address_throttles.full_at <= $4 OR address_throttles.full_at > $5 \
                   RETURNING full_at";
        let taken: Option<i64> = on_write!(self, tx => sqlx::query_scalar(sql)
            .bind(key)
            .bind(now.as_millis())
            .bind(millis(interval))
            .bind(latest.as_millis())
            .bind(now.plus(whole).as_millis())
            .fetch_optional(&mut *tx)
            .await?);
        if taken.is_some() {
            return Ok(Ok(()));
        }
        let sql = "SELECT full_at FROM address_throttles WHERE key = $1";
        let full_at: Option<i64> =
            on_read!(self, conn => sqlx::query_scalar(sql).bind(key).fetch_optional(&mut *conn).await?);
        Ok(Err(full_at.map_or(interval, |at| Timestamp::from_millis(at).since(latest))))
    }

    /// Counts a login of an account as failed before it is tried; a success takes the count back
    /// ([`Store::begin_session`]). `Ok(Err(wait))` while the account must wait; then nothing is counted.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn count_attempt(
        &self,
        key: &str,
        rule: AccountAttempt,
        now: Timestamp,
    ) -> Result<Result<(), Duration>, Error> {
        // A wait that began in the future is none: the clock was put back.
        let sql = "INSERT INTO account_throttles (key, failures, delay, last_at) VALUES ($1, 1, $6, $2) \
                   ON CONFLICT (key) DO UPDATE SET \
                       failures = CASE WHEN account_throttles.last_at < $3 THEN 1 ELSE account_throttles.failures + 1 END, \
                       delay = CASE WHEN account_throttles.last_at < $3 THEN $6 \
                                    WHEN account_throttles.failures + 1 < $4 THEN 0 \
                                    WHEN account_throttles.delay = 0 THEN $5 \
                                    WHEN account_throttles.delay * 2 > $7 THEN $7 \
                                    ELSE account_throttles.delay * 2 END, \
                       last_at = $2 \
                   WHERE account_throttles.last_at + account_throttles.delay <= $2 OR account_throttles.last_at > $2 \
                   RETURNING failures";
        let first = millis(rule.first_delay);
        let counted: Option<i64> = on_write!(self, tx => sqlx::query_scalar(sql)
            .bind(key)
            .bind(now.as_millis())
            .bind(now.minus(rule.memory).as_millis())
            .bind(i64::from(rule.free))
            .bind(first)
            .bind(if rule.free <= 1 { first } else { 0 })
            .bind(millis(rule.longest_delay))
            .fetch_optional(&mut *tx)
            .await?);
        if counted.is_some() {
            return Ok(Ok(()));
        }
        let sql = "SELECT last_at + delay FROM account_throttles WHERE key = $1";
        let until: Option<i64> =
            on_read!(self, conn => sqlx::query_scalar(sql).bind(key).fetch_optional(&mut *conn).await?);
        Ok(Err(until.map_or(Duration::ZERO, |at| Timestamp::from_millis(at).since(now))))
    }

    /// Deletes up to `limit` addresses whose allowance is whole again and `limit` accounts last tried before
    /// `forgotten`. Returns how many.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn purge_throttles(&self, now: Timestamp, forgotten: Timestamp, limit: u32) -> Result<u64, Error> {
        let addresses = "DELETE FROM address_throttles WHERE key IN \
                         (SELECT key FROM address_throttles WHERE full_at <= $1 LIMIT $2)";
        let accounts = "DELETE FROM account_throttles WHERE key IN \
                        (SELECT key FROM account_throttles WHERE last_at <= $1 LIMIT $2)";
        let limit = i64::from(limit);
        let rows = on_write!(self, tx => {
            let one = sqlx::query(addresses).bind(now.as_millis()).bind(limit).execute(&mut *tx).await?;
            let two = sqlx::query(accounts).bind(forgotten.as_millis()).bind(limit).execute(&mut *tx).await?;
            one.rows_affected() + two.rows_affected()
        });
        Ok(rows)
    }
}
