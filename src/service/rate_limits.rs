//! Rate limits: of addresses, of actions that notify an account's owner, of calls per token, and of failed logins.
//!
//! The database counts, so that the limits survive a restart and apply on every server. Only calls per token are counted
//! in memory.

mod cache;
mod login_attempts;
mod login_queue;
mod token_calls;

use std::{net::IpAddr, sync::Arc, time::Duration};

pub use self::login_attempts::{CountedLogin, FailedAttempt, ReservedLogin, SETTLED_WITHIN};
use self::{cache::RateLimitCache, login_queue::LoginQueue, token_calls::TokenCalls};
use super::{
    Caller, Error, MailPolicy, Policy,
    clock::Clock,
    counts::{Counts, Limit},
    entropy::Entropy,
};
use crate::{
    domain::{time::Timestamp, token::TokenHash, user_agent::counted_networks, username::Username},
    store::{self, InheritFailures, LimitedAction, NameKey, RateLimit, Store, User, UsernameChange, known_network_key},
};

/// How long a network stays known to an account after a login from it.
pub const KNOWN_FOR: Duration = Duration::from_hours(24 * 90);

/// Rate limit per account for actions that notify the owner by mail, from all addresses together. A flood of such
/// mails would delay everyone's mail and hide the important one.
const NOTIFICATION_LIMIT: RateLimit = RateLimit { burst: 10, interval: Duration::from_mins(6) };

/// A rate limit that applies to each address and to the networks that contain it.
#[derive(Clone, Copy, Debug)]
pub struct AddressLimit {
    /// What is limited. Each action has its own counts.
    pub action: Limit,
    /// The limit of one address. A wider network has a larger burst, which refills faster.
    pub rule: RateLimit,
}

/// Applies the rate limits.
#[derive(Debug)]
pub struct RateLimits {
    store: Store,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    policy: Arc<Policy>,
    names: NameKey,
    cache: RateLimitCache,
    login_queue: LoginQueue,
    token_calls: TokenCalls,
    counts: Arc<Counts>,
}

impl RateLimits {
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        policy: Arc<Policy>,
        names: NameKey,
        counts: Arc<Counts>,
    ) -> Self {
        let (login_queue, token_calls) = (LoginQueue::new(policy.logins_waiting), TokenCalls::new(policy.token_calls));
        Self {
            store,
            clock,
            entropy,
            policy,
            names,
            cache: RateLimitCache::default(),
            login_queue,
            token_calls,
            counts,
        }
    }

    /// Rejects an address that is known to be rate-limited. This counts nothing and needs no database access.
    pub fn check(&self, limit: AddressLimit, caller: &Caller) -> Result<(), Error> {
        self.address_keys(limit, caller).map(drop)
    }

    /// Counts an action of an address, or rejects it.
    pub async fn take(&self, limit: AddressLimit, caller: &Caller) -> Result<(), Error> {
        let now = self.clock.now();
        for (key, rule) in self.address_keys(limit, caller)? {
            let verdict = self.store.take(&key, rule, now).await?;
            verdict.map_err(|wait| self.address_limited(limit.action, &key, now, wait))?;
        }
        Ok(())
    }

    /// Counts an account's action that sends a notification, or rejects it. Each action has its own limit.
    ///
    /// Without mail there is no limit.
    pub async fn take_action(&self, action: LimitedAction, user: &str) -> Result<(), Error> {
        if self.policy.mail == MailPolicy::Off {
            return Ok(());
        }
        let (key, now) = (action.key(user), self.clock.now());
        // A request that changes nothing must not take the database writer.
        if let Some(wait) = self.cache.wait(&key, now) {
            return Err(self.limited(Limit::Notification, wait));
        }
        let verdict = self.store.take(&key, NOTIFICATION_LIMIT, now).await?;
        verdict.map_err(|wait| {
            self.cache.note(&key, now, wait);
            self.limited(Limit::Notification, wait)
        })
    }

    /// Counts a call of a token that was valid before, or rejects it. This needs no database access.
    pub fn take_call(&self, token: &TokenHash) -> Result<(), Error> {
        self.token_calls.take(token, self.clock.now()).map_err(|wait| self.limited(Limit::Token, wait))
    }

    /// Counts the calls of a valid token from now on.
    pub fn remember_token(&self, token: &TokenHash, now: Timestamp) {
        self.token_calls.remember(token, now);
    }

    /// Counts a mail under a key. Returns `false` if the key is rate-limited.
    pub async fn take_mail(&self, key: &str, rule: RateLimit) -> Result<bool, store::Error> {
        Ok(self.store.take(key, rule, self.clock.now()).await?.is_ok())
    }

    /// Returns the keys of an address, or an error if one of them is known to be rate-limited.
    fn address_keys(&self, limit: AddressLimit, caller: &Caller) -> Result<Vec<(String, RateLimit)>, Error> {
        let (keys, now) = (address_keys(limit, caller.address), self.clock.now());
        match keys.iter().find_map(|(key, _)| self.cache.wait(key, now)) {
            None => Ok(keys),
            Some(wait) => Err(self.limited(limit.action, wait)),
        }
    }

    /// Logs and caches the rate limit of an address. Attempts before its end are not logged again.
    fn address_limited(&self, action: Limit, key: &str, now: Timestamp, wait: Duration) -> Error {
        let address = self.policy.log_addresses.then_some(key);
        tracing::info!(address, wait_ms = wait.as_millis(), "rate-limited");
        self.cache.note(key, now, wait);
        self.limited(action, wait)
    }

    /// Counts a rejected request and returns its error.
    fn limited(&self, limit: Limit, wait: Duration) -> Error {
        self.counts.limited.count(limit);
        Error::rate_limited(wait)
    }

    /// Returns the key under which strangers' failed logins with a name are counted.
    pub fn unknown_network_key(&self, name: &str) -> String {
        store::unknown_network_key(&self.names, name)
    }

    /// The key that names are hashed with.
    pub const fn names(&self) -> &NameKey {
        &self.names
    }

    /// Returns the key of a mailbox. Each purpose has its own counts.
    pub fn mailbox_key(&self, purpose: &str, address: &str) -> String {
        self.names.name(purpose, &address.to_lowercase())
    }

    /// Returns the key of a network that an account knows.
    pub fn known_network(&self, caller: &Caller, user: &str) -> String {
        known_network_key(user, &network_name(&self.names, caller.address))
    }

    /// Lets the account with this email inherit strangers' failed logins with a name that it takes.
    pub fn inherit(&self, name: &str, email: &str) -> InheritFailures {
        let since = self.clock.now().minus(self.policy.account.reset_after);
        InheritFailures { from: self.unknown_network_key(name), to: self.unknown_network_key(email), since }
    }

    /// Lets the username that an account gives up inherit the strangers' failed logins of the account.
    pub fn release_username(&self, user: &User) -> InheritFailures {
        self.inherit(&user.email, &user.username)
    }

    /// Describes a new username to the store, with the strangers' failed logins that move with names.
    pub fn username_change(&self, user: &User, username: Username) -> UsernameChange {
        let held = self.inherit(username.as_str(), &user.email);
        UsernameChange { username, held, left: self.release_username(user) }
    }
}

/// Returns the rate-limit keys of an address, the narrowest network first, with the limit of each.
fn address_keys(AddressLimit { action, rule }: AddressLimit, address: IpAddr) -> Vec<(String, RateLimit)> {
    let keys = counted_networks(address).into_iter().map(|(network, times)| {
        let key = if network.addr().is_ipv4() { network.addr().to_string() } else { network.to_string() };
        let burst = rule.burst.saturating_mul(times);
        (format!("{}:{key}", action.name()), RateLimit { burst, interval: rule.interval / times })
    });
    keys.collect()
}

/// Returns the keyed hash of the network that is rate-limited as one address. A copy of the database doesn't reveal
/// the network.
fn network_name(names: &NameKey, address: IpAddr) -> String {
    let network = counted_networks(address).into_iter().next();
    let network = network.map_or_else(|| address.to_string(), |(network, _)| network.to_string());
    names.name("network:", &network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_64_network_counts_as_one_address_r89() {
        let limit =
            AddressLimit { action: Limit::Login, rule: RateLimit { burst: 10, interval: Duration::from_secs(8) } };
        let keys = |text: &str| {
            let keys = address_keys(limit, text.parse().expect("an address"));
            keys.into_iter().map(|(key, rule)| (key, rule.burst, rule.interval.as_secs())).collect::<Vec<_>>()
        };
        assert_eq!(keys("192.0.2.7"), [("login:192.0.2.7".to_owned(), 10, 8)]);
        assert_eq!(keys("::ffff:192.0.2.7"), keys("192.0.2.7"));
        assert_eq!(keys("2001:db8:1:2:3:4:5:6"), keys("2001:db8:1:2::9"));
        assert_ne!(keys("2001:db8:1:2::9")[0], keys("2001:db8:1:3::9")[0]);
        assert_eq!(keys("2001:db8:1:2::9")[1], ("login:2001:db8:1::/56".to_owned(), 20, 4));
        assert_eq!(keys("2001:db8:1:2::9")[2], ("login:2001:db8:1::/48".to_owned(), 80, 1));
    }

    #[test]
    fn a_network_is_stored_as_a_hash_and_as_wide_as_its_limit_r92() {
        let names = NameKey::new([7; NameKey::LENGTH]);
        let of = |text: &str| network_name(&names, text.parse().expect("an address"));
        assert_eq!(of("192.0.2.7"), of("::ffff:192.0.2.7"));
        assert_ne!(of("192.0.2.7"), of("192.0.2.8"));
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2::9"));
        assert_ne!(of("2001:db8:1:2::9"), of("2001:db8:1:3::9"));
        assert!(!of("192.0.2.7").contains("192"));
    }
}
