//! Logins that wait for others of the same account. Beyond the free failures one attempt runs at a time. The others wait for it
//! instead of being refused.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::sync::{self, Notify};

use crate::domain::time::Timestamp;

/// Lines that are kept before empty ones are removed.
const MANY: usize = 256;

/// Those who wait, by what their failures are counted under.
#[derive(Debug, Default)]
pub struct Turns {
    lines: Mutex<HashMap<String, Weak<Line>>>,
}

/// Those who wait for one account. Only the first of them asks the database, however many there are.
#[derive(Debug, Default)]
pub struct Line {
    /// Held by the first; in the order in which they came.
    pub first: sync::Mutex<()>,
    /// An attempt was settled by this process.
    pub settled: Notify,
    /// Until when nobody of the line may try, as the first in it has heard from the database.
    held_until: Mutex<Option<Timestamp>>,
}

impl Line {
    /// Remembers that nobody may try for some time, so that those behind the first don't ask the database one by one.
    pub fn hold(&self, now: Timestamp, wait: Duration) {
        *self.held_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(now.plus(wait));
    }

    /// How long nobody may try, if that is known.
    pub fn held(&self, now: Timestamp) -> Option<Duration> {
        let until = *self.held_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.filter(|until| *until > now).map(|until| until.since(now))
    }
}

impl Turns {
    /// The line of an account. It ends with the last who waits in it.
    pub fn line(&self, key: &str) -> Arc<Line> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(key).and_then(Weak::upgrade) {
            return line;
        }
        if lines.len() >= MANY {
            lines.retain(|_, line| line.strong_count() > 0);
        }
        let line = Arc::new(Line::default());
        lines.insert(key.to_owned(), Arc::downgrade(&line));
        line
    }

    /// Whether somebody waits for an account. Then nobody who comes later is to be tried before.
    pub fn has_line(&self, key: &str) -> bool {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.get(key).is_some_and(|line| line.strong_count() > 0)
    }

    /// Wakes the first in line: an attempt was settled.
    pub fn settled(&self, key: &str) {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(key).and_then(Weak::upgrade) {
            line.settled.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shared_while_somebody_waits_and_forgotten_afterwards() {
        let turns = Turns::default();
        let line = turns.line("ann");
        assert!(Arc::ptr_eq(&line, &turns.line("ann")));
        for number in 0..MANY {
            turns.line(&number.to_string());
        }
        assert_eq!(turns.lines.lock().map(|lines| lines.len()).ok(), Some(2), "Ann's, and the last one");
        assert!(Arc::ptr_eq(&line, &turns.line("ann")));
        assert!(turns.has_line("ann") && !turns.has_line("bob"));
        drop(line);
        assert!(!turns.has_line("ann"));
    }

    #[test]
    fn a_line_that_is_held_back_is_free_again_in_time_r87() {
        let (line, at) = (Line::default(), Timestamp::from_millis);
        assert_eq!(line.held(at(0)), None);
        line.hold(at(0), Duration::from_secs(2));
        assert_eq!(line.held(at(500)), Some(Duration::from_millis(1500)));
        assert_eq!(line.held(at(2000)), None);
    }

    #[tokio::test]
    async fn the_first_in_line_wakes_for_what_was_settled_a_moment_before() {
        let turns = Turns::default();
        let line = turns.line("ann");
        turns.settled("bob");
        turns.settled("ann");
        line.settled.notified().await;
    }
}
