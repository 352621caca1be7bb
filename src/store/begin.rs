//! Runs operations on a connection or in a transaction, within a time limit.

use std::future::Future;

use futures_util::future::BoxFuture;
use sqlx::Connection as _;
use tokio::time::Instant;

use super::{
    DATABASE_TIMEOUT, Db, Error, Store,
    counts::StoreCounts,
    postgres::{Server, pooled},
    tx::{Conn, Effects, Tx},
};

/// The statements that begin a transaction. They also decide how durable its commit is.
#[derive(Clone, Copy, Debug)]
pub struct TransactionMode {
    /// SQLite takes its write lock when the transaction begins. A transaction that reads first and writes later fails with
    /// "busy" at once, whatever the busy timeout is.
    pub sqlite: &'static str,
    /// States the isolation level, since a role or a database may have another default.
    pub postgres: &'static str,
    /// Behind a pooler, where a connection keeps no settings.
    pub pooled: &'static str,
}

/// Committed data survives a power failure.
pub const DURABLE: TransactionMode = TransactionMode {
    sqlite: "PRAGMA synchronous = FULL; BEGIN IMMEDIATE",
    postgres: "BEGIN ISOLATION LEVEL READ COMMITTED",
    pooled: pooled!("BEGIN ISOLATION LEVEL READ COMMITTED"),
};

/// Committed data survives a crash of the process, but a power failure may lose the latest commits. Used for
/// counters, times and new sessions, so that they don't wait for the disk. A user who loses a session this way logs
/// in again.
pub const RELAXED: TransactionMode = TransactionMode {
    sqlite: "PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE",
    postgres: "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = off",
    pooled: pooled!("BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = off"),
};

impl Store {
    /// Reads on a read connection.
    pub(super) async fn read<T>(&self, work: impl AsyncFnOnce(&mut Conn<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let reading = async {
            match &self.inner.db {
                Db::Sqlite { read, .. } => work(&mut Conn::Sqlite(&mut *read.acquire().await?)).await,
                Db::Postgres(server) => {
                    in_time(async {
                        let mut session = server.read().await?;
                        let found = work(&mut session.conn()).await?;
                        session.end().await?;
                        Ok(found)
                    })
                    .await
                }
            }
        };
        self.inner.counts.noted(reading.await)
    }

    /// Like [`Store::read`], for a background search that may take long. On PostgreSQL it gets a separate connection
    /// without time limits.
    pub(super) async fn search<T>(
        &self,
        work: impl AsyncFnOnce(&mut Conn<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let reading = async {
            match &self.inner.db {
                Db::Sqlite { read, .. } => work(&mut Conn::Sqlite(&mut *read.acquire().await?)).await,
                Db::Postgres(server) => {
                    let mut session = server.unlimited().await?;
                    let found = work(&mut session.conn()).await?;
                    session.end().await?;
                    Ok(found)
                }
            }
        };
        self.inner.counts.noted(reading.await)
    }

    /// Works inside a transaction and commits it. Work that fails or is dropped is rolled back.
    pub(super) async fn write<T>(
        &self,
        mode: TransactionMode,
        work: impl AsyncFnOnce(&mut Tx<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let counts = &self.inner.counts;
        let writing = async {
            match &self.inner.db {
                Db::Sqlite { write, .. } => {
                    let deadline = Instant::now() + DATABASE_TIMEOUT;
                    let mut connection = until(deadline, write.lock()).await?;
                    let mut transaction = until(deadline, connection.begin_with(mode.sqlite)).await?;
                    let mut tx = Tx::new(Conn::Sqlite(&mut transaction), self.inner.cache.clone());
                    let outcome = work(&mut tx).await?;
                    let Effects { invalidated, events } = tx.into_effects();
                    transaction.commit().await?;
                    drop((connection, invalidated));
                    counts.count_events(&events);
                    Ok(outcome)
                }
                Db::Postgres(server) => on_postgres(server, mode, counts, work).await,
            }
        };
        counts.noted(writing.await)
    }

    /// Runs independent statements. On SQLite there is no transaction around them: its begin and commit would each
    /// cost a round trip to the connection's thread. A single statement there is at least as durable as under
    /// [`RELAXED`]. On PostgreSQL they are one transaction with one commit.
    pub(super) async fn each<T>(&self, work: impl AsyncFnOnce(&mut Conn<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let counts = &self.inner.counts;
        let working = async {
            match &self.inner.db {
                Db::Sqlite { write, .. } => {
                    in_time(async { work(&mut Conn::Sqlite(&mut *write.lock().await?)).await }).await
                }
                Db::Postgres(server) => on_postgres(server, RELAXED, counts, async |tx| work(tx).await).await,
            }
        };
        counts.noted(working.await)
    }

    /// Like [`Store::write`], for a change that runs to its end even if its caller is cancelled. A client that
    /// disconnects between the commit and the removal must not leave an ended session in the cache.
    ///
    /// The work returns a boxed future because it moves to another task: Rust can't yet require that the future of an
    /// async closure is `Send`.
    pub(super) fn change<T: Send + 'static>(
        &self,
        mode: TransactionMode,
        work: impl for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T, Error>> + Send + 'static,
    ) -> impl Future<Output = Result<T, Error>> {
        let store = self.clone();
        uncancelled(Box::pin(async move { store.write(mode, async |tx| work(tx).await).await }))
    }
}

/// Runs work to its end even if its caller is cancelled. It is boxed, so that the caller's future stays small.
pub async fn uncancelled<T: Send + 'static>(work: BoxFuture<'static, Result<T, Error>>) -> Result<T, Error> {
    match tokio::spawn(work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::Fault(sqlx::Error::WorkerCrashed)),
    }
}

/// Works inside a transaction on PostgreSQL and commits it, within [`DATABASE_TIMEOUT`].
async fn on_postgres<T>(
    server: &Server,
    mode: TransactionMode,
    counts: &StoreCounts,
    work: impl AsyncFnOnce(&mut Tx<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    in_time(async {
        let mut session = server.begin(mode.postgres, mode.pooled).await?;
        let mut tx = Tx::new(session.conn(), None);
        let outcome = work(&mut tx).await?;
        let Effects { events, .. } = tx.into_effects();
        session.commit().await?;
        counts.count_events(&events);
        Ok(outcome)
    })
    .await
}

/// Cancels database work that takes too long. On PostgreSQL the limit covers all of it, since a network that drops
/// every packet closes no connection. On SQLite only the wait for the write lock can take long, so only that is
/// limited. The rest must not be cancelled half-way, because the session cache must learn the outcome.
pub async fn in_time<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
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
