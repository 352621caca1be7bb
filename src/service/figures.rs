//! Figures of the service for monitoring.

use std::sync::atomic::Ordering;

use super::{Error, Service, counts::Counts, passwords::HashTimes};
use crate::{
    domain::time::Timestamp,
    store::{StoreCounts, StoredFigures},
};

impl Service {
    /// Counts of what the service did since its start.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Counts of what happened in the database since it was opened.
    #[must_use]
    pub fn store_counts(&self) -> &StoreCounts {
        self.store.counts()
    }

    /// The number of accounts, as it was counted in the last minutes.
    #[must_use]
    pub fn accounts_counted(&self) -> i64 {
        self.accounts.load(Ordering::Relaxed)
    }

    /// Figures that take a query. This takes long if there are millions of sessions.
    pub async fn stored_figures(&self) -> Result<StoredFigures, Error> {
        Ok(self.store.figures(self.clock.now(), self.policy.session_idle).await?)
    }

    /// How long hashes took.
    #[must_use]
    pub fn hash_times(&self) -> HashTimes<'_> {
        self.passwords.hasher().times()
    }

    /// The number of requests that hash or wait for it, and their maximum.
    #[must_use]
    pub fn hashing_load(&self) -> (usize, usize) {
        self.passwords.hasher().load()
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
