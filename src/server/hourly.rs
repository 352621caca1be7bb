//! Warnings that are logged at most once an hour.
//!
//! There are two kinds. Some could be caused by anybody with every request; they are logged with the number of those
//! left out. Others apply for as long as the server runs.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

const HOUR: Duration = Duration::from_hours(1);

/// Limits one kind of warning to once an hour.
#[derive(Debug, Default)]
pub struct Hourly(Mutex<Option<Logged>>);

#[derive(Debug)]
struct Logged {
    at: Instant,
    left_out: u64,
}

impl Hourly {
    /// Calls the closure unless it was called in the last hour. It gets the number of warnings left out since then.
    pub fn warn(&self, log: impl FnOnce(u64)) {
        if let Some(left_out) = self.due(Instant::now()) {
            log(left_out);
        }
    }

    fn due(&self, now: Instant) -> Option<u64> {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *logged {
            Some(last) if now.saturating_duration_since(last.at) < HOUR => {
                last.left_out += 1;
                None
            }
            other => {
                let left_out = other.take().map_or(0, |last| last.left_out);
                *other = Some(Logged { at: now, left_out: 0 });
                Some(left_out)
            }
        }
    }
}

/// Calls the closure every hour, the first time an hour from now.
pub async fn repeat(mut log: impl FnMut()) {
    loop {
        tokio::time::sleep(HOUR).await;
        log();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lasting_problem_is_logged_each_hour() {
        let logged = Cell::new(0);
        let almost_four_hours = HOUR * 3 + Duration::from_mins(59);
        let ended = tokio::time::timeout(almost_four_hours, repeat(|| logged.set(logged.get() + 1))).await;
        assert!(ended.is_err() && logged.get() == 3, "{} times", logged.get());
    }

    #[test]
    fn a_warning_is_logged_hourly_with_the_number_of_skipped_ones() {
        let (warning, start) = (Hourly::default(), Instant::now());
        let due = |after: Duration| warning.due(start + after);
        assert_eq!(due(Duration::ZERO), Some(0));
        assert_eq!(due(Duration::from_secs(1)), None);
        assert_eq!(due(Duration::from_mins(59)), None);
        assert_eq!(due(HOUR), Some(2));
        assert_eq!(due(HOUR + Duration::from_secs(1)), None);
        assert_eq!(due(HOUR * 3), Some(1));
    }
}
