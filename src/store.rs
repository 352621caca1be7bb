//! The database: every query and every row type.
//!
//! Each statement is written once, in the SQL that SQLite and PostgreSQL share, and runs on a `tx::Conn` or `tx::Tx`.
//! Times come from the caller, never from the database.

mod access;
mod access_tokens;
mod accounts;
mod approvals;
mod aside;
mod authority;
pub mod backup;
mod begin;
mod connect;
mod counts;
mod directory;
pub mod django;
pub mod draft;
mod events;
mod failed_logins;
mod figures;
pub mod files;
mod group_names;
mod groups;
mod imports;
mod inspect;
mod invitations;
mod known_networks;
mod links;
mod lock;
mod logins;
mod mail;
mod mark;
mod migrations;
mod name_key;
mod passwords;
mod postgres;
mod rate_limits;
mod redemptions;
mod restore;
mod roles;
mod session_cache;
mod sessions;
mod setup_links;
mod sweep;
mod tx;
mod url;
mod users;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sqlx::SqlitePool;

pub use self::{
    access_tokens::{AccessToken, AccessTokenRecord, IssueOutcome, NewAccessToken},
    accounts::{DeleteOutcome, RenameOutcome, UsernameChange},
    authority::{Authority, CheckedToken, Mandate},
    counts::{DatabaseFailure, StoreCounts},
    directory::{AccountFilter, AccountStep, key_before_first},
    events::{EventFilter, EventRecord, Failure, first_id_at},
    failed_logins::{InheritFailures, LoginBackoff, LoginCounter, Reservation},
    figures::StoredFigures,
    groups::{DeleteGroupOutcome, GroupRecord, RenameGroupOutcome},
    imports::{ImportBatch, ImportFacts, ImportOutcome, ImportedAccount},
    inspect::{DatabaseFacts, Inspection, inspect},
    invitations::{
        Invitation, InvitationUse, InviteOutcome, LONGEST_INVITATION, NewInvitation, NewInvitationLink, SendOutcome,
    },
    known_networks::known_network_key,
    links::{Decoy, EmailChangeRecord, Link, LinkKind, LinkRecord, NewLink},
    logins::{Counted, LoginCount, LoginRow, LoginTarget, unknown_network_key},
    mail::{LONGEST_WAIT, MailKind, MailRecord, NewMail, QueuedMail},
    name_key::NameKey,
    passwords::PasswordUpdate,
    rate_limits::{LimitedAction, RateLimit, Verdict},
    redemptions::{EmailChange, MoveEmailOutcome, Redemption, Squatter},
    restore::{Prepared, Revocation, Revoked, Since, SinceAccount, SinceMembership, Withdrawn},
    roles::{RoleChange, RoleOutcome},
    sessions::{ActiveSessions, LoginRecord, NewSession, Session, SessionCap, SessionRecord, SessionRow, SessionStart},
    setup_links::SetupOutcome,
    sweep::{Cutoffs, Expired},
    url::{DatabaseUrl, PostgresLogin, UrlError},
    users::{Credential, CredentialRow, ListedUser, NewUser, RegisterOutcome, User, UserRow, Welcome},
};
use self::{begin::in_time, connect::SqliteLock, session_cache::SessionCache, writer::Writer};
use crate::{domain::time::Timestamp, error::AppError};

/// The time limit of a statement or a transaction, including its wait for a connection or a lock. After it the caller
/// gets [`Error::Unavailable`]. It is shorter than the three seconds within which a visitor must get a response.
pub const DATABASE_TIMEOUT: Duration = Duration::from_millis(2500);

/// Reads the clock of a PostgreSQL server, in milliseconds since 1970.
const SELECT_CLOCK: &str = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)";

/// A SQLite or PostgreSQL database. SQLite has one connection that writes and several that read, as its write-ahead
/// log allows.
#[derive(Debug)]
enum Db {
    Sqlite { read: SqlitePool, write: Box<Writer> },
    Postgres(postgres::Server),
}

/// An open database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    db: Db,
    /// `Some` only on SQLite, where the lock ensures that no other process writes.
    cache: Option<Arc<SessionCache>>,
    /// The database file, on SQLite.
    file: Option<PathBuf>,
    counts: StoreCounts,
    _lock: Option<SqliteLock>,
}

impl Store {
    /// Opens the database at a URL and applies pending migrations.
    ///
    /// # Errors
    /// [`Error::InUse`] when another process has the SQLite file open, and [`Error::Refused`] for a file that can't
    /// be used. [`Error::Unavailable`] and [`Error::Away`] when the server can't be reached.
    pub async fn open(url: &DatabaseUrl, connections: u32) -> Result<Self, Error> {
        let opened = async {
            let store = Self::connect(url, connections).await?;
            store.migrate(&url.to_string()).await?;
            // A full disk must not prevent the start. The file is rewritten later.
            match store.rewrite(i64::MAX).await {
                Ok(false) => {}
                Ok(true) => tracing::info!("the database file was rewritten"),
                Err(cause) => {
                    tracing::warn!(%cause, "the database file was not rewritten: bytes of deleted accounts may remain");
                }
            }
            Ok(store)
        };
        // At startup, a file that is locked or can't be written needs the operator: retrying won't help.
        opened.await.map_err(|error| match (error, url.file()) {
            (Error::Unavailable(cause), Some(path)) => connect::cannot_open(path, &cause),
            (error, _) => error,
        })
    }

    async fn connect(url: &DatabaseUrl, connections: u32) -> Result<Self, Error> {
        let (db, lock) = match url {
            DatabaseUrl::Sqlite(path) => {
                let (db, lock) = connect::sqlite(path, connections).await?;
                (db, Some(lock))
            }
            DatabaseUrl::Postgres(url) => (Db::Postgres(postgres::Server::open(url, connections).await?), None),
        };
        let cache = lock.is_some().then(Arc::<SessionCache>::default);
        let file = url.file().map(PathBuf::from);
        Ok(Self { inner: Arc::new(Inner { db, cache, file, counts: StoreCounts::default(), _lock: lock }) })
    }

    /// Whether other servers may use the database too.
    pub(crate) fn is_shared(&self) -> bool {
        self.inner.cache.is_none()
    }

    /// The database file, on SQLite.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.inner.file.as_deref()
    }

    /// Counts of what happened in the database since it was opened.
    #[must_use]
    pub fn counts(&self) -> &StoreCounts {
        &self.inner.counts
    }

    /// Checks that the database responds.
    pub async fn ping(&self) -> Result<(), Error> {
        self.read(async |conn| conn.fetch_one::<(i32,)>("SELECT 1", &[]).await.map(drop)).await
    }

    /// The database server's clock, so that servers whose clocks differ agree on expiry. `None` on SQLite, which uses
    /// this machine's clock.
    pub async fn clock(&self) -> Result<Option<Timestamp>, Error> {
        let Db::Postgres(server) = &self.inner.db else { return Ok(None) };
        let read = async {
            let mut session = server.read().await?;
            let (millis,): (i64,) = session.conn().fetch_one(SELECT_CLOCK, &[]).await?;
            session.end().await?;
            Ok(millis)
        };
        Ok(Some(Timestamp::from_millis(in_time(read).await?)))
    }

    /// Closes every connection after its current statement. On SQLite this also moves the write-ahead log into the
    /// file.
    pub async fn close(&self) {
        match &self.inner.db {
            Db::Sqlite { read, write } => {
                read.close().await;
                if let Err(cause) = write.close().await {
                    tracing::warn!(%cause, "the database was not closed cleanly");
                }
            }
            Db::Postgres(server) => server.close().await,
        }
    }
}

/// An error of the database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database is unreachable, locked, full or read-only. Nothing was stored, and a retry may succeed.
    #[error("the database is not available: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// Another process has the file open.
    #[error("{} is in use by another process. Stop it first, or use PostgreSQL for more than one server.", .0.display())]
    InUse(PathBuf),
    /// The database can't be used as it is.
    #[error("{0}")]
    Refused(String),
    /// The database server can't be reached at startup. It may be starting too.
    #[error("{0}")]
    Away(String),
    /// The operator may not do this. Nothing was changed.
    #[error("{0}")]
    Denied(AppError),
    /// A statement failed because of a bug in this program.
    #[error("a statement failed: {0}")]
    Fault(#[source] sqlx::Error),
}

impl From<sqlx::Error> for Error {
    fn from(cause: sqlx::Error) -> Self {
        if connect::is_transient(&cause) { Self::Unavailable(cause) } else { Self::Fault(cause) }
    }
}
