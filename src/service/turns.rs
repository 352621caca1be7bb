//! Logins that wait for others of the same account. Beyond the free failures one attempt runs at a time. The others wait for it
//! instead of being refused. Only so many may wait: each holds a connection.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::sync::{self, Notify, OwnedSemaphorePermit, Semaphore};

use crate::domain::time::Timestamp;

/// Lines that are kept before empty ones are removed.
const MANY: usize = 256;

/// Those who wait, by what their failures are counted under.
#[derive(Debug)]
pub struct Turns {
    lines: Mutex<HashMap<String, Weak<Line>>>,
    /// Free places, over all accounts.
    places: Arc<Semaphore>,
    /// The most who may wait for one account.
    longest: usize,
}

/// A place in the line of an account. The line ends with the last place in it.
#[derive(Debug)]
pub struct Waiting {
    /// The line.
    pub line: Arc<Line>,
    _place: OwnedSemaphorePermit,
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
    /// Lets at most `most` wait, and half as many for any one account.
    pub fn new(most: u32) -> Self {
        let most = most as usize;
        Self { lines: Mutex::default(), places: Arc::new(Semaphore::new(most)), longest: most.div_ceil(2) }
    }

    /// Takes a place in the line of an account. `None` when all places, or those for this account, are taken.
    pub fn join(&self, key: &str) -> Option<Waiting> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(key).and_then(Weak::upgrade) {
            // This one's own is among them.
            return (Arc::strong_count(&line) <= self.longest).then_some(Waiting { line, _place: place });
        }
        if lines.len() >= MANY {
            lines.retain(|_, line| line.strong_count() > 0);
        }
        let line = Arc::new(Line::default());
        lines.insert(key.to_owned(), Arc::downgrade(&line));
        Some(Waiting { line, _place: place })
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
        let turns = Turns::new(4);
        let ann = turns.join("ann").expect("a place");
        assert!(Arc::ptr_eq(&ann.line, &turns.join("ann").expect("a place").line));
        for number in 0..MANY {
            turns.join(&number.to_string()).expect("a place");
        }
        assert_eq!(turns.lines.lock().map(|lines| lines.len()).ok(), Some(2), "Ann's, and the last one");
        assert!(Arc::ptr_eq(&ann.line, &turns.join("ann").expect("a place").line));
        assert!(turns.has_line("ann") && !turns.has_line("bob"));
        drop(ann);
        assert!(!turns.has_line("ann"));
    }

    #[test]
    fn only_so_many_wait_and_no_account_takes_all_places_r102() {
        let turns = Turns::new(4);
        let mut ann = vec![turns.join("ann"), turns.join("ann")];
        assert!(ann.iter().all(Option::is_some));
        assert!(turns.join("ann").is_none(), "half of the places are others'");
        let bob = turns.join("bob");
        assert!(bob.is_some() && turns.join("cyd").is_some(), "one that is given back is free again");
        let cyd = turns.join("cyd");
        assert!(cyd.is_some() && turns.join("dan").is_none() && turns.join("cyd").is_none(), "all are taken");
        ann.pop();
        assert!(turns.join("ann").is_some() && turns.join("dan").is_some());
        assert!(Turns::new(0).join("ann").is_none() && Turns::new(1).join("ann").is_some());
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
        let turns = Turns::new(4);
        let waiting = turns.join("ann").expect("a place");
        turns.settled("bob");
        turns.settled("ann");
        waiting.line.settled.notified().await;
    }
}
