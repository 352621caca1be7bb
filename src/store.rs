//! The database: every query and every row type.
//!
//! Each statement is written once, in the SQL that SQLite and PostgreSQL share. `on_read!` and `on_write!` compile it
//! once for each database. Times come from the caller, never from the database.

mod access_tokens;
mod accounts;
mod aside;
mod authority;
pub mod backup;
mod connect;
pub mod draft;
pub mod files;
mod links;
mod lock;
mod mail;
mod mark;
mod migrations;
mod name_key;
mod passwords;
mod postgres;
mod rate_limits;
mod restore;
mod session_cache;
mod sessions;
mod sweep;
mod url;
mod users;
mod writer;

use std::{future::Future, path::PathBuf, sync::Arc, time::Duration};

use sqlx::SqlitePool;
use tokio::time::Instant;

pub use self::{
    access_tokens::{AccessToken, AccessTokenRecord, IssueOutcome, NewAccessToken},
    accounts::RenameOutcome,
    authority::{Asking, Authority},
    links::{Decoy, Link, LinkKind, LinkRecord, MoveEmailOutcome, NewLink},
    mail::{LONGEST_WAIT, MailKind, MailRecord, NewMail, QueuedMail},
    name_key::NameKey,
    rate_limits::{
        Counted, Inherit, LimitedAction, LoginBackoff, LoginCount, LoginCounter, LoginOf, LoginRow, RateLimit, Turn,
        Verdict, known_key, strangers_key,
    },
    restore::{Forget, Forgotten, Prepared, Since, SinceAccount},
    sessions::{ActiveSessions, LoginMade, NewSession, Session, SessionCap, SessionRecord, SessionRow, SessionStart},
    sweep::{Cutoffs, Expired},
    url::{DatabaseUrl, PostgresLogin, UrlError},
    users::{Credential, CredentialRow, ListedUser, NewUser, RegisterOutcome, User, UserRow, Welcome},
};
use self::{connect::SqliteLock, postgres::pooled, session_cache::SessionCache, writer::Writer};
use crate::domain::time::Timestamp;

/// The time limit of a statement or a transaction, including its wait for a connection or a lock. After it the caller
/// gets [`Error::Unavailable`]. It is shorter than the three seconds within which a visitor must get a response.
pub const DATABASE_TIMEOUT: Duration = Duration::from_millis(2500);

/// A SQLite or PostgreSQL database. SQLite has one connection that writes and several that read, as its write-ahead
/// log allows.
#[derive(Debug)]
enum Db {
    Sqlite { read: SqlitePool, write: Box<Writer> },
    Postgres(postgres::Server),
}

/// Runs a block on a read connection, compiled once for each database.
macro_rules! on_read {
    ($store:expr, $conn:ident => $body:expr) => {
        match &$store.inner.db {
            $crate::store::Db::Sqlite { read, .. } => {
                let mut $conn = read.acquire().await?;
                $body
            }
            $crate::store::Db::Postgres(server) => {
                $crate::store::in_time(async {
                    let mut session = server.read().await?;
                    let $conn = &mut session;
                    let found = $body;
                    session.end().await?;
                    Ok(found)
                })
                .await?
            }
        }
    };
}

/// Like `on_read!`, for a background search that may take long. On PostgreSQL it gets a separate connection without
/// time limits.
macro_rules! on_search {
    ($store:expr, $conn:ident => $body:expr) => {
        match &$store.inner.db {
            $crate::store::Db::Sqlite { read, .. } => {
                let mut $conn = read.acquire().await?;
                $body
            }
            $crate::store::Db::Postgres(server) => {
                let mut session = server.unlimited().await?;
                let $conn = &mut session;
                let found = $body;
                session.end().await?;
                found
            }
        }
    };
}

/// The statements that begin a transaction. They also decide how durable its commit is.
#[derive(Clone, Copy, Debug)]
struct Beginning {
    /// SQLite takes its write lock at the beginning. A transaction that reads first and writes later fails with
    /// "busy" at once, whatever the busy timeout is.
    sqlite: &'static str,
    /// States the isolation level, since a role or a database may have another default.
    postgres: &'static str,
    /// Behind a pooler, where a connection keeps no settings.
    pooled: &'static str,
}

/// Committed data survives a power failure.
const DURABLE: Beginning = Beginning {
    sqlite: "PRAGMA synchronous = FULL; BEGIN IMMEDIATE",
    postgres: "BEGIN ISOLATION LEVEL READ COMMITTED",
    pooled: pooled!("BEGIN ISOLATION LEVEL READ COMMITTED"),
};

/// Committed data survives a crash of the process, but a power failure may lose the latest commits. Used for
/// counters, times and new sessions, so that they don't wait for the disk. A user who loses a session this way logs
/// in again.
const RELAXED: Beginning = Beginning {
    sqlite: "PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE",
    postgres: "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = off",
    pooled: pooled!("BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = off"),
};

/// Runs a block inside a transaction on PostgreSQL and commits it, within [`DATABASE_TIMEOUT`].
macro_rules! on_postgres {
    ($server:expr, $beginning:expr, $tx:ident => $body:expr) => {
        $crate::store::in_time(async {
            let mut session = $server.begin($beginning).await?;
            let $tx = &mut session;
            let outcome = $body;
            session.commit().await?;
            Ok(outcome)
        })
        .await?
    };
}

/// Runs a block inside a transaction and commits it, compiled once for each database. A block that fails or is
/// dropped is rolled back.
macro_rules! on_write {
    ($store:expr, $beginning:expr, $tx:ident => $body:expr) => {
        match &$store.inner.db {
            $crate::store::Db::Sqlite { write, .. } => {
                let deadline = tokio::time::Instant::now() + $crate::store::DATABASE_TIMEOUT;
                let mut connection = $crate::store::until(deadline, write.lock()).await?;
                let begin = sqlx::Connection::begin_with(&mut *connection, $beginning.sqlite);
                let mut $tx = $crate::store::until(deadline, begin).await?;
                let outcome = $body;
                $tx.commit().await?;
                outcome
            }
            $crate::store::Db::Postgres(server) => $crate::store::on_postgres!(server, $beginning, $tx => $body),
        }
    };
}

/// Runs a block of independent statements. On SQLite there is no transaction around them: its begin and commit would
/// each cost a round trip to the connection's thread. A single statement there is at least as durable as under
/// [`RELAXED`]. On PostgreSQL the block is one transaction with one commit.
macro_rules! on_each {
    ($store:expr, $beginning:expr, $conn:ident => $body:expr) => {
        match &$store.inner.db {
            $crate::store::Db::Sqlite { write, .. } => {
                $crate::store::in_time(async {
                    let mut $conn = write.lock().await?;
                    Ok($body)
                })
                .await?
            }
            $crate::store::Db::Postgres(server) => $crate::store::on_postgres!(server, $beginning, $conn => $body),
        }
    };
}

use {on_each, on_postgres, on_read, on_search, on_write};

/// Cancels database work that takes too long. On PostgreSQL the limit covers all of it, since a network that drops
/// every packet closes no connection. On SQLite only the wait for the write lock can take long, so only that is
/// limited. The rest must not be cancelled half-way, because the session cache must learn the outcome.
async fn in_time<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    until(Instant::now() + DATABASE_TIMEOUT, work).await
}

async fn until<T, E>(deadline: Instant, work: impl Future<Output = Result<T, E>>) -> Result<T, Error>
where
    Error: From<E>,
{
    match tokio::time::timeout_at(deadline, work).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(Error::Unavailable(sqlx::Error::PoolTimedOut)),
    }
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
    cache: Option<SessionCache>,
    /// The database file, on SQLite.
    file: Option<PathBuf>,
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
        let cache = lock.is_some().then(SessionCache::default);
        let file = url.file().map(PathBuf::from);
        Ok(Self { inner: Arc::new(Inner { db, cache, file, _lock: lock }) })
    }

    /// Whether other servers may use the database too.
    pub(crate) fn is_shared(&self) -> bool {
        self.inner.cache.is_none()
    }

    /// Checks that the database responds.
    pub async fn ping(&self) -> Result<(), Error> {
        let _one: i32 = on_read!(self, conn => sqlx::query_scalar("SELECT 1").fetch_one(&mut *conn).await?);
        Ok(())
    }

    /// The database server's clock, so that servers whose clocks differ agree on expiry. `None` on SQLite, which uses
    /// this machine's clock.
    pub async fn clock(&self) -> Result<Option<Timestamp>, Error> {
        let Db::Postgres(server) = &self.inner.db else { return Ok(None) };
        let sql = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)";
        let read = async {
            let mut session = server.read().await?;
            let millis: i64 = sqlx::query_scalar(sql).fetch_one(&mut session).await?;
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
    /// A statement failed because of a bug in this program.
    #[error("a statement failed: {0}")]
    Fault(#[source] sqlx::Error),
}

impl From<sqlx::Error> for Error {
    fn from(cause: sqlx::Error) -> Self {
        if connect::is_transient(&cause) { Self::Unavailable(cause) } else { Self::Fault(cause) }
    }
}
