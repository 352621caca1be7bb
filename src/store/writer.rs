//! The one connection that writes to a SQLite file.

use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};

/// A connection for one transaction at a time. It is no pool with one connection, since a pool pings the connection
/// after each transaction.
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

    /// Returns the connection, ready to begin a transaction.
    pub async fn lock(&self) -> Result<MappedMutexGuard<'_, SqliteConnection>, sqlx::Error> {
        let mut guard = self.connection.lock().await;
        if let Some(connection) = guard.as_mut()
            && connection.is_in_transaction()
        {
            // The rollback of a dropped transaction may still be in progress.
            connection.ping().await?;
            if connection.is_in_transaction() {
                // When the disk is full, SQLite rolls back by itself. sqlx doesn't notice, and this connection could
                // never begin another transaction.
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
