//! The business rules of accounts, sessions and tokens. This module knows no HTTP and no SQL.
//!
//! The page's server functions, the JSON API and the command line all call these functions. No entry point bypasses
//! a rate limit or a policy.

mod access_tokens;
mod accounts;
pub mod admin;
mod calls;
pub mod clock;
mod email;
pub mod entropy;
pub mod hasher;
pub mod judge;
pub mod login;
mod mail_worker;
mod maintenance;
mod meter;
mod passwords;
mod rate_limit_cache;
mod reauth;
mod recovery;
mod registration;
pub mod request_id;
pub mod restore;
mod sessions;
pub mod strength;
mod templates;
mod turns;
mod workers;

use std::{net::IpAddr, sync::Arc, time::Duration};

use tokio::sync::{Notify, mpsc};

pub use self::{
    access_tokens::{NewToken, NewTokenRequest, Principal},
    mail_worker::{BoxFuture, MailTransport, MailWorker, SendError},
    maintenance::Maintenance,
    passwords::{PasswordChange, PasswordChanged},
    reauth::{Proven, Renewed},
    recovery::NewPassword,
    registration::{Registration, RegistrationMode, RegistrationPolicy},
    templates::{LOGO_ID, MailMessage, MailTemplates, Png},
};
pub use crate::store::NameKey;

use self::{
    calls::Calls, clock::Clock, entropy::Entropy, hasher::Hasher, rate_limit_cache::RateLimitCache, turns::Turns,
};
use crate::{
    domain::{
        time::{Timestamp, retry_seconds},
        token::TokenHash,
        user_agent::counted_networks,
    },
    error::AppError,
    store::{self, Inherit, LimitedAction, LoginBackoff, RateLimit, Store},
};

/// Rate limit per account for actions that notify the owner by mail, from all addresses together. A flood of such
/// mails would delay everyone's mail and hide the important one.
const NOTIFICATION_LIMIT: RateLimit = RateLimit { burst: 10, interval: Duration::from_mins(6) };

/// The configurable limits and rules.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "some fields need no more than their name")]
pub struct Policy {
    /// In code points.
    pub password_min_length: u32,
    /// A session expires when it is unused for this long.
    pub session_idle: Duration,
    /// A session expires this long after its login, even if it is in use.
    pub session_max_lifetime: Duration,
    /// Active sessions of one account. A further login ends the oldest one.
    pub sessions_per_user: u32,
    /// How long sensitive operations are allowed after a login or a confirmation of the password.
    pub reauth_after: Duration,
    /// Limit on logins per address.
    pub login: RateLimit,
    /// Limit on registrations per address.
    pub register: RateLimit,
    /// Limit on failed logins per account.
    pub account: LoginBackoff,
    /// How long a login may wait for other logins to the same account.
    pub login_timeout: Duration,
    /// How many logins, over all accounts, may wait for other logins.
    pub logins_waiting: u32,
    /// Calls per token and minute.
    pub token_calls: u32,
    pub mail: MailPolicy,
    pub registration: RegistrationPolicy,
    /// Names of the service and its hosts. Passwords made of them are rejected.
    pub service_names: Vec<String>,
    /// Whether a login requires a confirmed email.
    pub require_verified_email: bool,
    /// Whether clients' addresses may be logged.
    pub log_addresses: bool,
}

/// Whether mail is enabled, and who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailPolicy {
    /// No mail is created.
    Off,
    /// Mail is stored for the operator. A registration with an email that is taken must therefore be reported in the
    /// response.
    Kept,
    /// Mail is sent to its recipients. Only they learn whether an email has an account.
    Sent,
}

/// The client of a request, as known from its connection and headers.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The client's address, also behind trusted proxies.
    pub address: IpAddr,
    /// The `User-Agent`, which becomes the session's name.
    pub agent: String,
}

/// The entry point to all operations on accounts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Service {
    store: Store,
    hasher: Arc<Hasher>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    policy: Arc<Policy>,
    rate_limit_cache: Arc<RateLimitCache>,
    names: NameKey,
    turns: Arc<Turns>,
    calls: Arc<Calls>,
    seen: mpsc::Sender<(TokenHash, Timestamp)>,
    /// Notifies the mail worker of new mail.
    mail_ready: Arc<Notify>,
}

impl Service {
    /// Creates the service and its background work; see [`Maintenance::run`].
    #[must_use]
    pub fn new(
        store: Store,
        hasher: Hasher,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        policy: Policy,
        names: NameKey,
    ) -> (Self, Maintenance) {
        let (seen, receiver) = mpsc::channel(maintenance::SEEN_QUEUE);
        let (hasher, policy) = (Arc::new(hasher), Arc::new(policy));
        let maintenance =
            Maintenance::new(store.clone(), Arc::clone(&hasher), Arc::clone(&clock), Arc::clone(&policy), receiver);
        let calls = Arc::new(Calls::new(policy.token_calls));
        let turns = Arc::new(Turns::new(policy.logins_waiting));
        let (rate_limit_cache, mail_ready) = (Arc::default(), Arc::default());
        let service =
            Self { store, hasher, clock, entropy, policy, rate_limit_cache, names, turns, calls, seen, mail_ready };
        (service, maintenance)
    }

    /// Checks that the database responds.
    pub async fn ready(&self) -> Result<(), Error> {
        Ok(self.store.ping().await?)
    }

    /// Returns the configured limits and rules.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Returns the number of argon2 hashes computed since the start, including those for unknown accounts.
    #[must_use]
    pub fn hashes_run(&self) -> u64 {
        self.hasher.runs()
    }

    /// Closes the database. Everything else must have ended before.
    pub async fn close(&self) {
        // Something may have been revoked since the last mark, and a copy made in between would restore it.
        if let Err(cause) = self.store.mark_use().await {
            tracing::warn!(%cause, "could not record the last use of the database");
        }
        self.store.close().await;
    }

    /// Returns the rate-limit keys of an address, the narrowest network first, with the limit of each.
    ///
    /// Returns an error if one of them is known to be rate-limited.
    fn rate_limit_key(
        &self,
        action: &str,
        caller: &Caller,
        rule: RateLimit,
    ) -> Result<Vec<(String, RateLimit)>, Error> {
        let (addresses, now) = (address_keys(action, caller.address, rule), self.clock.now());
        match addresses.iter().find_map(|(key, _)| self.rate_limit_cache.wait(key, now)) {
            None => Ok(addresses),
            Some(wait) => Err(Error::rate_limited(wait)),
        }
    }

    /// Applies a rate limit to an address and to the networks that contain it.
    async fn check_rate_limit(&self, action: &str, rule: RateLimit, caller: &Caller) -> Result<(), Error> {
        let now = self.clock.now();
        for (key, rule) in self.rate_limit_key(action, caller, rule)? {
            let verdict = self.store.take(&key, rule, now).await?;
            verdict.map_err(|wait| self.rate_limited(&key, now, wait))?;
        }
        Ok(())
    }

    /// Returns the key under which strangers' failed logins with a name are counted.
    #[must_use]
    pub fn strangers_key(&self, name: &str) -> String {
        store::strangers_key(&self.names, name)
    }

    /// Lets the account with this email inherit strangers' failed logins with a name that it takes.
    fn inherit(&self, name: &str, email: &str) -> Inherit {
        let since = self.clock.now().minus(self.policy.account.memory);
        Inherit { from: self.strangers_key(name), to: self.strangers_key(email), since }
    }

    /// Lets the username that an account gives up inherit the strangers' failed logins of the account.
    fn leave_username(&self, user: &store::User) -> Inherit {
        self.inherit(&user.email, &user.username)
    }

    /// Applies the rate limit of a token that was valid before. This needs no database access.
    fn allow_call(&self, token: &TokenHash) -> Result<(), Error> {
        self.calls.take(token, self.clock.now()).map_err(Error::rate_limited)
    }

    /// Applies the account's rate limit for an action that sends a notification. Each action has its own limit.
    ///
    /// Without mail there is no limit.
    async fn check_action_limit(&self, of: LimitedAction, user: &str) -> Result<(), Error> {
        if self.policy.mail == MailPolicy::Off {
            return Ok(());
        }
        let (key, now) = (of.key(user), self.clock.now());
        // A request that changes nothing must not take the database writer.
        if let Some(wait) = self.rate_limit_cache.wait(&key, now) {
            return Err(Error::rate_limited(wait));
        }
        let verdict = self.store.take(&key, NOTIFICATION_LIMIT, now).await?;
        verdict.map_err(|wait| {
            self.rate_limit_cache.note(&key, now, wait);
            Error::rate_limited(wait)
        })
    }

    /// Logs and caches the rate limit of an address. Attempts before its end are not logged again.
    fn rate_limited(&self, address: &str, now: Timestamp, wait: Duration) -> Error {
        let address_or_none = self.policy.log_addresses.then_some(address);
        tracing::info!(address = address_or_none, wait_ms = wait.as_millis(), "rate-limited");
        self.rate_limit_cache.note(address, now, wait);
        Error::rate_limited(wait)
    }

    fn new_id(&self) -> String {
        let mut random = [0; 10];
        self.entropy.fill(&mut random);
        let millis = u64::try_from(self.clock.now().as_millis()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().to_string()
    }
}

/// Returns the rate-limit keys of an address, the narrowest network first, with the limit of each. A wider network has
/// a larger burst, which refills faster.
fn address_keys(action: &str, address: IpAddr, rule: RateLimit) -> Vec<(String, RateLimit)> {
    let keys = counted_networks(address).into_iter().map(|(network, times)| {
        let key = if network.addr().is_ipv4() { network.addr().to_string() } else { network.to_string() };
        let burst = rule.burst.saturating_mul(times);
        (format!("{action}:{key}"), RateLimit { burst, interval: rule.interval / times })
    });
    keys.collect()
}

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client can correct the request or try again later.
    #[error("{0}")]
    Refused(#[from] AppError),
    /// The database failed or rejected the operation.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A bug.
    #[error("{0}")]
    Fault(String),
}

impl Error {
    fn rate_limited(wait: Duration) -> Self {
        Self::Refused(AppError::RateLimited { retry_after: retry_seconds(wait) })
    }
}

/// The only place where a cause is logged and converted to a response.
impl From<Error> for AppError {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(error) => error,
            Error::Store(store::Error::Unavailable(cause)) => {
                tracing::warn!(%cause, "the database is not available");
                Self::Unavailable { retry_after: 2 }
            }
            other => {
                tracing::error!(cause = %other, "request failed");
                Self::Internal
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_counts_as_one_address_r89() {
        let rule = RateLimit { burst: 10, interval: Duration::from_secs(8) };
        let keys = |text: &str| {
            let keys = address_keys("login", text.parse().expect("an address"), rule);
            keys.into_iter().map(|(key, rule)| (key, rule.burst, rule.interval.as_secs())).collect::<Vec<_>>()
        };
        assert_eq!(keys("192.0.2.7"), [("login:192.0.2.7".to_owned(), 10, 8)]);
        assert_eq!(keys("::ffff:192.0.2.7"), keys("192.0.2.7"));
        assert_eq!(keys("2001:db8:1:2:3:4:5:6"), keys("2001:db8:1:2::9"));
        assert_ne!(keys("2001:db8:1:2::9")[0], keys("2001:db8:1:3::9")[0]);
        assert_eq!(keys("2001:db8:1:2::9")[1], ("login:2001:db8:1::/56".to_owned(), 20, 4));
        assert_eq!(keys("2001:db8:1:2::9")[2], ("login:2001:db8:1::/48".to_owned(), 80, 1));
    }
}
