//! Sources of the current time. No other module reads a clock.

use std::{
    fmt::Debug,
    sync::{PoisonError, RwLock},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use crate::domain::time::{Timestamp, millis};

/// A source of the time of day.
pub trait Clock: Debug + Send + Sync {
    /// Returns the current time.
    fn now(&self) -> Timestamp;
}

/// This machine's clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the only place that reads the machine's clock")]
    fn now(&self) -> Timestamp {
        let millis = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => millis(since),
            Err(before) => millis(before.duration()).saturating_neg(),
        };
        Timestamp::from_millis(millis)
    }
}

/// The database server's clock, so that several servers agree: its last reading, plus the time elapsed here since then.
///
/// Between readings, changes of this machine's clock have no effect.
#[derive(Debug)]
pub struct DatabaseClock(RwLock<(Timestamp, Instant)>);

impl DatabaseClock {
    /// Creates a clock from a reading that was just taken.
    #[must_use]
    pub fn new(reading: Timestamp) -> Self {
        Self(RwLock::new((reading, Instant::now())))
    }

    /// Sets a new reading.
    pub fn set(&self, reading: Timestamp) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = (reading, Instant::now());
    }
}

impl Clock for DatabaseClock {
    fn now(&self) -> Timestamp {
        let (reading, at) = *self.0.read().unwrap_or_else(PoisonError::into_inner);
        reading.plus(at.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_clock_continues_from_its_last_reading() {
        let clock = DatabaseClock::new(Timestamp::from_millis(1_000_000));
        clock.set(Timestamp::from_millis(5_000_000));
        let now = clock.now();
        assert!(now >= Timestamp::from_millis(5_000_000) && clock.now() >= now, "{now:?}");
    }
}
