//! Password hashing with argon2id (RFC 9106), on a fixed number of threads apart from the async runtime.

mod argon;
mod foreign;
mod memory;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

pub use self::argon::HashTimes;
use self::argon::{Argon, Comparison};
use super::{
    judge::Judge,
    workers::{ThreadSettings, Workers, queue_full},
};
use crate::{
    domain::{
        password::Password,
        stored_hash::{ForeignHash, StoredHash},
    },
    service::Error,
};

/// A comparison that takes more memory than this, in bytes, runs alone.
const LARGE: usize = 64 << 20;

/// The argon2 parameters and the limits of the queue.
#[derive(Clone, Copy, Debug)]
pub struct HashPolicy {
    /// Memory per hash, in KiB.
    pub memory_kib: u32,
    /// Passes over that memory.
    pub iterations: u32,
    /// Number of lanes.
    pub parallelism: u32,
    /// Hashes at the same time.
    pub permits: u32,
    /// Requests that may wait in the queue.
    pub queue: u32,
    /// How long a request may wait.
    pub queue_timeout: Duration,
}

/// Hashes and compares passwords.
#[derive(Debug)]
pub struct Hasher {
    argon: Arc<Argon>,
    workers: Workers<Argon>,
    slots: Arc<Semaphore>,
    /// The number of slots.
    size: usize,
    /// The permit of a comparison that takes much memory.
    large: Semaphore,
    queue_timeout: Duration,
    judge: Arc<Judge>,
}

/// The result of a comparison.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The password is wrong, or the account doesn't exist.
    Wrong,
    /// The password is right.
    Right {
        /// A new hash with the current parameters, if the stored hash has different ones.
        renewed: Option<String>,
    },
}

/// A slot in the queue. It is held from before an attempt is counted until its hash is done. When the queue is full,
/// requests are therefore rejected at once and not counted.
#[derive(Debug)]
pub struct Slot<'a> {
    hasher: &'a Hasher,
    _slot: OwnedSemaphorePermit,
}

impl Hasher {
    /// Starts the threads. Fails if argon2 rejects the parameters.
    pub fn new(policy: HashPolicy, salt: [u8; 16]) -> Result<Self, Error> {
        let argon = Arc::new(Argon::new(policy, salt)?);
        let workers = Workers::start(ThreadSettings { name: "hash", count: policy.permits, nice: 0 }, &argon)?;
        let size = policy.permits as usize + policy.queue as usize;
        let slots = Arc::new(Semaphore::new(size));
        let judge = Arc::new(Judge::start(policy.queue, policy.queue_timeout)?);
        let large = Semaphore::new(1);
        Ok(Self { argon, workers, slots, size, large, queue_timeout: policy.queue_timeout, judge })
    }

    /// Returns the judge of new passwords.
    #[must_use]
    pub const fn judge(&self) -> &Arc<Judge> {
        &self.judge
    }

    /// Returns the number of hashes computed so far.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.argon.runs()
    }

    /// How long hashing with argon2id, and comparing hashes of other systems, took.
    #[must_use]
    pub fn times(&self) -> HashTimes<'_> {
        self.argon.times()
    }

    /// The number of requests that hash or wait for it, and their maximum.
    #[must_use]
    pub fn load(&self) -> (usize, usize) {
        (self.size.saturating_sub(self.slots.available_permits()), self.size)
    }

    /// Frees the memory of hashes that are not running, for times without logins.
    pub fn release_memory(&self) {
        self.argon.release_memory();
    }

    /// Takes a slot in the queue. Fails if the queue is full.
    pub fn enqueue(&self) -> Result<Slot<'_>, Error> {
        let slot = Arc::clone(&self.slots).try_acquire_owned().map_err(|_| queue_full())?;
        Ok(Slot { hasher: self, _slot: slot })
    }
}

impl Slot<'_> {
    /// Hashes a new password into a PHC string. Fails after the queue timeout.
    pub async fn hash(&self, password: Password, salt: [u8; 16]) -> Result<String, Error> {
        self.run(move |argon| argon.hash(password.expose().as_bytes(), &salt)).await?
    }

    /// Compares a password with a stored hash, or with a dummy hash if there is no account. Fails after the queue
    /// timeout.
    ///
    /// The work is the same in both cases, so that the response time doesn't reveal whether an account exists. Hashes of
    /// other systems cost different work. As long as there are some, a failure is reported after the time that the
    /// most expensive of them takes (`foreign`), whatever was compared.
    pub async fn verify(
        &self,
        password: Password,
        stored: Option<String>,
        salt: [u8; 16],
        foreign: &[ForeignHash],
    ) -> Result<Verdict, Error> {
        let forms = u32::try_from(password.forms().count()).unwrap_or(2);
        let stored = stored.and_then(|text| {
            let stored = StoredHash::parse(&text);
            if stored.is_none() {
                tracing::error!("a stored password hash is invalid, its account can't log in");
            }
            stored
        });
        let floor = self.floor(foreign, forms).await?;
        let alone = match &stored {
            Some(StoredHash::Foreign(hash)) if hash.memory() > LARGE => Some(self.wait_for_memory().await?),
            _ => None,
        };
        let compared = self.run(move |argon| argon.compare(&password, stored.as_ref(), &salt)).await??;
        drop(alone);
        let Comparison { verdict, elapsed, usual } = compared;
        if verdict == Verdict::Wrong {
            // A hash with older, cheaper parameters fails sooner, too. The delay makes the response time the same.
            let floor = if usual { floor } else { floor.max(self.hasher.argon.usual()) };
            tokio::time::sleep(floor.saturating_sub(elapsed)).await;
        }
        Ok(verdict)
    }

    /// Returns the shortest time of a failed comparison while there are hashes of other systems. A password that has two
    /// forms may be compared twice.
    pub async fn floor(&self, foreign: &[ForeignHash], forms: u32) -> Result<Duration, Error> {
        if foreign.is_empty() {
            return Ok(Duration::ZERO);
        }
        let argon = &self.hasher.argon;
        let longest = if let Some(longest) = argon.longest(foreign) {
            longest
        } else {
            let hashes = foreign.to_vec();
            self.run(move |argon| argon.measure(&hashes)).await??;
            argon.longest(foreign).unwrap_or_default()
        };
        // A third more, because the time of a comparison varies.
        Ok((longest * forms).max(argon.usual()) * 4 / 3)
    }

    async fn wait_for_memory(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Error> {
        let permit = timeout(self.hasher.queue_timeout, self.hasher.large.acquire()).await;
        permit.map_err(|_| queue_full())?.map_err(|_| queue_full())
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&Argon) -> T + Send + 'static) -> Result<T, Error> {
        self.hasher.workers.run(self.hasher.queue_timeout, work).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::AppError;

    /// A timeout that is longer than any wait in the queue, even on a busy machine.
    const NO_TIMEOUT: Duration = Duration::from_mins(5);

    fn hasher(permits: u32, queue: u32, iterations: u32, queue_timeout: Duration) -> Hasher {
        Hasher::new(HashPolicy { memory_kib: 64, iterations, parallelism: 1, permits, queue, queue_timeout }, [1; 16])
            .expect("good parameters")
    }

    fn password(text: &str) -> Password {
        Password::parse(text).expect("a password")
    }

    #[tokio::test]
    async fn a_full_queue_fails_at_once_and_a_slow_turn_times_out_r24() {
        let hasher = hasher(1, 1, 1, Duration::from_millis(500));
        let (one, two) = (hasher.enqueue().expect("a place"), hasher.enqueue().expect("a place"));
        assert!(
            matches!(hasher.enqueue(), Err(Error::Refused(AppError::Unavailable { .. }))),
            "the queue has two slots"
        );
        let (release, released) = std::sync::mpsc::channel::<()>();
        let working = one.run(move |_| released.recv().is_err());
        let waiting = async {
            let late = two.hash(password("x"), [0; 16]).await;
            drop(release);
            late
        };
        let (worked, late) = tokio::join!(working, waiting);
        assert!(worked.is_ok_and(|released| released));
        assert!(matches!(late, Err(Error::Refused(AppError::Unavailable { .. }))), "the job timed out in the queue");
        drop((one, two));
        assert!(hasher.enqueue().is_ok(), "the slots are free again");
    }

    #[tokio::test]
    async fn a_caller_who_leaves_before_its_turn_costs_no_hash_r24() {
        let hasher = hasher(1, 4, 1, NO_TIMEOUT);
        let before = hasher.runs();
        let (busy, place) = (hasher.enqueue().expect("a place"), hasher.enqueue().expect("a place"));
        let (release, released) = std::sync::mpsc::channel::<()>();
        let working = busy.run(move |_| released.recv().is_err());
        let leaving = async {
            let left = tokio::time::timeout(Duration::from_millis(5), place.hash(password("x"), [0; 16])).await;
            drop(release);
            left.is_err()
        };
        let (worked, left) = tokio::join!(working, leaving);
        assert!(worked.is_ok_and(|released| released) && left);
        // The one thread runs jobs in order. When this job is done, the thread has skipped the previous one.
        assert!(place.run(|_| ()).await.is_ok());
        assert_eq!(hasher.runs(), before);
    }

    #[tokio::test]
    async fn a_panic_fails_one_hash_and_ends_no_thread_r84() {
        let hasher = hasher(1, 4, 1, NO_TIMEOUT);
        let place = hasher.enqueue().expect("a place");
        let broken = place.run(|_| -> u32 { panic!("a bug") }).await;
        assert!(matches!(broken, Err(Error::Fault(_))));
        assert!(matches!(place.run(|_| 7).await, Ok(7)));
    }

    #[tokio::test]
    async fn memory_is_reused_by_the_next_hash_until_it_is_freed_r24() {
        let hasher = hasher(1, 4, 1, NO_TIMEOUT);
        let place = hasher.enqueue().expect("a place");
        for _ in 0..2 {
            place.hash(password("x"), [0; 16]).await.expect("a hash");
            assert_eq!(hasher.argon.pieces(), 1);
        }
        hasher.release_memory();
        assert_eq!(hasher.argon.pieces(), 0);
    }

    #[tokio::test]
    async fn only_the_right_password_of_a_known_account_matches() {
        let (old, new) = (hasher(1, 4, 1, NO_TIMEOUT), hasher(1, 4, 2, NO_TIMEOUT));
        let stored = old.enqueue().expect("a place").hash(password("right"), [2; 16]).await.expect("a hash");
        let place = new.enqueue().expect("a place");
        let verify = |text: &str, stored: Option<String>| place.verify(password(text), stored, [3; 16], &[]);
        assert_eq!(verify("wrong", Some(stored.clone())).await.expect("a verdict"), Verdict::Wrong);
        assert_eq!(verify("\0", None).await.expect("a verdict"), Verdict::Wrong, "no password matches the dummy hash");
        let broken = Some("$argon2i$v=19$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$x".to_owned());
        assert_eq!(verify("right", broken).await.expect("a verdict"), Verdict::Wrong);
        let Verdict::Right { renewed: Some(renewed) } = verify("right", Some(stored)).await.expect("a verdict") else {
            panic!("an older hash is renewed");
        };
        assert_eq!(verify("right", Some(renewed)).await.expect("a verdict"), Verdict::Right { renewed: None });
    }
}
