//! Computes argon2id hashes, and compares passwords with stored hashes.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::phc::{Output, Salt},
};

use super::{
    HashPolicy, Verdict, foreign,
    memory::{Memory, fault, grow},
};
use crate::{
    domain::{
        figures::Durations,
        password::Password,
        stored_hash::{Argon2Hash, ForeignHash, StoredHash},
    },
    service::Error,
};

/// Length of a hash's output.
const TAG_BYTES: usize = 32;

/// argon2id with the current parameters. Memory is reused between hashes: allocating it again from the operating
/// system, page by page, would make a hash a sixth slower.
#[derive(Debug)]
pub struct Argon {
    params: Params,
    /// The hash for names without an account. Its password can't be entered.
    dummy: Option<Argon2Hash>,
    /// The memory of hashes that are not running. It holds at most as many pieces as hashes ever ran at the same time.
    memory: Mutex<Vec<Memory>>,
    runs: AtomicU64,
    /// Running mean of the time that a comparison with the current parameters takes, in nanoseconds.
    usual: AtomicU64,
    /// The same for the most expensive hashes of other systems, without their salts and outputs.
    foreign: Mutex<HashMap<String, u64>>,
    own_times: Durations,
    foreign_times: Durations,
}

/// How long hashes took on their threads.
#[derive(Clone, Copy, Debug)]
pub struct HashTimes<'a> {
    /// With argon2id.
    pub own: &'a Durations,
    /// Comparisons with hashes of other systems.
    pub foreign: &'a Durations,
}

/// The result of a comparison, and its cost.
#[derive(Debug)]
pub struct Comparison {
    pub verdict: Verdict,
    /// How long it took.
    pub elapsed: Duration,
    /// Whether it took the work of the current parameters.
    pub usual: bool,
}

impl Argon {
    /// Fails if argon2 rejects the parameters or there is not enough memory.
    pub fn new(policy: HashPolicy, salt: [u8; 16]) -> Result<Self, Error> {
        let params = Params::new(policy.memory_kib, policy.iterations, policy.parallelism, Some(TAG_BYTES));
        let params = params.map_err(fault)?;
        reserve(policy, params.block_count())?;
        let (runs, usual) = (AtomicU64::new(0), AtomicU64::new(0));
        let (memory, foreign) = (Mutex::default(), Mutex::default());
        let (own_times, foreign_times) = (Durations::default(), Durations::default());
        let mut argon = Self { params, dummy: None, memory, runs, usual, foreign, own_times, foreign_times };
        let started = Instant::now();
        argon.dummy = Some(argon.own(b"\0", &salt)?);
        argon.note_usual(started.elapsed());
        argon.release_memory();
        Ok(argon)
    }

    /// Returns the number of hashes computed so far.
    pub fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    /// How long hashes took.
    pub const fn times(&self) -> HashTimes<'_> {
        HashTimes { own: &self.own_times, foreign: &self.foreign_times }
    }

    /// Hashes a password into a PHC string.
    pub fn hash(&self, password: &[u8], salt: &[u8; 16]) -> Result<String, Error> {
        let started = Instant::now();
        let hash = self.own(password, salt)?.to_string();
        self.own_times.note(started.elapsed());
        Ok(hash)
    }

    fn own(&self, password: &[u8], salt: &[u8; 16]) -> Result<Argon2Hash, Error> {
        let (algorithm, version, params) = (Algorithm::Argon2id, Version::V0x13, self.params.clone());
        let tag = self.tag(password, salt, version, &params)?;
        Ok(Argon2Hash { algorithm, version, params, salt: Salt::new(salt).map_err(fault)?, tag })
    }

    /// Compares a password with a stored hash, or with a dummy hash if there is none.
    pub fn compare(
        &self,
        password: &Password,
        stored: Option<&StoredHash>,
        salt: &[u8; 16],
    ) -> Result<Comparison, Error> {
        if let Some(StoredHash::Foreign(hash)) = stored {
            return self.compare_foreign(password, hash, salt);
        }
        let (real, hash) = match stored {
            Some(StoredHash::Own(own)) => (true, Some(own)),
            _ => (false, self.dummy.as_ref()),
        };
        let Argon2Hash { salt: old_salt, tag, version, params, .. } =
            hash.ok_or_else(|| fault("there is no dummy hash"))?;
        let password = password.expose().as_bytes();
        let started = Instant::now();
        // The tags are compared in constant time.
        let right = self.tag(password, old_salt, *version, params)? == *tag;
        let elapsed = started.elapsed();
        self.own_times.note(elapsed);
        let usual = self.is_current(params);
        if usual {
            self.note_usual(elapsed);
        }
        let verdict = if !(right && real) {
            Verdict::Wrong
        } else if usual {
            Verdict::Right { renewed: None }
        } else {
            Verdict::Right { renewed: Some(self.hash(password, salt)?) }
        };
        Ok(Comparison { verdict, elapsed, usual })
    }

    /// Compares a password with a hash of another system: as typed, and then in its normal form if that is different.
    /// Other systems hash what was typed.
    fn compare_foreign(&self, password: &Password, hash: &ForeignHash, salt: &[u8; 16]) -> Result<Comparison, Error> {
        let started = Instant::now();
        let mut right = false;
        for form in password.forms() {
            right = right || self.matches(hash, form.as_bytes())?;
        }
        let elapsed = started.elapsed();
        self.foreign_times.note(elapsed);
        let verdict = if right {
            Verdict::Right { renewed: Some(self.hash(password.expose().as_bytes(), salt)?) }
        } else {
            Verdict::Wrong
        };
        Ok(Comparison { verdict, elapsed, usual: false })
    }

    /// Whether a password has a hash of another system. Notes the time if it is one of the most expensive.
    fn matches(&self, hash: &ForeignHash, password: &[u8]) -> Result<bool, Error> {
        let started = Instant::now();
        self.runs.fetch_add(1, Ordering::Relaxed);
        let mut memory = self.memory().pop().unwrap_or_default();
        let right = foreign::matches(hash, password, &mut memory);
        // A piece that is larger than usual would be held for nothing.
        if memory.len() <= self.params.block_count() {
            self.memory().push(memory);
        }
        let mut costs = self.foreign_costs();
        if let Some(cost) = costs.get_mut(&hash.blank().to_string()) {
            *cost = running_mean(*cost, nanos(started.elapsed()));
        }
        right
    }

    /// Measures a comparison with each of some hashes that was not measured before.
    pub fn measure(&self, hashes: &[ForeignHash]) -> Result<(), Error> {
        for hash in hashes {
            let key = hash.blank().to_string();
            let known = self.foreign_costs().contains_key(&key);
            if !known {
                let started = Instant::now();
                self.matches(hash, b"\0")?;
                self.foreign_costs().insert(key, nanos(started.elapsed()));
            }
        }
        Ok(())
    }

    /// Returns the longest time that a comparison with one of some hashes usually takes, or `None` if one of them was
    /// never measured.
    pub fn longest(&self, hashes: &[ForeignHash]) -> Option<Duration> {
        let costs = self.foreign_costs();
        let measured = hashes.iter().map(|hash| costs.get(&hash.blank().to_string()));
        measured.collect::<Option<Vec<_>>>()?.into_iter().max().map(|nanos| Duration::from_nanos(*nanos))
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
        self.usual.store(running_mean(self.usual.load(Ordering::Relaxed), nanos(elapsed)), Ordering::Relaxed);
    }

    // Each entry is consistent at every moment, too.
    fn foreign_costs(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.foreign.lock().unwrap_or_else(PoisonError::into_inner)
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

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Computes a running mean in which the latest value has a weight of one eighth. 0 means no value yet.
const fn running_mean(before: u64, latest: u64) -> u64 {
    if before == 0 { latest } else { before - before / 8 + latest / 8 }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let stored = stored.as_deref().and_then(StoredHash::parse);
            let compared = new.compare(&password, stored.as_ref(), &[3; 16]).expect("a verdict");
            assert_eq!(compared.verdict, Verdict::Wrong);
            !compared.usual
        };
        assert_eq!([short(Some(stored(&old))), short(Some(stored(&new))), short(None)], [true, false, false]);
    }

    #[test]
    fn a_foreign_hash_has_no_known_cost_until_it_is_measured_r146() {
        let (argon, text) = (argon(1), format!("$pbkdf2-sha256$i=1,l=32${}${}", "A".repeat(22), "A".repeat(43)));
        let Some(StoredHash::Foreign(hash)) = StoredHash::parse(&text) else { panic!("a foreign hash") };
        let hashes = [hash];
        assert_eq!(argon.longest(&hashes), None);
        argon.measure(&hashes).expect("measured");
        assert!(argon.longest(&hashes).is_some_and(|cost| cost > Duration::ZERO));
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
