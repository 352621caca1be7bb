//! Logging in. Every entry point verifies passwords here.

use std::{future::Future, net::IpAddr, time::Duration};

use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{
    Caller, Error, Service,
    entropy::new_token,
    hasher::{Slot, Verdict},
    request_id::RequestId,
};
use crate::{
    domain::{
        account::{CurrentSession, SignIn},
        identifier::Identifier,
        password::Password,
        time::{CLOCK_TOLERANCE, Timestamp},
        token::TokenKind,
        user_agent,
    },
    error::AppError,
    store::{
        self, Counted, Credential, LoginCount, LoginCounter, LoginMade, LoginOf, NameKey, NewSession, RateLimit,
        SessionCap, Turn, User, known_key,
    },
};

/// How long a network stays known to an account after a login from it.
pub(super) const KNOWN_FOR: Duration = Duration::from_hours(24 * 90);
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

/// A counted attempt with its slot in the hashing queue.
struct Attempt<'a> {
    place: Slot<'a>,
    reserved: Reserved,
    password: Password,
    user: Option<User>,
    /// The hash to compare with. `None` if no account can match.
    stored: Option<String>,
    network_seen_at: Option<Timestamp>,
}

/// An attempt that is reserved before its password is compared. If it is dropped unsettled, such as when the client
/// disconnects, it counts as failed.
struct Reserved {
    service: Service,
    counter: LoginCounter,
    settled: bool,
}

impl Reserved {
    fn new(service: &Service, counter: LoginCounter) -> Self {
        Self { service: service.clone(), counter, settled: false }
    }

    /// Settles it as failed. If the database is too busy, it stays reserved and settling is retried. A reservation
    /// limits further attempts just as much, so the response doesn't depend on the result.
    async fn failed(mut self) {
        self.settled = true;
        let settling = tokio::spawn(self.service.clone().settle_failed(self.counter.key.clone()));
        timeout(store::DATABASE_TIMEOUT, settling).await.ok();
    }

    /// Settles it as successful, even if the client disconnects. Otherwise it would be settled twice.
    async fn right(mut self) -> Result<(), Error> {
        let settling = uncancelled(async move {
            self.service.store.settle_right(&self.counter).await?;
            self.settled_elsewhere();
            Ok(())
        });
        settling.await
    }

    /// Marks it as settled by the store, and wakes the first waiting login.
    fn settled_elsewhere(&mut self) {
        self.settled = true;
        self.service.turns.settled(&self.counter.key);
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        // Without a runtime, when the program ends, it counts as failed once its reservation expires.
        if !self.settled
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(self.service.clone().settle_failed(self.counter.key.clone()));
        }
    }
}

/// The credential that accompanies a password.
#[derive(Clone, Copy)]
pub(super) enum Prover<'a> {
    /// A session, by its identifier.
    Session(&'a str),
    /// A link from a mail to the account's owner.
    Link,
}

impl Service {
    /// Checks a password and starts a session.
    ///
    /// An unknown account, a wrong password, a disabled account and a password that is too long take the same work
    /// and get the same response.
    pub async fn log_in(&self, caller: &Caller, identifier: &str, password: &str) -> Result<SignIn, Error> {
        let parsed = Identifier::parse(identifier);
        let of = LoginOf::Named {
            identifier: parsed.clone(),
            typed: identifier.to_owned(),
            names: self.names.clone(),
            network: network_name(&self.names, caller.address),
            known_since: self.clock.now().minus(KNOWN_FOR),
        };
        let attempt = self.attempt(caller, of, password).await?;
        let Attempt { place, mut reserved, password, user, mut stored, network_seen_at } = attempt;
        while let Verdict::Right { renewed } = place.verify(password.clone(), stored.clone(), self.new_salt()).await?
            && let (Some(user), Some(hash)) = (&user, stored.take())
        {
            // A client that knows the password may learn that the email is not confirmed.
            if self.policy.require_verified_email && user.email_verified_at.is_none() {
                reserved.right().await?;
                return Err(AppError::EmailUnverified.into());
            }
            let login = self.login_made(caller, user, &reserved, network_seen_at);
            let (service, caller, user, compared) = (self.clone(), caller.clone(), user.clone(), hash.clone());
            // Completed even if the client disconnects: starting a session settles the attempt, which must happen
            // only once.
            let beginning = uncancelled(async move {
                let begun = Box::pin(service.begin_session(&caller, &user, &compared, renewed, login)).await?;
                if begun.is_some() {
                    reserved.settled_elsewhere();
                }
                Ok((begun, reserved))
            });
            let (begun, unsettled) = beginning.await?;
            if let Some(sign_in) = begun {
                return Ok(sign_in);
            }
            reserved = unsettled;
            // The stored hash has changed: the password was changed, or a concurrent login rehashed the same one.
            let known = self.store.find_credential(&parsed).await?;
            stored = known.map(|known| known.password_hash).filter(|current| *current != hash);
        }
        reserved.failed().await;
        let address = self.policy.log_addresses.then(|| caller.address.to_string());
        tracing::info!(user = user.map_or("unknown".to_owned(), |user| user.id), address, "login failed");
        Err(AppError::BadCredentials.into())
    }

    /// Counts an attempt and looks up the hash to compare with.
    async fn attempt(&self, caller: &Caller, of: LoginOf, password: &str) -> Result<Attempt<'_>, Error> {
        // Checked first, so that a rate-limited address takes no slot in the queue.
        let addresses = self.rate_limit_key("login", caller, self.policy.login)?;
        let place = self.hasher.enqueue()?;
        let (known, network_seen_at, reserved) = self.count_attempt(of, addresses).await?;
        let (place, reserved) = match reserved {
            Ok(reserved) => (place, reserved),
            Err(counter) => {
                // A waiting login takes no slot in the hashing queue.
                drop(place);
                Box::pin(self.await_turn(counter)).await?
            }
        };
        // A password that is too long can't be right. It takes the same comparison and time as any wrong one.
        let (password, possible) = match Password::parse(password) {
            Ok(password) => (password, true),
            Err(_) => (Password::parse("x").map_err(|_| AppError::BadCredentials)?, false),
        };
        // A disabled account is treated like an unknown one, so that not even an older hash reveals it.
        let open = known.as_ref().filter(|known| possible && known.user.disabled_at.is_none());
        let stored = open.map(|known| known.password_hash.clone());
        Ok(Attempt { place, reserved, password, user: known.map(|known| known.user), stored, network_seen_at })
    }

    /// Verifies the current password of an account that is known by a session or a link. Returns the hash it was
    /// compared with, and the slot in the queue for further hashing.
    ///
    /// Failures have a separate counter. A stolen token therefore can't be used to guess the password, and strangers'
    /// failed logins don't prevent the owner from confirming it.
    pub(super) async fn verify_current_password(
        &self,
        caller: &Caller,
        (user, prover): (&User, Prover<'_>),
        password: &str,
    ) -> Result<(String, Slot<'_>), Error> {
        let key = match prover {
            Prover::Session(id) => format!("session:{id}"),
            Prover::Link => format!("link:{}", user.id),
        };
        let counter = LoginCounter { key, owners: true };
        let of = LoginOf::Owner { identifier: Identifier::parse(&user.email), counter };
        let Attempt { place, reserved, password, user: known, stored, .. } = self.attempt(caller, of, password).await?;
        let stored = stored.filter(|_| known.is_some_and(|known| known.id == user.id));
        let verdict = place.verify(password, stored.clone(), self.new_salt()).await?;
        if let (Verdict::Right { .. }, Some(stored)) = (verdict, stored) {
            // Settled immediately, so that retries with a stronger new password are not delayed.
            reserved.right().await?;
            return Ok((stored, place));
        }
        reserved.failed().await;
        tracing::info!(user = %user.id, "password confirmation failed");
        Err(AppError::WrongPassword.into())
    }

    /// Looks up the account and counts the attempt for the address and the account, before anything is hashed. A
    /// reservation is settled even if the client disconnects.
    async fn count_attempt(
        &self,
        of: LoginOf,
        addresses: Vec<(String, RateLimit)>,
    ) -> Result<(Option<Credential>, Option<Timestamp>, Result<Reserved, LoginCounter>), Error> {
        let service = self.clone();
        uncancelled(async move {
            let now = service.clock.now();
            let in_line = |key: &str| service.turns.has_line(key);
            let rule = service.policy.account;
            let counted = match service.store.count_login(&of, &addresses, (rule, &in_line), now).await? {
                LoginCount::Counted(counted) => counted,
                LoginCount::AddressLimited(place, wait) => {
                    let address = addresses.get(place).map_or("", |(key, _)| key);
                    return Err(service.rate_limited(address, now, wait));
                }
            };
            let Counted { known, counter, network_seen_at, turn } = counted;
            let reserved = match turn {
                Turn::Now => Ok(Reserved::new(&service, counter)),
                Turn::Later | Turn::Abandoned => Err(counter),
                Turn::Wait(wait) => return Err(backoff_error(wait)),
            };
            Ok((known, network_seen_at, reserved))
        })
        .await
    }

    /// Waits until the attempts in progress for the same account are settled, at most for `login_timeout`. If too
    /// many logins are already waiting, it fails at once.
    async fn await_turn(&self, counter: LoginCounter) -> Result<(Slot<'_>, Reserved), Error> {
        let busy = || Error::rate_limited(Duration::from_secs(1));
        let waiting = self.turns.join(&counter.key).ok_or_else(busy)?;
        let (line, end) = (&waiting.line, Instant::now() + self.policy.login_timeout);
        let _first = timeout_at(end, line.first.lock()).await.map_err(|_| busy())?;
        while Instant::now() < end {
            if let Some(wait) = line.held(self.clock.now()) {
                return Err(backoff_error(wait));
            }
            let place = self.hasher.enqueue()?;
            let (service, counter) = (self.clone(), counter.clone());
            let turn = uncancelled(async move {
                let (rule, now) = (service.policy.account, service.clock.now());
                Ok(match service.store.reserve_login(&counter.key, rule, now).await? {
                    Turn::Now => Ok(Reserved::new(&service, counter)),
                    turn => Err(turn),
                })
            });
            match turn.await? {
                Ok(reserved) => return Ok((place, reserved)),
                Err(Turn::Wait(wait)) => {
                    line.hold(self.clock.now(), wait);
                    return Err(backoff_error(wait));
                }
                Err(_) => drop(place),
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
    async fn settle_failed(self, key: String) {
        let end = Instant::now() + SETTLED_WITHIN;
        while let Err(cause) = self.store.settle_failed(&key, self.policy.account, self.clock.now()).await {
            if Instant::now() >= end {
                tracing::warn!(%cause, "a failed login could not be settled");
                return;
            }
            sleep(SETTLE_RETRY).await;
        }
        self.turns.settled(&key);
    }

    /// Returns the key of a network that an account knows.
    pub(super) fn known_network(&self, caller: &Caller, user: &str) -> String {
        known_key(user, &network_name(&self.names, caller.address))
    }

    fn login_made(
        &self,
        caller: &Caller,
        user: &User,
        reserved: &Reserved,
        network_seen_at: Option<Timestamp>,
    ) -> LoginMade {
        let now = self.clock.now();
        // A time in the future was recorded before the clock was set back.
        let lately = |seen: Timestamp| seen <= now.plus(CLOCK_TOLERANCE) && now.since(seen) < NETWORK_INTERVAL;
        let noted = network_seen_at.is_some_and(lately);
        let network = (!noted).then(|| self.known_network(caller, &user.id));
        LoginMade { counter: Some(reserved.counter.clone()), network }
    }

    /// Starts a session. Returns `None` if the account was disabled, or its password hash has changed since the
    /// comparison.
    pub(super) async fn begin_session(
        &self,
        caller: &Caller,
        user: &User,
        hash: &str,
        renewed: Option<String>,
        login: LoginMade,
    ) -> Result<Option<SignIn>, Error> {
        let hash = match renewed {
            Some(renewed) if self.store.renew_hash(&user.id, hash, &renewed).await? => renewed,
            _ => hash.to_owned(),
        };
        let token = new_token(&*self.entropy, TokenKind::Session);
        let now = self.clock.now();
        let session = NewSession {
            id: self.new_id(),
            user_id: user.id.clone(),
            token_hash: token.hash(),
            name: session_name(&caller.agent),
            created_at: now,
            expires_at: now.plus(self.policy.session_max_lifetime),
            network: user_agent::network(caller.address),
        };
        let expires_at = session.expires_at.to_rfc3339();
        let cap = SessionCap {
            most: self.policy.sessions_per_user,
            unused_since: now.minus(self.policy.session_idle),
            begun_until: now.plus(CLOCK_TOLERANCE),
        };
        let Some(begun) = self.store.begin_session(session, hash, cap, login).await? else { return Ok(None) };
        tracing::info!(user = %user.id, "logged in");
        let previous_login_at = begun.previous_login_at.map(Timestamp::to_rfc3339);
        let session = CurrentSession { account: user.clone().into(), expires_at, previous_login_at };
        Ok(Some(SignIn { token: token.expose().to_owned(), session }))
    }
}

/// Returns the keyed hash of the network that is rate-limited as one address. A copy of the database doesn't reveal
/// the network.
fn network_name(names: &NameKey, address: IpAddr) -> String {
    let network = user_agent::counted_networks(address).into_iter().next();
    let network = network.map_or_else(|| address.to_string(), |(network, _)| network.to_string());
    names.name("network:", &network)
}

fn backoff_error(wait: Duration) -> Error {
    tracing::info!("login rate-limited for its account");
    Error::rate_limited(wait)
}

/// Completes the work even if the client disconnects.
fn uncancelled<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> impl Future<Output = Result<T, Error>> + Send {
    let task = tokio::spawn(RequestId::keep(work));
    async { task.await.unwrap_or_else(|_| Err(Error::Fault("counting a login was interrupted".to_owned()))) }
}

/// Derives a session's name from the `User-Agent`, without characters that could harm a terminal or a page. It is
/// empty for a client without a `User-Agent`.
fn session_name(agent: &str) -> String {
    let name: String = agent.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(200).collect();
    name.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_known_by_its_hash_and_no_wider_than_an_address_counts_r92() {
        let names = NameKey::new([7; NameKey::LENGTH]);
        let of = |text: &str| network_name(&names, text.parse().expect("an address"));
        assert_eq!(of("192.0.2.7"), of("::ffff:192.0.2.7"));
        assert_ne!(of("192.0.2.7"), of("192.0.2.8"));
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2::9"));
        assert_ne!(of("2001:db8:1:2::9"), of("2001:db8:1:3::9"));
        assert!(!of("192.0.2.7").contains("192"));
    }

    #[test]
    fn a_session_name_is_plain_text_r37() {
        assert_eq!(session_name("curl/8.5\u{1b}[2J\r\n"), "curl/8.5[2J");
        assert_eq!(session_name(" \t"), "");
        assert_eq!(session_name(&"a".repeat(1000)).len(), 200);
    }
}
