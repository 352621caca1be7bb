//! The business rules of accounts, sessions and tokens. This module knows no HTTP and no SQL.
//!
//! The page's server functions, the JSON API and the command line all call these functions. No entry point bypasses
//! a rate limit or a policy.

mod access_tokens;
mod accounts;
mod acts;
pub mod admin;
mod approvals;
pub mod backups;
pub mod clock;
pub mod counts;
mod directory;
mod email;
pub mod entropy;
mod events;
mod figures;
pub mod groups;
mod history;
pub mod imports;
pub mod invitations;
mod login;
mod maintenance;
mod outbox;
pub mod passwords;
mod permit;
pub mod probe;
mod rate_limits;
mod reauth;
mod recovery;
mod registration;
pub mod request_id;
pub mod restore;
mod sessions;
mod setup;
mod trail;

use std::{
    future::Future,
    net::IpAddr,
    sync::{Arc, atomic::AtomicI64},
    time::Duration,
};

use tokio::sync::{Semaphore, mpsc};

pub use self::{
    access_tokens::{NewToken, Principal, Writer},
    approvals::Deadlines,
    maintenance::Maintenance,
    outbox::{BoxFuture, LOGO_ID, MailMessage, MailPolicy, MailTemplates, MailTransport, MailWorker, Png, SendError},
    passwords::PasswordChanged,
    permit::{Operator, ProvenOperator},
    rate_limits::SETTLED_WITHIN,
    reauth::{Proven, Renewed},
    registration::{RegistrationMode, RegistrationPolicy},
};
pub use crate::store::NameKey;

use self::{
    backups::LastBackup,
    clock::Clock,
    counts::Counts,
    entropy::Entropy,
    imports::FactsCache,
    outbox::Outbox,
    passwords::{Hasher, Passwords},
    rate_limits::RateLimits,
};
use crate::{
    domain::{
        event::Via,
        time::{Timestamp, retry_seconds},
        token::TokenHash,
    },
    error::{AppError, Field, Problem},
    store::{self, LoginBackoff, RateLimit, Store},
};

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
    /// How long events of the audit trail are kept.
    pub keep_events: Duration,
    /// How long events of logins and sessions are kept.
    pub keep_login_events: Duration,
}

/// The client of a request, as known from its connection and headers.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The client's address, also behind trusted proxies.
    pub address: IpAddr,
    /// The `User-Agent`, which becomes the session's name.
    pub agent: String,
    /// The entry point of the request.
    pub via: Via,
}

/// The entry point to all operations on accounts. Cheap to clone.
///
/// An operation is a method in the file of its resource. It uses the store and three parts with rules of their own.
#[derive(Clone, Debug)]
pub struct Service {
    store: Store,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    policy: Arc<Policy>,
    passwords: Arc<Passwords>,
    rate_limits: Arc<RateLimits>,
    outbox: Arc<Outbox>,
    import_facts: Arc<FactsCache>,
    /// The number of accounts, as [`Maintenance`] has counted it; 0 before that.
    accounts: Arc<AtomicI64>,
    /// Slots for lists of accounts that may examine many of them.
    searches: Arc<Semaphore>,
    counts: Arc<Counts>,
    last_backup: LastBackup,
    /// Uses of sessions and access tokens, which [`Maintenance`] records.
    seen: mpsc::Sender<(TokenHash, Timestamp)>,
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
        let (policy, counts) = (Arc::new(policy), Arc::<Counts>::default());
        let rate_limits = Arc::new(RateLimits::new(
            store.clone(),
            Arc::clone(&clock),
            Arc::clone(&entropy),
            Arc::clone(&policy),
            names,
            Arc::clone(&counts),
        ));
        let import_facts = Arc::new(FactsCache::new(store.clone()));
        let passwords = Passwords::new(
            hasher,
            Arc::clone(&entropy),
            Arc::clone(&policy),
            Arc::clone(&rate_limits),
            Arc::clone(&import_facts),
        );
        let outbox = Outbox::new(store.clone(), Arc::clone(&clock), Arc::clone(&entropy), policy.mail);
        let (passwords, outbox) = (Arc::new(passwords), Arc::new(outbox));
        let (seen, receiver) = mpsc::channel(maintenance::SEEN_QUEUE);
        let accounts = Arc::<AtomicI64>::default();
        let maintenance = Maintenance {
            store: store.clone(),
            passwords: Arc::clone(&passwords),
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
            policy: Arc::clone(&policy),
            rate_limits: Arc::clone(&rate_limits),
            outbox: Arc::clone(&outbox),
            accounts: Arc::clone(&accounts),
            seen: receiver,
            batch: Vec::new(),
        };
        let searches = Arc::new(Semaphore::new(directory::CONCURRENT));
        let service = Self {
            store,
            clock,
            entropy,
            policy,
            passwords,
            rate_limits,
            outbox,
            import_facts,
            accounts,
            searches,
            counts,
            last_backup: LastBackup::default(),
            seen,
        };
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
        self.passwords.hashes_run()
    }

    /// Closes the database. Everything else must have ended before.
    pub async fn close(&self) {
        // Something may have been revoked since the last mark, and a copy made in between would restore it.
        if let Err(cause) = self.store.count_use().await {
            tracing::warn!(%cause, "could not record the last use of the database");
        }
        self.store.close().await;
    }

    /// Returns the key under which strangers' failed logins with a name are counted.
    #[must_use]
    pub fn unknown_network_key(&self, name: &str) -> String {
        self.rate_limits.unknown_network_key(name)
    }
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
    fn invalid(field: Field, problem: Problem) -> Self {
        AppError::invalid(field, problem).into()
    }

    fn rate_limited(wait: Duration) -> Self {
        Self::Refused(AppError::RateLimited { retry_after: retry_seconds(wait) })
    }
}

/// The only place where a cause is logged and converted to a response.
impl From<Error> for AppError {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(error) | Error::Store(store::Error::Denied(error)) => error,
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

/// Completes the work even if the client disconnects.
fn uncancelled<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> impl Future<Output = Result<T, Error>> + Send {
    let task = tokio::spawn(request_id::RequestId::keep(work));
    async { task.await.unwrap_or_else(|_| Err(Error::Fault("an operation was interrupted".to_owned()))) }
}
