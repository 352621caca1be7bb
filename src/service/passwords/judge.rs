//! Judges new passwords on a separate thread with a separate queue. The thread has a lower priority than the hashing
//! threads, so logins don't wait for it.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::workers::{ThreadSettings, Workers, queue_full};
use crate::{
    service::{Error, counts::Limit, rate_limits::AddressLimit},
    store::RateLimit,
};

/// One thread is enough, because judging a password takes a hundredth to a half of the time of hashing it.
const THREAD: ThreadSettings = ThreadSettings { name: "judge", count: 1, nice: 10 };

/// Burst of processor time that an address may use for judging.
const BURST: Duration = Duration::from_millis(150);
/// After the burst, an address may use one part in this many of the elapsed time.
const SHARE: u32 = 200;
/// The minimum cost of a password, because counting it takes time as well.
const MIN_COST: Duration = Duration::from_millis(5);

/// Judges passwords one at a time.
#[derive(Debug)]
pub struct Judge {
    workers: Workers<()>,
    slots: Arc<Semaphore>,
    /// Total number of slots.
    size: usize,
    queue_timeout: Duration,
}

/// A slot in the queue.
#[derive(Debug)]
pub struct JudgeSlot<'a> {
    judge: &'a Judge,
    _slot: OwnedSemaphorePermit,
}

impl Judge {
    /// Starts the thread.
    pub fn start(queue: u32, queue_timeout: Duration) -> Result<Self, Error> {
        let workers = Workers::start(THREAD, &Arc::new(()))?;
        let size = THREAD.count as usize + queue as usize;
        Ok(Self { workers, slots: Arc::new(Semaphore::new(size)), size, queue_timeout })
    }

    /// Takes a slot in the queue. Fails if the queue is full.
    pub fn enqueue(&self) -> Result<JudgeSlot<'_>, Error> {
        let slot = Arc::clone(&self.slots).try_acquire_owned().map_err(|_| queue_full())?;
        Ok(JudgeSlot { judge: self, _slot: slot })
    }

    /// Takes a slot for a judgement of low priority, such as one while a password is typed. Fails if at most half of
    /// the slots are free.
    pub fn enqueue_spare(&self) -> Result<JudgeSlot<'_>, Error> {
        if self.slots.available_permits() > self.size / 2 { self.enqueue() } else { Err(queue_full()) }
    }
}

impl JudgeSlot<'_> {
    /// Runs the work on the thread. Fails if it doesn't start within the queue timeout.
    pub async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        self.judge.workers.run(self.judge.queue_timeout, move |()| work()).await
    }
}

/// Returns the rate limit per address for passwords of the lowest cost, to check before the cost is known.
pub(super) fn lowest_limit(action: Limit) -> AddressLimit {
    cost_limit(action, MIN_COST)
}

/// Returns the rate limit per address for passwords of this cost.
pub(super) fn cost_limit(action: Limit, cost: Duration) -> AddressLimit {
    let cost = cost.max(MIN_COST);
    let burst = u32::try_from(BURST.as_nanos() / cost.as_nanos().max(1)).unwrap_or(u32::MAX);
    AddressLimit { action, rule: RateLimit { burst: burst.max(1), interval: cost.saturating_mul(SHARE) } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::AppError;

    #[test]
    fn an_address_is_limited_in_rating_time_not_in_passwords_r24() {
        let of = |millis| {
            let RateLimit { burst, interval } = cost_limit(Limit::Judge, Duration::from_millis(millis)).rule;
            (burst, interval.as_millis())
        };
        assert_eq!([of(0), of(5), of(10), of(1000)], [(30, 1000), (30, 1000), (15, 2000), (1, 200_000)]);
    }

    #[tokio::test]
    async fn work_that_nobody_awaits_leaves_half_of_the_slots_r24() {
        let judge = Judge::start(9, Duration::from_millis(100)).expect("a thread");
        let spare: Vec<_> = std::iter::from_fn(|| judge.enqueue_spare().ok()).collect();
        let rest: Vec<_> = std::iter::from_fn(|| judge.enqueue().ok()).collect();
        assert_eq!((spare.len(), rest.len()), (5, 5));
        drop(rest);
        assert!(judge.enqueue_spare().is_err());
        drop(spare);
        assert!(judge.enqueue_spare().is_ok());
    }

    #[tokio::test]
    async fn a_full_queue_fails_at_once_and_a_slow_turn_times_out_r24() {
        let judge = Judge::start(1, Duration::from_millis(100)).expect("a thread");
        let (one, two) = (judge.enqueue().expect("a place"), judge.enqueue().expect("a place"));
        assert!(
            matches!(judge.enqueue(), Err(Error::Refused(AppError::Unavailable { .. }))),
            "the queue has two slots"
        );
        let (release, released) = std::sync::mpsc::channel::<()>();
        let working = one.run(move || released.recv().is_err());
        let waiting = async {
            let late = two.run(|| ()).await;
            drop(release);
            late
        };
        let (worked, late) = tokio::join!(working, waiting);
        assert!(worked.is_ok_and(|released| released));
        assert!(matches!(late, Err(Error::Refused(AppError::Unavailable { .. }))), "the job timed out in the queue");
        assert!(judge.enqueue().is_ok(), "the slots are free again");
    }

    #[tokio::test]
    async fn the_rating_thread_has_a_lower_priority_r24() {
        let judge = Judge::start(0, Duration::from_mins(5)).expect("a thread");
        let nice = judge.enqueue().expect("a place").run(|| rustix::process::getpriority_process(None));
        assert_eq!(nice.await.expect("an answer"), Ok(10));
    }
}
