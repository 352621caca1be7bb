//! The one connection that writes to a SQLite file.

use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};

/// The connection, for one transaction at a time. It is no pool of one: that would ask the connection for a sign of
/// life after each transaction.
#[derive(Debug)]
pub struct Writer {
    options: SqliteConnectOptions,
    /// `None` once it is closed.
    connection: Mutex<Option<SqliteConnection>>,
}

impl Writer {
    pub async fn open(options: SqliteConnectOptions) -> Result<Self, sqlx::Error> {
        let connection = Mutex::new(Some(options.connect().await?));
        Ok(Self { options, connection })
    }

    /// The connection, ready to begin a transaction.
    pub async fn lock(&self) -> Result<MappedMutexGuard<'_, SqliteConnection>, sqlx::Error> {
        let mut guard = self.connection.lock().await;
        if let Some(connection) = guard.as_mut()
            && connection.is_in_transaction()
        {
            // A transaction that was given up may still be on its way to its end.
            connection.ping().await?;
            if connection.is_in_transaction() {
                // When a disk is full, SQLite rolls back by itself. Sqlx doesn't notice, and this connection could never
                // begin another transaction.
                *guard = Some(self.options.connect().await?);
            }
        }
        MutexGuard::try_map(guard, Option::as_mut).map_err(|_closed| sqlx::Error::PoolClosed)
    }

    /// Closes the connection, after the transaction under way.
    pub async fn close(&self) -> Result<(), sqlx::Error> {
        match self.connection.lock().await.take() {
            Some(connection) => connection.close().await,
            None => Ok(()),
        }
    }
}
