//! Sweeping out rows that mean nothing any more.
//!
//! The tables have no index for that, for it would be written at each login and each use of a session; so a reader,
//! which nobody waits for, looks for them, and the writer deletes what it found by its key.

use super::{Error, RELAXED, Store, on_read, on_write};
use crate::domain::time::Timestamp;

/// The times up to which rows mean nothing any more.
#[derive(Clone, Copy, Debug)]
pub struct Horizons {
    /// Now: an address whose allowance is whole again may do as much as one that was never seen.
    pub allowances: Timestamp,
    /// Failed logins before this are forgotten.
    pub failures: Timestamp,
    /// Sessions last used before this have ended. That finds those past their absolute end too: since then nobody could
    /// use them.
    pub sessions: Timestamp,
}

/// A row that means nothing any more, by its key.
#[derive(Debug)]
pub enum Spent {
    /// An address's throttle.
    Address(String),
    /// The throttle of an account, or of a name that is nobody's.
    Account(String),
    /// A session.
    Session(String),
}

impl Store {
    /// Up to `limit` rows of each kind that mean nothing any more. In order, so that two servers that delete the same
    /// ones don't wait for each other.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn find_spent(&self, horizons: Horizons, limit: u32) -> Result<Vec<Spent>, Error> {
        let (addresses, accounts, sessions) = (
            "SELECT key FROM address_throttles WHERE full_at <= $1 ORDER BY key LIMIT $2",
            "SELECT key FROM account_throttles WHERE last_at <= $1 ORDER BY key LIMIT $2",
            "SELECT id FROM sessions WHERE last_seen_at <= $1 ORDER BY id LIMIT $2",
        );
        let kinds = [
            (addresses, horizons.allowances, Spent::Address as fn(String) -> Spent),
            (accounts, horizons.failures, Spent::Account),
            (sessions, horizons.sessions, Spent::Session),
        ];
        let limit = i64::from(limit);
        Ok(on_read!(self, conn => {
            let mut spent = Vec::new();
            for (sql, until, kind) in kinds {
                let keys: Vec<String> =
                    sqlx::query_scalar(sql).bind(until.as_millis()).bind(limit).fetch_all(&mut *conn).await?;
                spent.extend(keys.into_iter().map(kind));
            }
            spent
        }))
    }

    /// Deletes rows that [`Store::find_spent`] has found, unless they have been used since. Returns how many.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn purge_spent(&self, spent: &[Spent], horizons: Horizons) -> Result<u64, Error> {
        let (address, account, session) = (
            "DELETE FROM address_throttles WHERE key = $1 AND full_at <= $2",
            "DELETE FROM account_throttles WHERE key = $1 AND last_at <= $2",
            "DELETE FROM sessions WHERE id = $1 AND last_seen_at <= $2",
        );
        Ok(on_write!(self, RELAXED, tx => {
            let mut rows = 0;
            for row in spent {
                let (sql, key, until) = match row {
                    Spent::Address(key) => (address, key, horizons.allowances),
                    Spent::Account(key) => (account, key, horizons.failures),
                    Spent::Session(key) => (session, key, horizons.sessions),
                };
                rows += sqlx::query(sql).bind(key).bind(until.as_millis()).execute(&mut *tx).await?.rows_affected();
            }
            rows
        }))
    }
}
