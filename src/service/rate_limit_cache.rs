//! Addresses that were told to wait: an attempt before that time is refused from memory, so that it costs neither a
//! transaction nor anybody's place in the queue for hashing.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::domain::time::Timestamp;

/// So many are remembered. The database knows all of them; this only spares it.
const MOST: usize = 10_000;

/// The addresses, by the keys that throttles count them under.
#[derive(Debug, Default)]
pub struct RateLimitCache {
    told: Mutex<HashMap<String, Entry>>,
}

/// What an address was told.
#[derive(Clone, Copy, Debug)]
struct Entry {
    at: Timestamp,
    until: Timestamp,
}

impl Entry {
    /// How long it still has to wait. Before it was told the clock has been put back, and the database must be asked.
    fn left(self, now: Timestamp) -> Option<Duration> {
        (self.at <= now && now < self.until).then(|| self.until.since(now))
    }
}

impl RateLimitCache {
    /// How long an address still has to wait, as far as is remembered.
    pub fn wait(&self, address: &str, now: Timestamp) -> Option<Duration> {
        self.told().get(address)?.left(now)
    }

    /// Remembers that an address was told to wait.
    pub fn note(&self, address: &str, now: Timestamp, wait: Duration) {
        let mut told = self.told();
        if told.len() >= MOST {
            told.retain(|_, told| told.left(now).is_some());
        }
        if told.len() < MOST {
            told.insert(address.to_owned(), Entry { at: now, until: now.plus(wait) });
        }
    }

    // The map is whole at every moment, so a panic elsewhere while the lock was held harmed nothing.
    fn told(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn an_address_is_held_until_its_time_and_no_longer() {
        let held = RateLimitCache::default();
        assert_eq!(held.wait("a", second(10)), None);
        held.note("a", second(10), WAIT);
        assert_eq!(held.wait("a", second(10)), Some(WAIT));
        assert_eq!(held.wait("a", second(12)), Some(Duration::from_secs(1)));
        assert_eq!(held.wait("a", second(13)), None);
        assert_eq!(held.wait("b", second(10)), None);
    }

    #[test]
    fn a_clock_that_is_put_back_holds_nobody() {
        let held = RateLimitCache::default();
        held.note("a", second(10), WAIT);
        assert_eq!(held.wait("a", second(9)), None);
    }

    #[test]
    fn the_memory_is_bounded_and_makes_room_again() {
        let held = RateLimitCache::default();
        for number in 0..=MOST {
            held.note(&number.to_string(), second(10), WAIT);
        }
        assert_eq!(held.told().len(), MOST);
        held.note("late", second(20), WAIT);
        assert_eq!(held.wait("late", second(20)), Some(WAIT));
        assert_eq!(held.told().len(), 1);
    }
}
