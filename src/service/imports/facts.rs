//! What the server must know about imported accounts at each login and at each check of a token.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use crate::{
    domain::time::Timestamp,
    service::Error,
    store::{ImportFacts as Facts, Store},
};

/// How long the facts are used before they are read again. An import on another server takes effect after this time.
const READ_INTERVAL: Duration = Duration::from_secs(10);

/// Reads the facts, and keeps them for a while.
#[derive(Debug)]
pub struct FactsCache {
    store: Store,
    /// With the time at which they were read.
    known: RwLock<Option<(Instant, Arc<Facts>)>>,
}

impl FactsCache {
    pub fn new(store: Store) -> Self {
        Self { store, known: RwLock::new(None) }
    }

    /// Returns the facts, which may be ten seconds old.
    pub async fn current(&self) -> Result<Arc<Facts>, Error> {
        let now = Instant::now();
        if let Some((read_at, facts)) = &*self.known.read().unwrap_or_else(PoisonError::into_inner)
            && now.saturating_duration_since(*read_at) < READ_INTERVAL
        {
            return Ok(Arc::clone(facts));
        }
        let facts = Arc::new(self.store.import_facts().await?);
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some((now, Arc::clone(&facts)));
        Ok(facts)
    }

    /// Whether imported tokens of Django REST framework may be valid.
    pub async fn accepts_django_tokens(&self, now: Timestamp) -> Result<bool, Error> {
        Ok(self.current().await?.django_tokens_until.is_some_and(|until| until > now))
    }

    /// Reads the facts again at their next use.
    pub fn forget(&self) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
