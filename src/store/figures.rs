//! Figures of the whole database, for monitoring.

use std::time::Duration;

use super::{Error, Store, tx::values};
use crate::domain::time::Timestamp;

/// Figures that take a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredFigures {
    /// Sessions that are valid.
    pub sessions: i64,
    /// Queued mails.
    pub mails: i64,
}

impl Store {
    /// Counts sessions that were used within `idle`, and queued mails. This takes long if there are millions.
    pub async fn figures(&self, now: Timestamp, idle: Duration) -> Result<StoredFigures, Error> {
        let sql = "SELECT (SELECT COUNT(*) FROM sessions WHERE expires_at > $1 AND last_seen_at > $2), \
                   (SELECT COUNT(*) FROM mails)";
        let values = values![now, now.minus(idle)];
        let (sessions, mails): (i64, i64) = self.search(async |conn| conn.fetch_one(sql, values).await).await?;
        Ok(StoredFigures { sessions, mails })
    }
}
