//! Everything that is kept, and every line of SQL.
//!
//! Each statement is written once, in the SQL that SQLite and PostgreSQL share; `on_read!` and `on_write!`
//! compile it once for each. Times come in from the caller, never from the database.

mod access_tokens;
mod aside;
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
mod own;
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
    links::{Decoy, Link, LinkKind, LinkRecord, MoveEmailOutcome, NewLink},
    mail::{LONGEST_WAIT, MailKind, MailRecord, NewMail, QueuedMail},
    name_key::NameKey,
    own::{ActiveSessions, Asking, Authority, RenameOutcome, SessionRecord},
    rate_limits::{
        Counted, Inherit, LimitedAction, LoginBackoff, LoginCount, LoginCounter, LoginOf, LoginRow, RateLimit, Turn,
        Verdict, known_key, strangers_key,
    },
    restore::{Forget, Forgotten, Prepared, Since, SinceAccount},
    sessions::{LoginMade, NewSession, Session, SessionCap, SessionRow, SessionStart},
    sweep::{Cutoffs, Expired},
    url::{DatabaseUrl, PostgresLogin, UrlError},
    users::{Credential, CredentialRow, ListedUser, NewUser, RegisterOutcome, User, UserRow, Welcome},
};
use self::{connect::SqliteLock, postgres::pooled, session_cache::SessionCache, writer::Writer};
use crate::domain::time::Timestamp;

/// How long a statement or a transaction may take, with its wait for a connection or a lock, before the caller hears
/// that the database is away. Less than the three seconds within which a visitor must have an answer.
pub const DATABASE_TIMEOUT: Duration = Duration::from_millis(2500);

/// The two databases. SQLite has one connection that writes and several that read, as its write-ahead log allows.
#[derive(Debug)]
enum Db {
    Sqlite { read: SqlitePool, write: Box<Writer> },
    Postgres(postgres::Server),
}

/// Runs a block on a connection for reading, compiled once for each database.
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

/// As `on_read!`, for a search that may take long and that nobody waits for: on PostgreSQL on a connection of its own,
/// without the limits of the others.
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

/// How a transaction begins, and what its commit promises.
#[derive(Clone, Copy, Debug)]
struct Beginning {
    /// SQLite takes its write lock at the beginning: a transaction that starts by reading and then wants to write is
    /// told "busy" at once, whatever the busy timeout is.
    sqlite: &'static str,
    /// The isolation is named, for a role or a database may have another default.
    postgres: &'static str,
    /// Through a pooler, where a connection keeps no settings.
    pooled: &'static str,
}

/// What is committed outlives a loss of power.
const DURABLE: Beginning = Beginning {
    sqlite: "PRAGMA synchronous = FULL; BEGIN IMMEDIATE",
    postgres: "BEGIN ISOLATION LEVEL READ COMMITTED",
    pooled: pooled!("BEGIN ISOLATION LEVEL READ COMMITTED"),
};

/// What is committed outlives the program, however it ends, but a loss of power may cost the last of it: for counts, times
/// and new sessions, which thereby cost no wait for the disk. Whoever loses a session that way logs in again.
const RELAXED: Beginning = Beginning {
    sqlite: "PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE",
    postgres: "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = off",
    pooled: pooled!("BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = off"),
};

/// Runs a block inside a transaction on PostgreSQL and commits it, all within the time that work may take.
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

/// Runs a block whose statements may each stand alone, without a beginning and a commit around them where those cost more
/// than they save: on SQLite, where each would be a way to the connection's thread and back. A statement of its own is
/// kept there at least as well as under [`RELAXED`]. On PostgreSQL it is a transaction, with one commit for all.
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

/// Gives work on the database up when it takes too long. On PostgreSQL that is all of it, for a network that swallows
/// everything breaks no connection. On SQLite it is the wait for the write lock, the one thing there that can take
/// long; what follows must not be given up half-way, for the memory of sessions must know how it ended.
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

/// The database, open. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    db: Db,
    /// Only where this process is the one that writes: on SQLite, which the lock makes sure of.
    cache: Option<SessionCache>,
    /// The file, on SQLite.
    file: Option<PathBuf>,
    _lock: Option<SqliteLock>,
}

impl Store {
    /// Opens the database that a URL names and brings its tables up to date.
    ///
    /// # Errors
    /// [`Error::InUse`] when another process has the SQLite file open, [`Error::Refused`] for a file that can't be
    /// used, and [`Error::Unavailable`] when the server can't be reached.
    pub async fn open(url: &DatabaseUrl, connections: u32) -> Result<Self, Error> {
        let opened = async {
            let store = Self::connect(url, connections).await?;
            store.migrate(&url.to_string()).await?;
            // A full disk must not keep the server from starting. The file is rewritten another time.
            match store.rewrite(i64::MAX).await {
                Ok(false) => {}
                Ok(true) => tracing::info!("the database file was rewritten"),
                Err(cause) => {
                    tracing::warn!(%cause, "the database file was not rewritten: bytes of deleted accounts may remain");
                }
            }
            Ok(store)
        };
        // At the start a file that is locked or can't be written is somebody's to mend.
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

    /// Whether other servers may use the database as well.
    pub(crate) fn is_shared(&self) -> bool {
        self.inner.cache.is_none()
    }

    /// Asks the database whether it answers.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it doesn't.
    pub async fn ping(&self) -> Result<(), Error> {
        let _one: i32 = on_read!(self, conn => sqlx::query_scalar("SELECT 1").fetch_one(&mut *conn).await?);
        Ok(())
    }

    /// The database server's clock, so that several servers with clocks that differ agree on every expiry. `None` on
    /// SQLite, which has no clock but this machine's.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the database doesn't answer.
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

    /// Closes every connection, after the statements under way. On SQLite this folds the write-ahead log into the file.
    pub async fn close(&self) {
        match &self.inner.db {
            Db::Sqlite { read, write } => {
                read.close().await;
                if let Err(cause) = write.close().await {
                    tracing::warn!(%cause, "the database was not closed well");
                }
            }
            Db::Postgres(server) => server.close().await,
        }
    }
}

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database is away, locked, full or read-only. Nothing was stored; it may work again later.
    #[error("the database is not available: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// Another process has the file open.
    #[error("{} is in use by another process. Stop it first, or use PostgreSQL for more than one server.", .0.display())]
    InUse(PathBuf),
    /// The database can't be used as it is.
    #[error("{0}")]
    Refused(String),
    /// The database's server can't be reached at the start; it may be starting itself.
    #[error("{0}")]
    Away(String),
    /// A statement failed for a reason that is a fault of ours.
    #[error("a statement failed: {0}")]
    Fault(#[source] sqlx::Error),
}

impl From<sqlx::Error> for Error {
    fn from(cause: sqlx::Error) -> Self {
        if connect::is_passing(&cause) { Self::Unavailable(cause) } else { Self::Fault(cause) }
    }
}
