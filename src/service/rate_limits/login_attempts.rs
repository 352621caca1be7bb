//! Failed logins per account: each attempt is reserved before its password is compared, and settled afterwards.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{AddressLimit, KNOWN_FOR, RateLimits, network_name};
use crate::{
    domain::{
        event::{EventName, Initiator},
        identifier::Identifier,
        time::{CLOCK_TOLERANCE, Timestamp},
    },
    service::{Caller, Error, counts::Limit, events::stamp, uncancelled},
    store::{
        self, Counted, Credential, Failure, LoginCount, LoginCounter, LoginRecord, LoginTarget, RateLimit, Reservation,
    },
};

/// The shortest interval between two updates of a known network's last login.
const NETWORK_INTERVAL: Duration = Duration::from_hours(24);
/// How long an attempt may take to be settled, not including its wait for hashing.
pub const SETTLED_WITHIN: Duration = Duration::from_secs(30);
/// The delay before settling is retried when the database was too busy.
const SETTLE_RETRY: Duration = Duration::from_millis(250);
/// How often the first waiting login checks whether another server has settled an attempt.
const POLL_INTERVAL: Duration = Duration::from_millis(25);
/// How long a server waits after its own attempt, so that other servers get the next turn. They check at least once
/// in this time.
const YIELD_TO_OTHERS: Duration = Duration::from_millis(40);

/// A login that was counted for its address.
pub struct CountedLogin {
    /// The account with its password hash, if there is one.
    pub known: Option<Credential>,
    /// When the account last had a login from the caller's network.
    pub network_seen_at: Option<Timestamp>,
    /// The reservation, or the counter under which the login must wait for its turn.
    pub reserved: Result<ReservedLogin, LoginCounter>,
}

/// An attempt that is reserved before its password is compared. If it is dropped unsettled, such as when the client
/// disconnects, it counts as failed.
pub struct ReservedLogin {
    rate_limits: Arc<RateLimits>,
    counter: LoginCounter,
    /// The event of a failure, once the account is known.
    pub failure: Option<FailedAttempt>,
    settled: bool,
}

/// The event of a failed attempt.
pub struct FailedAttempt {
    /// Its name.
    pub name: EventName,
    /// The account. Empty if there is none.
    pub user: String,
    /// Who tried it.
    pub by: Initiator,
}

impl ReservedLogin {
    fn new(rate_limits: &Arc<RateLimits>, counter: LoginCounter) -> Self {
        Self { rate_limits: Arc::clone(rate_limits), counter, failure: None, settled: false }
    }

    /// Settles it as failed. If the database is too busy, it stays reserved and settling is retried. A reservation
    /// limits further attempts just as much, so the response doesn't depend on the result.
    pub async fn failed(mut self) {
        self.settled = true;
        let (key, failure) = (self.counter.key.clone(), self.failure.take());
        let settling = tokio::spawn(Arc::clone(&self.rate_limits).settle_failed(key, failure));
        timeout(store::DATABASE_TIMEOUT, settling).await.ok();
    }

    /// Settles it as successful, even if the client disconnects. Otherwise it would be settled twice.
    pub async fn right(mut self) -> Result<(), Error> {
        let settling = uncancelled(async move {
            self.rate_limits.store.settle_right(&self.counter).await?;
            self.settled_elsewhere();
            Ok(())
        });
        settling.await
    }

    /// Marks it as settled by the store, and wakes the first waiting login.
    pub fn settled_elsewhere(&mut self) {
        self.settled = true;
        self.rate_limits.login_queue.settled(&self.counter.key);
    }

    /// Describes the login to the store, which settles it in the transaction that starts the session.
    pub fn login_record(&self, caller: &Caller, user: &str, network_seen_at: Option<Timestamp>) -> LoginRecord {
        let now = self.rate_limits.clock.now();
        // A time in the future was recorded before the clock was set back.
        let lately = |seen: Timestamp| seen <= now.plus(CLOCK_TOLERANCE) && now.since(seen) < NETWORK_INTERVAL;
        let noted = network_seen_at.is_some_and(lately);
        let network = (!noted).then(|| self.rate_limits.known_network(caller, user));
        LoginRecord { counter: Some(self.counter.clone()), network }
    }
}

impl Drop for ReservedLogin {
    fn drop(&mut self) {
        // Without a runtime, when the program ends, it counts as failed once its reservation expires.
        if !self.settled
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let (key, failure) = (self.counter.key.clone(), self.failure.take());
            runtime.spawn(Arc::clone(&self.rate_limits).settle_failed(key, failure));
        }
    }
}

impl RateLimits {
    /// Describes a login with a name to [`RateLimits::count_login`].
    pub fn login_of(&self, caller: &Caller, identifier: Identifier, typed: &str) -> LoginTarget {
        LoginTarget::Named {
            identifier,
            typed: typed.to_owned(),
            names: self.names.clone(),
            network: network_name(&self.names, caller.address),
            known_since: self.clock.now().minus(KNOWN_FOR),
        }
    }

    /// Returns the rate-limit keys for a login, or an error if the address is known to be rate-limited.
    pub fn login_addresses(&self, caller: &Caller) -> Result<Vec<(String, RateLimit)>, Error> {
        self.address_keys(AddressLimit { action: Limit::Login, rule: self.policy.login }, caller)
    }

    /// Looks up the account and counts the attempt for the address and the account, before anything is hashed. A
    /// reservation is settled even if the client disconnects.
    pub async fn count_login(
        self: &Arc<Self>,
        of: LoginTarget,
        addresses: Vec<(String, RateLimit)>,
    ) -> Result<CountedLogin, Error> {
        let this = Arc::clone(self);
        uncancelled(async move {
            let now = this.clock.now();
            let in_line = |key: &str| this.login_queue.has_line(key);
            let rule = this.policy.account;
            let counted = match this.store.count_login(&of, &addresses, rule, &in_line, now).await? {
                LoginCount::Counted(counted) => counted,
                LoginCount::AddressLimited(place, wait) => {
                    let address = addresses.get(place).map_or("", |(key, _)| key);
                    return Err(this.address_limited(Limit::Login, address, now, wait));
                }
            };
            let Counted { known, counter, network_seen_at, reservation } = *counted;
            let reserved = match reservation {
                Reservation::Now => Ok(ReservedLogin::new(&this, counter)),
                Reservation::Later | Reservation::Abandoned => Err(counter),
                Reservation::Wait(wait) => return Err(this.backoff_error(wait)),
            };
            Ok(CountedLogin { known, network_seen_at, reserved })
        })
        .await
    }

    /// Waits until the attempts in progress for the same account are settled, at most for `login_timeout`. If too
    /// many logins are already waiting, it fails at once.
    ///
    /// Each reservation first takes a slot with `enqueue`, and a waiting login holds none.
    pub async fn await_turn<S>(
        self: &Arc<Self>,
        counter: LoginCounter,
        enqueue: impl Fn() -> Result<S, Error>,
    ) -> Result<(S, ReservedLogin), Error> {
        let busy = || self.limited(Limit::Account, Duration::from_secs(1));
        let waiting = self.login_queue.join(&counter.key).ok_or_else(busy)?;
        let (line, end) = (&waiting.line, Instant::now() + self.policy.login_timeout);
        let _first = timeout_at(end, line.first.lock()).await.map_err(|_| busy())?;
        while Instant::now() < end {
            if let Some(wait) = line.held(self.clock.now()) {
                return Err(self.backoff_error(wait));
            }
            let slot = enqueue()?;
            let (this, counter) = (Arc::clone(self), counter.clone());
            let reservation = uncancelled(async move {
                let (rule, now) = (this.policy.account, this.clock.now());
                Ok(match this.store.reserve_login(&counter.key, rule, now).await? {
                    Reservation::Now => Ok(ReservedLogin::new(&this, counter)),
                    reservation => Err(reservation),
                })
            });
            match reservation.await? {
                Ok(reserved) => return Ok((slot, reserved)),
                Err(Reservation::Wait(wait)) => {
                    line.hold(self.clock.now(), wait);
                    return Err(self.backoff_error(wait));
                }
                Err(_) => drop(slot),
            }
            // Other servers don't notify this one, so it polls.
            let again = end.min(Instant::now() + POLL_INTERVAL);
            let own = timeout_at(again, line.settled.notified()).await.is_ok();
            if own && self.store.is_shared() {
                sleep(YIELD_TO_OTHERS).await;
            }
        }
        Err(busy())
    }

    /// Settles an attempt as failed. It retries until the reservation would expire and count as failed anyway.
    async fn settle_failed(self: Arc<Self>, key: String, failure: Option<FailedAttempt>) {
        let end = Instant::now() + SETTLED_WITHIN;
        while let Err(cause) = self.try_settle_failed(&key, failure.as_ref()).await {
            if Instant::now() >= end {
                tracing::warn!(%cause, "a failed login could not be settled");
                return;
            }
            sleep(SETTLE_RETRY).await;
        }
        self.login_queue.settled(&key);
    }
}

impl RateLimits {
    async fn try_settle_failed(&self, key: &str, failure: Option<&FailedAttempt>) -> Result<(), store::Error> {
        let failure = failure.map(|FailedAttempt { name, user, by }| {
            let stamp = stamp(&*self.clock, &*self.entropy, by.clone());
            Failure { name: *name, user: user.clone(), stamp }
        });
        self.store.settle_failed(key, self.policy.account, self.clock.now(), failure.as_ref()).await
    }

    fn backoff_error(&self, wait: Duration) -> Error {
        tracing::info!("login rate-limited for its account");
        self.limited(Limit::Account, wait)
    }
}
