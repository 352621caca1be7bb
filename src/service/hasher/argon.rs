//! argon2id itself, and its stored form.

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
    service::{Error, workers::busy},
};

/// Bytes of a tag.
const TAG_BYTES: usize = 32;

/// argon2id under the present parameters, with memory that is kept from one hash to the next: taking it anew from the
/// operating system, page by page, would cost a sixth of the hash again.
#[derive(Debug)]
pub struct Argon {
    params: Params,
    /// A hash of nothing that anybody could type: what a name without an account is compared with.
    dummy: String,
    /// The memory of hashes that are not running: as many pieces at most as ever ran at once.
    memory: Mutex<Vec<Memory>>,
    runs: AtomicU64,
    /// Nanoseconds that a comparison under the present parameters takes, as a running mean.
    usual: AtomicU64,
}

type Memory = Vec<Block>;

impl Argon {
    /// # Errors
    /// [`Error::Fault`] when argon2 doesn't take the parameters.
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

    /// Passwords hashed or compared so far.
    pub fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    /// Hashes a password into a PHC string.
    pub fn hash(&self, password: &[u8], salt: &[u8; 16]) -> Result<String, Error> {
        let (version, params) = (Version::V0x13, self.params.clone());
        let tag = self.tag(password, salt, version, &params)?;
        StoredHash { salt: Salt::new(salt).map_err(fault)?, tag, version, params }.to_phc()
    }

    /// The verdict and, where it came sooner than usual, the time spent on it.
    pub fn compare(
        &self,
        password: &Password,
        stored: Option<&str>,
        salt: &[u8; 16],
    ) -> Result<(Verdict, Option<Duration>), Error> {
        let known = stored.and_then(|text| {
            let stored = StoredHash::parse(text);
            if stored.is_none() {
                tracing::error!("a stored password hash can't be read; its account can't log in");
            }
            stored
        });
        let real = known.is_some();
        let dummy = || StoredHash::parse(&self.dummy).ok_or_else(|| fault("the dummy hash can't be read"));
        let StoredHash { salt: old_salt, tag, version, params } = known.map_or_else(dummy, Ok)?;
        let password = password.expose().as_bytes();
        let started = Instant::now();
        // The tags are compared in constant time.
        let right = self.tag(password, &old_salt, version, &params)? == tag;
        let spent = started.elapsed();
        let current = self.is_current(&params);
        if current {
            self.note_usual(spent);
        }
        if !(right && real) {
            return Ok((Verdict::Wrong, (!current).then_some(spent)));
        }
        let renewed = if current { None } else { Some(self.hash(password, salt)?) };
        Ok((Verdict::Right { renewed }, None))
    }

    /// Pieces of memory that are kept.
    #[cfg(test)]
    pub fn pieces(&self) -> usize {
        self.memory().len()
    }

    /// How long a comparison takes.
    pub fn usual(&self) -> Duration {
        Duration::from_nanos(self.usual.load(Ordering::Relaxed))
    }

    /// Gives the memory of hashes that are not running back to the operating system.
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

    fn note_usual(&self, spent: Duration) {
        let spent = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
        self.usual.store(running_mean(self.usual.load(Ordering::Relaxed), spent), Ordering::Relaxed);
    }

    // The list is whole at every moment, so a panic elsewhere while the lock was held harmed nothing.
    fn memory(&self) -> MutexGuard<'_, Vec<Memory>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks at the start for the memory of all hashes that may run at once, so that a limit that is too low is found before anybody
/// waits for one.
fn reserve(policy: HashPolicy, blocks: usize) -> Result<(), Error> {
    let mut pieces = Vec::new();
    for _ in 0..policy.permits {
        let mut piece = Memory::new();
        piece.try_reserve_exact(blocks).map_err(|_| {
            let (permits, mib) = (policy.permits, policy.memory_kib.div_ceil(1024));
            Error::Fault(format!(
                "there is no memory for {permits} password hashes at once, which take {mib} MiB each. Give the server more \
                 memory, or lower password.hashing_threads or password.argon2_memory_kib"
            ))
        })?;
        pieces.push(piece);
    }
    // Otherwise the compiler may leave out what nobody uses.
    std::hint::black_box(&pieces);
    Ok(())
}

/// Makes memory large enough for a hash. Where there is none, the caller hears that the server is busy; growing it in the usual way
/// would end the server.
fn grow(memory: &mut Memory, blocks: usize) -> Result<(), Error> {
    memory.try_reserve_exact(blocks.saturating_sub(memory.len())).map_err(|cause| {
        tracing::error!(%cause, "there is no memory for a password hash");
        busy()
    })?;
    memory.resize(memory.len().max(blocks), Block::new());
    Ok(())
}

/// The mean of so many values, of which the latest counts for an eighth. None is 0.
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
    fn a_mean_follows_slowly() {
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
    fn a_hash_that_gets_no_memory_is_refused_and_ends_nothing_r98() {
        let mut memory = vec![Block::new()];
        let refused = grow(&mut memory, usize::MAX >> 11);
        assert!(matches!(refused, Err(Error::Refused(AppError::Unavailable { .. }))), "{refused:?}");
        assert!(grow(&mut memory, 2).is_ok_and(|()| memory.len() == 2), "a smaller one gets it");
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
        assert!(cause.starts_with("there is no memory for 64 password hashes at once"), "{cause}");
    }

    #[test]
    fn only_a_failure_under_other_parameters_has_its_time_made_up_r14() {
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
    fn the_usual_time_is_known_from_the_start_and_renewed_by_each_comparison() {
        let argon = argon(1);
        assert!(argon.usual() > Duration::ZERO);
        argon.usual.store(1 << 50, Ordering::Relaxed);
        argon.compare(&Password::parse("x").expect("a password"), None, &[2; 16]).expect("a verdict");
        assert!(argon.usual() < Duration::from_nanos(1 << 50));
    }
}
