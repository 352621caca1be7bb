//! Queues of logins that wait for other logins to the same account.
//!
//! After the free failures, an account has one attempt at a time. Other attempts wait for it instead of being
//! rejected. Their number is limited, because each one holds a connection.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::sync::{self, Notify, OwnedSemaphorePermit, Semaphore};

use crate::domain::time::Timestamp;

/// Lines in the map before empty ones are removed.
const MANY: usize = 256;

/// The waiting logins, by the key of their failure counter.
#[derive(Debug)]
pub struct LoginQueue {
    lines: Mutex<HashMap<String, Weak<Line>>>,
    /// Free slots over all accounts.
    slots: Arc<Semaphore>,
    /// The maximum number of waiting logins per account.
    longest: usize,
}

/// A slot in an account's line. A line is dropped with its last slot.
#[derive(Debug)]
pub struct Waiting {
    pub line: Arc<Line>,
    _slot: OwnedSemaphorePermit,
}

/// The waiting logins of one account. Only the first one queries the database.
#[derive(Debug, Default)]
pub struct Line {
    /// Held by the first login. The others wait for it in their order of arrival.
    pub first: sync::Mutex<()>,
    /// Notified when this process settles an attempt.
    pub settled: Notify,
    /// Until when the account is rate-limited, as the database reported to the first login.
    limited_until: Mutex<Option<Timestamp>>,
}

impl Line {
    /// Stores how long the account is rate-limited, so that the logins behind the first don't each query the database.
    pub fn hold(&self, now: Timestamp, wait: Duration) {
        *self.limited_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(now.plus(wait));
    }

    /// Returns how long the account is still rate-limited, if that is known.
    pub fn held(&self, now: Timestamp) -> Option<Duration> {
        let until = *self.limited_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.filter(|until| *until > now).map(|until| until.since(now))
    }
}

impl LoginQueue {
    /// Allows `most` waiting logins in total, and half as many per account.
    pub fn new(most: u32) -> Self {
        let most = most as usize;
        Self { lines: Mutex::default(), slots: Arc::new(Semaphore::new(most)), longest: most.div_ceil(2) }
    }

    /// Takes a slot in an account's line. Returns `None` if all slots, or those of this account, are taken.
    pub fn join(&self, key: &str) -> Option<Waiting> {
        let slot = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(key).and_then(Weak::upgrade) {
            // The count includes this slot.
            return (Arc::strong_count(&line) <= self.longest).then_some(Waiting { line, _slot: slot });
        }
        if lines.len() >= MANY {
            lines.retain(|_, line| line.strong_count() > 0);
        }
        let line = Arc::new(Line::default());
        lines.insert(key.to_owned(), Arc::downgrade(&line));
        Some(Waiting { line, _slot: slot })
    }

    /// Whether logins are waiting for an account. Later logins must not overtake them.
    pub fn has_line(&self, key: &str) -> bool {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.get(key).is_some_and(|line| line.strong_count() > 0)
    }

    /// Wakes the first login in line after an attempt was settled.
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
    fn a_queue_of_one_name_exists_while_logins_wait_in_it() {
        let queue = LoginQueue::new(4);
        let ann = queue.join("ann").expect("a slot");
        assert!(Arc::ptr_eq(&ann.line, &queue.join("ann").expect("a slot").line));
        for number in 0..MANY {
            queue.join(&number.to_string()).expect("a slot");
        }
        assert_eq!(queue.lines.lock().map(|lines| lines.len()).ok(), Some(2), "Ann's line and the last one remain");
        assert!(Arc::ptr_eq(&ann.line, &queue.join("ann").expect("a slot").line));
        assert!(queue.has_line("ann") && !queue.has_line("bob"));
        drop(ann);
        assert!(!queue.has_line("ann"));
    }

    #[test]
    fn waiting_logins_are_limited_in_total_and_per_account_r102() {
        let queue = LoginQueue::new(4);
        let mut ann = vec![queue.join("ann"), queue.join("ann")];
        assert!(ann.iter().all(Option::is_some));
        assert!(queue.join("ann").is_none(), "one account gets half of the slots");
        let bob = queue.join("bob");
        assert!(bob.is_some() && queue.join("cyd").is_some(), "a dropped slot is free again");
        let cyd = queue.join("cyd");
        assert!(cyd.is_some() && queue.join("dan").is_none() && queue.join("cyd").is_none(), "all slots are taken");
        ann.pop();
        assert!(queue.join("ann").is_some() && queue.join("dan").is_some());
        assert!(LoginQueue::new(0).join("ann").is_none() && LoginQueue::new(1).join("ann").is_some());
    }

    #[test]
    fn a_delayed_queue_is_free_again_after_its_wait_r87() {
        let (line, at) = (Line::default(), Timestamp::from_millis);
        assert_eq!(line.held(at(0)), None);
        line.hold(at(0), Duration::from_secs(2));
        assert_eq!(line.held(at(500)), Some(Duration::from_millis(1500)));
        assert_eq!(line.held(at(2000)), None);
    }

    #[tokio::test]
    async fn the_first_in_the_queue_sees_a_login_settled_just_before() {
        let queue = LoginQueue::new(4);
        let waiting = queue.join("ann").expect("a slot");
        queue.settled("bob");
        queue.settled("ann");
        waiting.line.settled.notified().await;
    }
}
