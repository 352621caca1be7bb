//! Caches rate-limited addresses. Further attempts are rejected from memory, so that they need neither a transaction
//! nor a slot in the hashing queue.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::domain::time::Timestamp;

/// The maximum number of entries. The database stores all limits, so an entry that is missing costs only a query.
const MAX_ENTRIES: usize = 10_000;

/// The limited addresses, by rate-limit key.
#[derive(Debug, Default)]
pub struct RateLimitCache {
    entries: Mutex<HashMap<String, Entry>>,
}

/// When an address was limited, and until when.
#[derive(Clone, Copy, Debug)]
struct Entry {
    at: Timestamp,
    until: Timestamp,
}

impl Entry {
    /// Returns the remaining wait. A time before `at` means that the clock was set back, so the entry is ignored and
    /// the database decides.
    fn left(self, now: Timestamp) -> Option<Duration> {
        (self.at <= now && now < self.until).then(|| self.until.since(now))
    }
}

impl RateLimitCache {
    /// Returns how long an address must still wait, if it has an entry.
    pub fn wait(&self, address: &str, now: Timestamp) -> Option<Duration> {
        self.entries().get(address)?.left(now)
    }

    /// Stores how long an address must wait.
    pub fn note(&self, address: &str, now: Timestamp, wait: Duration) {
        let mut entries = self.entries();
        if entries.len() >= MAX_ENTRIES {
            entries.retain(|_, entry| entry.left(now).is_some());
        }
        if entries.len() < MAX_ENTRIES {
            entries.insert(address.to_owned(), Entry { at: now, until: now.plus(wait) });
        }
    }

    // The map is consistent at every moment, so a panic while the lock was held does no harm.
    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(3);

    fn second(second: i64) -> Timestamp {
        Timestamp::from_millis(1000 * second)
    }

    #[test]
    fn an_address_is_rate_limited_until_its_wait_ends() {
        let cache = RateLimitCache::default();
        assert_eq!(cache.wait("a", second(10)), None);
        cache.note("a", second(10), WAIT);
        assert_eq!(cache.wait("a", second(10)), Some(WAIT));
        assert_eq!(cache.wait("a", second(12)), Some(Duration::from_secs(1)));
        assert_eq!(cache.wait("a", second(13)), None);
        assert_eq!(cache.wait("b", second(10)), None);
    }

    #[test]
    fn a_clock_set_back_ends_a_cached_rate_limit() {
        let cache = RateLimitCache::default();
        cache.note("a", second(10), WAIT);
        assert_eq!(cache.wait("a", second(9)), None);
    }

    #[test]
    fn the_cache_is_bounded_and_reuses_space() {
        let cache = RateLimitCache::default();
        for number in 0..=MAX_ENTRIES {
            cache.note(&number.to_string(), second(10), WAIT);
        }
        assert_eq!(cache.entries().len(), MAX_ENTRIES);
        cache.note("late", second(20), WAIT);
        assert_eq!(cache.wait("late", second(20)), Some(WAIT));
        assert_eq!(cache.entries().len(), 1);
    }
}
