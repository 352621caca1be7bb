//! New passwords are judged on a thread of their own, with a queue of its own. The thread gives way to those that hash, so no login
//! waits for it.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    Caller, Error, Service,
    strength::{Candidate, Words},
    workers::{Crew, Workers, busy},
};
use crate::{
    domain::password::Password,
    error::Problem,
    store::{RateLimit, User},
};

/// One thread is enough: judging a password takes a hundredth to a half of the time of hashing it.
const CREW: Crew = Crew { name: "judge", count: 1, nice: 10 };

/// Processor time that an address may spend on judging at once.
const AT_ONCE: Duration = Duration::from_millis(150);
/// Of the time afterwards, the share that it may spend: one part of so many.
const SHARE: u32 = 200;
/// What a password costs at least, for counting it takes time as well.
const LEAST: Duration = Duration::from_millis(5);

/// Judges passwords, one after the other.
#[derive(Debug)]
pub struct Judge {
    workers: Workers<()>,
    places: Arc<Semaphore>,
    /// How many places there are.
    size: usize,
    queue_timeout: Duration,
}

/// A place in the queue.
#[derive(Debug)]
pub struct Turn<'a> {
    judge: &'a Judge,
    _place: OwnedSemaphorePermit,
}

impl Judge {
    /// # Errors
    /// [`Error::Fault`] when the operating system gives no thread.
    pub fn start(queue: u32, queue_timeout: Duration) -> Result<Self, Error> {
        let workers = Workers::start(CREW, &Arc::new(()))?;
        let size = CREW.count as usize + queue as usize;
        Ok(Self { workers, places: Arc::new(Semaphore::new(size)), size, queue_timeout })
    }

    /// Takes a place in the queue.
    ///
    /// # Errors
    /// [`AppError::Unavailable`](crate::error::AppError::Unavailable) when the queue is full.
    pub fn enqueue(&self) -> Result<Turn<'_>, Error> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| busy())?;
        Ok(Turn { judge: self, _place: place })
    }

    /// Takes a place for a judgement that nobody waits for, such as one while somebody types. It leaves half of the places free.
    ///
    /// # Errors
    /// [`AppError::Unavailable`](crate::error::AppError::Unavailable) when no more than that are free.
    pub fn enqueue_spare(&self) -> Result<Turn<'_>, Error> {
        if self.places.available_permits() > self.size / 2 { self.enqueue() } else { Err(busy()) }
    }
}

impl Turn<'_> {
    /// Does the work when its turn has come.
    ///
    /// # Errors
    /// [`AppError::Unavailable`](crate::error::AppError::Unavailable) when that takes too long.
    pub async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        self.judge.workers.run(self.judge.queue_timeout, move |()| work()).await
    }
}

impl Service {
    /// What is wrong with a new password, if anything, beside an email and a username that need not be well-formed. A caller from
    /// outside pays for the judging by its address's allowance of processor time. It pays before it takes a place, or a full queue
    /// would be free to whoever fills it.
    ///
    /// # Errors
    /// [`AppError::RateLimited`](crate::error::AppError::RateLimited), [`AppError::Unavailable`](crate::error::AppError::Unavailable).
    pub(super) async fn judge(
        &self,
        caller: Option<&Caller>,
        password: &Password,
        [email, username]: [&str; 2],
    ) -> Result<Option<Problem>, Error> {
        if let Some(caller) = caller {
            self.free_judging("judge", caller)?;
        }
        let candidate = match Candidate::new(password, &self.words(email, username), self.policy.password_min_length) {
            Ok(candidate) => candidate,
            Err(problem) => return Ok(Some(problem)),
        };
        if let Some(caller) = caller {
            self.check_rate_limit("judge", allowance(candidate.cost()), caller).await?;
        }
        let turn = self.hasher.judge().enqueue()?;
        Ok(turn.run(move || candidate.judge()).await?.err())
    }

    /// As [`Service::judge`], for an account that is there.
    ///
    /// # Errors
    /// As [`Service::judge`].
    pub(super) async fn judge_for(
        &self,
        caller: Option<&Caller>,
        user: &User,
        password: &Password,
    ) -> Result<Option<Problem>, Error> {
        self.judge(caller, password, [&user.email, &user.username]).await
    }

    /// Refuses an address that is known to have to wait, before a password costs any work.
    pub(super) fn free_judging(&self, door: &str, caller: &Caller) -> Result<(), Error> {
        self.rate_limit_key(door, caller, allowance(LEAST)).map(drop)
    }

    /// What a guesser tries first at an account.
    pub(super) fn words(&self, email: &str, username: &str) -> Words {
        Words::new(email, username, &self.policy.service_names)
    }
}

/// An address's allowance of passwords that cost as much.
pub(super) fn allowance(cost: Duration) -> RateLimit {
    let cost = cost.max(LEAST);
    let burst = u32::try_from(AT_ONCE.as_nanos() / cost.as_nanos().max(1)).unwrap_or(u32::MAX);
    RateLimit { burst: burst.max(1), interval: cost.saturating_mul(SHARE) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::AppError;

    #[test]
    fn an_address_has_judging_time_and_no_number_of_passwords_r24() {
        let of = |millis| {
            let RateLimit { burst, interval } = allowance(Duration::from_millis(millis));
            (burst, interval.as_millis())
        };
        assert_eq!([of(0), of(5), of(10), of(1000)], [(30, 1000), (30, 1000), (15, 2000), (1, 200_000)]);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_leaves_half_of_the_places_r24() {
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
    async fn a_full_queue_answers_at_once_and_a_slow_turn_in_time_r24() {
        let judge = Judge::start(1, Duration::from_millis(100)).expect("a thread");
        let (one, two) = (judge.enqueue().expect("a place"), judge.enqueue().expect("a place"));
        assert!(matches!(judge.enqueue(), Err(Error::Refused(AppError::Unavailable { .. }))), "no third place");
        let (release, released) = std::sync::mpsc::channel::<()>();
        let working = one.run(move || released.recv().is_err());
        let waiting = async {
            let late = two.run(|| ()).await;
            drop(release);
            late
        };
        let (worked, late) = tokio::join!(working, waiting);
        assert!(worked.is_ok_and(|released| released));
        assert!(matches!(late, Err(Error::Refused(AppError::Unavailable { .. }))), "its turn did not come");
        assert!(judge.enqueue().is_ok(), "room again");
    }

    #[tokio::test]
    async fn the_thread_gives_way_to_others_r24() {
        let judge = Judge::start(0, Duration::from_mins(5)).expect("a thread");
        let nice = judge.enqueue().expect("a place").run(|| rustix::process::getpriority_process(None));
        assert_eq!(nice.await.expect("an answer"), Ok(10));
    }
}
