//! The rules: who may register, log in, stay and leave. Knows no HTTP and no SQL.
//!
//! Both doors, the page's server functions and the JSON API, call these same functions, and so does the command line;
//! a throttle or a policy can't be walked round by taking another way in.

mod access_tokens;
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
mod own;
mod rate_limit_cache;
mod reauth;
mod recovery;
mod registration;
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
    own::{PasswordChange, PasswordChanged},
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

/// What an owner is told of by mail, however many addresses it comes from: a flood of such mails would hold up everybody's, and
/// bury the one that matters.
const NOTIFICATION_LIMIT: RateLimit = RateLimit { burst: 10, interval: Duration::from_mins(6) };

/// The rules' numbers.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The least code points of a new password.
    pub password_min_length: u32,
    /// How long an unused session lasts.
    pub session_idle: Duration,
    /// How long any session lasts.
    pub session_max_lifetime: Duration,
    /// Sessions of one account; the oldest gives way.
    pub sessions_per_user: u32,
    /// How long a proof of the password counts, from the login or from its last confirmation on.
    pub reauth_after: Duration,
    /// Logins from one address.
    pub login: RateLimit,
    /// Registrations from one address.
    pub register: RateLimit,
    /// Failed logins of one account.
    pub account: LoginBackoff,
    /// How long a login may wait for others of the same account.
    pub login_timeout: Duration,
    /// How many logins may wait for others, each of its own account.
    pub logins_waiting: u32,
    /// Calls with one token, in a minute.
    pub token_calls: u32,
    /// Whether there is mail.
    pub mail: MailPolicy,
    /// Who may register.
    pub registration: RegistrationPolicy,
    /// What the service and its host are called: no password may consist of it.
    pub service_names: Vec<String>,
    /// Whether one must have proven one's email before one may log in.
    pub require_verified_email: bool,
    /// Whether clients' addresses may be logged.
    pub log_addresses: bool,
}

/// Whether there is mail, and who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailPolicy {
    /// There is none.
    Off,
    /// It is kept for the operator. So whoever registers with an email that is taken must be told so here.
    Kept,
    /// It is sent to its addressees, who alone learn whether they have an account.
    Sent,
}

/// Who calls, as far as the connection tells.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The client's address, behind trusted proxies too.
    pub address: IpAddr,
    /// The client's own name for itself; a session is called by it.
    pub agent: String,
}

/// The accounts and their rules. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Service {
    store: Store,
    hasher: Arc<Hasher>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    policy: Arc<Policy>,
    held: Arc<RateLimitCache>,
    names: NameKey,
    turns: Arc<Turns>,
    calls: Arc<Calls>,
    seen: mpsc::Sender<(TokenHash, Timestamp)>,
    /// Tells the postman that there is mail.
    mail_waits: Arc<Notify>,
}

impl Service {
    /// Puts the parts together. The second value is the work that goes on in the background; see [`Maintenance::run`].
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
        let upkeep =
            Maintenance::new(store.clone(), Arc::clone(&hasher), Arc::clone(&clock), Arc::clone(&policy), receiver);
        let calls = Arc::new(Calls::new(policy.token_calls));
        let turns = Arc::new(Turns::new(policy.logins_waiting));
        let (held, mail_waits) = (Arc::default(), Arc::default());
        let service = Self { store, hasher, clock, entropy, policy, held, names, turns, calls, seen, mail_waits };
        (service, upkeep)
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`Error::Store`] when it doesn't.
    pub async fn ready(&self) -> Result<(), Error> {
        Ok(self.store.ping().await?)
    }

    /// The rules' numbers.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// How many passwords have been through argon2 since the start, right or wrong, real or not.
    #[must_use]
    pub fn hashes_run(&self) -> u64 {
        self.hasher.runs()
    }

    /// Closes the database, after everything else has ended.
    pub async fn close(&self) {
        // What was done since the last mark may have revoked what a copy made meanwhile would bring back.
        if let Err(cause) = self.store.mark_use().await {
            tracing::warn!(%cause, "the use of the database was not marked");
        }
        self.store.close().await;
    }

    /// What an address is counted as, the narrowest network first, with the allowance of each; unless it is known that one of
    /// them has to wait.
    fn rate_limit_key(&self, door: &str, caller: &Caller, rule: RateLimit) -> Result<Vec<(String, RateLimit)>, Error> {
        let (addresses, now) = (address_keys(door, caller.address, rule), self.clock.now());
        match addresses.iter().find_map(|(key, _)| self.held.wait(key, now)) {
            None => Ok(addresses),
            Some(wait) => Err(Error::rate_limited(wait)),
        }
    }

    /// Takes one of an address's allowance, and of those of the networks around it.
    async fn check_rate_limit(&self, door: &str, rule: RateLimit, caller: &Caller) -> Result<(), Error> {
        let now = self.clock.now();
        for (key, rule) in self.rate_limit_key(door, caller, rule)? {
            let verdict = self.store.take(&key, rule, now).await?;
            verdict.map_err(|wait| self.rate_limited(&key, now, wait))?;
        }
        Ok(())
    }

    /// What strangers' failed logins with a name are counted under.
    #[must_use]
    pub fn strangers_key(&self, name: &str) -> String {
        store::strangers_key(&self.names, name)
    }

    /// Strangers' failures with a name that becomes the account's with this email.
    fn inherit(&self, name: &str, email: &str) -> Inherit {
        let since = self.clock.now().minus(self.policy.account.memory);
        Inherit { from: self.strangers_key(name), to: self.strangers_key(email), since }
    }

    /// Strangers' failures with an account that gives its username up.
    fn leave_username(&self, user: &store::User) -> Inherit {
        self.inherit(&user.email, &user.username)
    }

    /// Takes one of a token's calls, if the token was good before; then it is asked for here, without the database.
    fn allow_call(&self, token: &TokenHash) -> Result<(), Error> {
        self.calls.take(token, self.clock.now()).map_err(Error::rate_limited)
    }

    /// Takes one of an account's allowance of something that its owner is told of by mail, each a kind by itself. Without mail there
    /// is no limit.
    async fn check_action_limit(&self, of: LimitedAction, user: &str) -> Result<(), Error> {
        if self.policy.mail == MailPolicy::Off {
            return Ok(());
        }
        let (key, now) = (of.key(user), self.clock.now());
        // What changes nothing must not take the writer.
        if let Some(wait) = self.held.wait(&key, now) {
            return Err(Error::rate_limited(wait));
        }
        let verdict = self.store.take(&key, NOTIFICATION_LIMIT, now).await?;
        verdict.map_err(|wait| {
            self.held.note(&key, now, wait);
            Error::rate_limited(wait)
        })
    }

    /// Tells an address to wait. Attempts that come too early are not logged again.
    fn rate_limited(&self, address: &str, now: Timestamp, wait: Duration) -> Error {
        let address_or_none = self.policy.log_addresses.then_some(address);
        tracing::info!(address = address_or_none, wait_ms = wait.as_millis(), "held back");
        self.held.note(address, now, wait);
        Error::rate_limited(wait)
    }

    fn new_id(&self) -> String {
        let mut random = [0; 10];
        self.entropy.fill(&mut random);
        let millis = u64::try_from(self.clock.now().as_millis()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().to_string()
    }
}

/// What a rate limit counts an address as, the narrowest network first, and what each is allowed: a wider network has more at
/// once, and gets it back faster.
fn address_keys(door: &str, address: IpAddr, rule: RateLimit) -> Vec<(String, RateLimit)> {
    let keys = counted_networks(address).into_iter().map(|(network, times)| {
        let key = if network.addr().is_ipv4() { network.addr().to_string() } else { network.to_string() };
        let burst = rule.burst.saturating_mul(times);
        (format!("{door}:{key}"), RateLimit { burst, interval: rule.interval / times })
    });
    keys.collect()
}

/// Why the service did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller has to do something about it.
    #[error("{0}")]
    Refused(#[from] AppError),
    /// The store can't or won't.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A fault of ours.
    #[error("{0}")]
    Fault(String),
}

impl Error {
    fn rate_limited(wait: Duration) -> Self {
        Self::Refused(AppError::RateLimited { retry_after: retry_seconds(wait) })
    }
}

/// The one place where a cause becomes an answer, and where it is logged.
impl From<Error> for AppError {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(answer) => answer,
            Error::Store(store::Error::Unavailable(cause)) => {
                tracing::warn!(%cause, "the database is not available");
                Self::Unavailable { retry_after: 2 }
            }
            other => {
                tracing::error!(cause = %other, "a request failed");
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
