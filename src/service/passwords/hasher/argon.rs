//! Computes argon2id hashes.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, Salt},
};

use super::{HashPolicy, StoredHash, Verdict};
use crate::{
    domain::password::Password,
    service::{Error, passwords::workers::queue_full},
};

/// Length of a hash's output.
const TAG_BYTES: usize = 32;

/// argon2id with the current parameters. Memory is reused between hashes: allocating it again from the operating
/// system, page by page, would make a hash a sixth slower.
#[derive(Debug)]
pub struct Argon {
    params: Params,
    /// The hash for names without an account. Its password can't be entered.
    dummy: String,
    /// The memory of hashes that are not running. It holds at most as many pieces as hashes ever ran at the same time.
    memory: Mutex<Vec<Memory>>,
    runs: AtomicU64,
    /// Running mean of the time that a comparison with the current parameters takes, in nanoseconds.
    usual: AtomicU64,
}

type Memory = Vec<Block>;

impl Argon {
    /// Fails if argon2 rejects the parameters or there is not enough memory.
    pub fn new(policy: HashPolicy, salt: [u8; 16]) -> Result<Self, Error> {
        let params = Params::new(policy.memory_kib, policy.iterations, policy.parallelism, Some(TAG_BYTES));
        let params = params.map_err(fault)?;
        reserve(policy, params.block_count())?;
        let (runs, usual) = (AtomicU64::new(0), AtomicU64::new(0));
        let mut argon = Self { params, dummy: String::new(), memory: Mutex::default(), runs, usual };
        let started = Instant::now();
        argon.dummy = argon.hash(b"\0", &salt)?;
        argon.note_usual(started.elapsed());
        argon.release_memory();
        Ok(argon)
    }

    /// Returns the number of hashes computed so far.
    pub fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    /// Hashes a password into a PHC string.
    pub fn hash(&self, password: &[u8], salt: &[u8; 16]) -> Result<String, Error> {
        let (version, params) = (Version::V0x13, self.params.clone());
        let tag = self.tag(password, salt, version, &params)?;
        StoredHash { salt: Salt::new(salt).map_err(fault)?, tag, version, params }.to_phc()
    }

    /// Returns the verdict, and the time it took if the comparison failed with other than the current parameters.
    pub fn compare(
        &self,
        password: &Password,
        stored: Option<&str>,
        salt: &[u8; 16],
    ) -> Result<(Verdict, Option<Duration>), Error> {
        let known = stored.and_then(|text| {
            let stored = StoredHash::parse(text);
            if stored.is_none() {
                tracing::error!("a stored password hash is invalid, its account can't log in");
            }
            stored
        });
        let real = known.is_some();
        let dummy = || StoredHash::parse(&self.dummy).ok_or_else(|| fault("the dummy hash is invalid"));
        let StoredHash { salt: old_salt, tag, version, params } = known.map_or_else(dummy, Ok)?;
        let password = password.expose().as_bytes();
        let started = Instant::now();
        // The tags are compared in constant time.
        let right = self.tag(password, &old_salt, version, &params)? == tag;
        let elapsed = started.elapsed();
        let current = self.is_current(&params);
        if current {
            self.note_usual(elapsed);
        }
        if !(right && real) {
            return Ok((Verdict::Wrong, (!current).then_some(elapsed)));
        }
        let renewed = if current { None } else { Some(self.hash(password, salt)?) };
        Ok((Verdict::Right { renewed }, None))
    }

    /// Returns how many pieces of memory are held for reuse.
    #[cfg(test)]
    pub fn pieces(&self) -> usize {
        self.memory().len()
    }

    /// Returns how long a comparison usually takes.
    pub fn usual(&self) -> Duration {
        Duration::from_nanos(self.usual.load(Ordering::Relaxed))
    }

    /// Frees the memory of hashes that are not running.
    pub fn release_memory(&self) {
        self.memory().clear();
    }

    fn tag(&self, password: &[u8], salt: &[u8], version: Version, params: &Params) -> Result<Output, Error> {
        let mut memory = self.memory().pop().unwrap_or_default();
        grow(&mut memory, params.block_count())?;
        self.runs.fetch_add(1, Ordering::Relaxed);
        let length = params.output_len().unwrap_or(TAG_BYTES);
        let argon2 = Argon2::new(Algorithm::Argon2id, version, params.clone());
        let mut outcome = Ok(());
        let tag = Output::init_with(length, |tag| {
            outcome = argon2.hash_password_into_with_memory(password, salt, tag, &mut memory);
            Ok(())
        });
        self.memory().push(memory);
        outcome.map_err(fault)?;
        tag.map_err(fault)
    }

    fn is_current(&self, other: &Params) -> bool {
        let ours = &self.params;
        (ours.m_cost(), ours.t_cost(), ours.p_cost()) == (other.m_cost(), other.t_cost(), other.p_cost())
    }

    fn note_usual(&self, elapsed: Duration) {
        let elapsed = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.usual.store(running_mean(self.usual.load(Ordering::Relaxed), elapsed), Ordering::Relaxed);
    }

    // The list is consistent at every moment, so a panic while the lock was held does no harm.
    fn memory(&self) -> MutexGuard<'_, Vec<Memory>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Allocates the memory of all concurrent hashes once at the start. A memory limit that is too low is therefore found
/// before the first request.
fn reserve(policy: HashPolicy, blocks: usize) -> Result<(), Error> {
    let mut pieces = Vec::new();
    for _ in 0..policy.permits {
        let mut piece = Memory::new();
        piece.try_reserve_exact(blocks).map_err(|_| {
            let (permits, mib) = (policy.permits, policy.memory_kib.div_ceil(1024));
            Error::Fault(format!(
                "not enough memory for {permits} password hashes at once, which take {mib} MiB each. Give the server more \
                 memory, or lower password.hashing_threads or password.argon2_memory_kib"
            ))
        })?;
        pieces.push(piece);
    }
    // Otherwise the compiler may remove the unused allocations.
    std::hint::black_box(&pieces);
    Ok(())
}

/// Grows memory to the size of a hash. If there is not enough, the caller gets an error that the server is busy. A
/// failed ordinary allocation would abort the server.
fn grow(memory: &mut Memory, blocks: usize) -> Result<(), Error> {
    memory.try_reserve_exact(blocks.saturating_sub(memory.len())).map_err(|cause| {
        tracing::error!(%cause, "not enough memory for a password hash");
        queue_full()
    })?;
    memory.resize(memory.len().max(blocks), Block::new());
    Ok(())
}

/// Computes a running mean in which the latest value has a weight of one eighth. 0 means no value yet.
const fn running_mean(before: u64, latest: u64) -> u64 {
    if before == 0 { latest } else { before - before / 8 + latest / 8 }
}

pub(super) fn fault(cause: impl std::fmt::Display) -> Error {
    Error::Fault(format!("argon2 failed: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::AppError;

    #[test]
    fn the_usual_time_is_a_moving_average() {
        assert_eq!(running_mean(0, 80), 80);
        assert_eq!(running_mean(80, 160), 90);
        assert_eq!(running_mean(90, 0), 79);
        assert_eq!(running_mean(800, 800), 800);
    }

    fn argon(iterations: u32) -> Argon {
        let (queue, queue_timeout) = (1, Duration::ZERO);
        Argon::new(HashPolicy { memory_kib: 8, iterations, parallelism: 1, permits: 1, queue, queue_timeout }, [1; 16])
            .expect("good parameters")
    }

    #[test]
    fn a_hash_without_memory_fails_and_stops_nothing_r98() {
        let mut memory = vec![Block::new()];
        let refused = grow(&mut memory, usize::MAX >> 11);
        assert!(matches!(refused, Err(Error::Refused(AppError::Unavailable { .. }))), "{refused:?}");
        assert!(grow(&mut memory, 2).is_ok_and(|()| memory.len() == 2), "a smaller allocation succeeds");
    }

    #[test]
    fn a_server_without_memory_for_its_hashes_refuses_to_start() {
        // More than a process can address.
        let policy = HashPolicy {
            memory_kib: u32::MAX,
            iterations: 1,
            parallelism: 1,
            permits: 64,
            queue: 1,
            queue_timeout: Duration::ZERO,
        };
        let Err(Error::Fault(cause)) = Argon::new(policy, [1; 16]) else { panic!("it starts") };
        assert!(cause.starts_with("not enough memory for 64 password hashes at once"), "{cause}");
    }

    #[test]
    fn only_a_failure_under_other_parameters_is_padded_r14() {
        let (old, new) = (argon(1), argon(2));
        let stored = |argon: &Argon| argon.hash(b"right", &[2; 16]).expect("a hash");
        let short = |stored: Option<String>| {
            let password = Password::parse("wrong").expect("a password");
            let (verdict, short) = new.compare(&password, stored.as_deref(), &[3; 16]).expect("a verdict");
            assert_eq!(verdict, Verdict::Wrong);
            short.is_some()
        };
        assert_eq!([short(Some(stored(&old))), short(Some(stored(&new))), short(None)], [true, false, false]);
    }

    #[test]
    fn the_usual_time_is_measured_at_start_and_by_each_comparison() {
        let argon = argon(1);
        assert!(argon.usual() > Duration::ZERO);
        argon.usual.store(1 << 50, Ordering::Relaxed);
        argon.compare(&Password::parse("x").expect("a password"), None, &[2; 16]).expect("a verdict");
        assert!(argon.usual() < Duration::from_nanos(1 << 50));
    }
}
