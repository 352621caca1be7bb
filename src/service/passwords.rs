//! Passwords: comparing them, judging new ones and hashing them.
//!
//! Every entry point verifies and sets passwords here, so that none bypasses a rate limit or the queue for hashing.

mod attempt;
mod change;
mod hasher;
mod judge;
mod meter;
mod strength;
mod workers;

use std::sync::Arc;

pub(super) use self::attempt::{Attempt, KnownBy};
use self::judge::{cost_limit, lowest_limit};
pub use self::{
    change::PasswordChanged,
    hasher::{HashPolicy, HashTimes, Hasher, Slot, Verdict},
    judge::{Judge, JudgeSlot},
    strength::{Candidate, Words},
};
use super::{Caller, Error, Policy, counts::Limit, entropy::Entropy, imports::FactsCache, rate_limits::RateLimits};
use crate::{
    domain::password::Password,
    error::{Field, Problem},
    store::User,
};

/// Verifies passwords and sets new ones.
#[derive(Debug)]
pub(super) struct Passwords {
    hasher: Hasher,
    entropy: Arc<dyn Entropy>,
    policy: Arc<Policy>,
    rate_limits: Arc<RateLimits>,
    import_facts: Arc<FactsCache>,
}

impl Passwords {
    pub(super) fn new(
        hasher: Hasher,
        entropy: Arc<dyn Entropy>,
        policy: Arc<Policy>,
        rate_limits: Arc<RateLimits>,
        import_facts: Arc<FactsCache>,
    ) -> Self {
        Self { hasher, entropy, policy, rate_limits, import_facts }
    }

    /// Returns the number of hashes computed so far.
    pub(super) fn hashes_run(&self) -> u64 {
        self.hasher.runs()
    }

    /// Returns the hasher, for its figures.
    pub(super) const fn hasher(&self) -> &Hasher {
        &self.hasher
    }

    /// Frees the memory of hashes that are not running.
    pub(super) fn release_memory(&self) {
        self.hasher.release_memory();
    }

    /// Measures the cost of the most expensive hashes of other systems, unless that was done before. Otherwise the next
    /// failed login does it, and takes longer.
    pub(super) async fn measure_foreign_hashes(&self) -> Result<(), Error> {
        let facts = self.import_facts.current().await?;
        self.hasher.enqueue()?.floor(&facts.foreign, 1).await.map(drop)
    }

    /// Compares a password with a stored hash, or with a dummy hash if there is none. As long as there are hashes of
    /// other systems, every failure takes as long as with the most expensive of them.
    pub(super) async fn verify(
        &self,
        slot: &Slot<'_>,
        password: Password,
        stored: Option<String>,
    ) -> Result<Verdict, Error> {
        let facts = self.import_facts.current().await?;
        slot.verify(password, stored, self.new_salt(), &facts.foreign).await
    }

    /// Hashes an acceptable password.
    pub(super) async fn hash(&self, password: Password) -> Result<String, Error> {
        let slot = self.hasher.enqueue()?;
        self.hash_in(&slot, password).await
    }

    /// Hashes an acceptable password in a slot that is already taken.
    async fn hash_in(&self, slot: &Slot<'_>, password: Password) -> Result<String, Error> {
        slot.hash(password, self.new_salt()).await
    }

    /// Judges a new password of an account and hashes it. The error names the field in which it was entered.
    pub(super) async fn judge_and_hash(
        &self,
        caller: Option<&Caller>,
        user: &User,
        field: Field,
        password: Password,
    ) -> Result<String, Error> {
        if let Some(problem) = self.judge(caller, &password, [&user.email, &user.username]).await? {
            return Err(Error::invalid(field, problem));
        }
        self.hash(password).await
    }

    /// Like [`Passwords::judge_and_hash`], but also rejects the password with the hash `current`.
    pub(super) async fn judge_and_hash_other(
        &self,
        caller: &Caller,
        user: &User,
        field: Field,
        (password, current): (Password, String),
    ) -> Result<String, Error> {
        if let Some(problem) = self.judge(Some(caller), &password, [&user.email, &user.username]).await? {
            return Err(Error::invalid(field, problem));
        }
        let slot = self.hasher.enqueue()?;
        if let Verdict::Right { .. } = self.verify(&slot, password.clone(), Some(current)).await? {
            return Err(Error::invalid(field, Problem::PasswordSame));
        }
        self.hash_in(&slot, password).await
    }

    /// Returns the problem of a new password, or `None` if it is acceptable. The email and the username may be
    /// malformed.
    ///
    /// The processor time is rate-limited per address, except for the operator (`None`). It is counted before a slot
    /// is taken. Otherwise an attacker could fill the queue at no cost.
    pub(super) async fn judge(
        &self,
        caller: Option<&Caller>,
        password: &Password,
        [email, username]: [&str; 2],
    ) -> Result<Option<Problem>, Error> {
        if let Some(caller) = caller {
            self.rate_limits.check(lowest_limit(Limit::Judge), caller)?;
        }
        let candidate = match Candidate::new(password, &self.words(email, username), self.policy.password_min_length) {
            Ok(candidate) => candidate,
            Err(problem) => return Ok(Some(problem)),
        };
        if let Some(caller) = caller {
            self.rate_limits.take(cost_limit(Limit::Judge, candidate.cost()), caller).await?;
        }
        let slot = self.hasher.judge().enqueue()?;
        Ok(slot.run(move || candidate.judge()).await?.err())
    }

    /// Returns the words that an attacker tries first for an account.
    fn words(&self, email: &str, username: &str) -> Words {
        Words::new(email, username, &self.policy.service_names)
    }

    fn new_salt(&self) -> [u8; 16] {
        let mut salt = [0; 16];
        self.entropy.fill(&mut salt);
        salt
    }
}
