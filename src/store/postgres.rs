//! PostgreSQL: connections and transactions.
//!
//! A pooler such as PgBouncer in transaction mode lends a connection for one transaction only. Behind a pooler each
//! operation is therefore one transaction that applies its own settings, and no statement is named.

use std::ops::DerefMut;

use sqlx::{
    ConnectOptions, Executor, PgConnection, PgPool, Row, Transaction,
    pool::PoolConnection,
    postgres::{PgConnectOptions, Postgres},
};

use super::{
    DATABASE_TIMEOUT, Error,
    connect::{is_transient, pool_options},
    tx::Conn,
    url::{PostgresAddress, describe, read_postgres},
};

/// Begins a transaction without time limits, for operations that may take long.
const UNLIMITED: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; \
    SET LOCAL idle_in_transaction_session_timeout = 0";

/// Adds the settings to the statement that begins a transaction, for connections that can't have them.
macro_rules! pooled {
    ($begin:literal) => {
        concat!(
            $begin,
            "; SET LOCAL statement_timeout = 2500; SET LOCAL lock_timeout = 2500; \
             SET LOCAL idle_in_transaction_session_timeout = 10000"
        )
    };
}
pub(super) use pooled;

/// Begins a read-only transaction behind a pooler.
const READING: &str = pooled!("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY");

/// A PostgreSQL server and its connection pool.
#[derive(Debug)]
pub struct Server {
    pool: PgPool,
    /// Whether a pooler lends connections for one transaction each.
    pooled: bool,
    /// The user, host and database, for messages.
    pub place: String,
}

/// A connection for one operation.
#[derive(Debug)]
pub struct Session<C> {
    connection: C,
    pooled: bool,
}

impl Server {
    /// Connects, and checks that the database can be used.
    pub async fn open(url: &str, connections: u32) -> Result<Self, Error> {
        let address = read_postgres(url).map_err(|cause| Error::Refused(cause.to_string()))?;
        let place = describe(&address.options);
        let (options, pooled) = connect_options(&address, &place).await?;
        let release = if pooled { "BEGIN; ROLLBACK" } else { "ROLLBACK" };
        let pool = pool_options::<Postgres>(connections).after_release(move |connection: &mut PgConnection, _| {
            // If a caller is cancelled while a transaction begins, it stays open, and sqlx doesn't notice. In
            // addition, sqlx pings a connection before it returns it to the pool, but without a time limit. A
            // connection whose server has vanished would occupy its slot until TCP gives up. Behind a pooler, an
            // empty rollback would cause a warning.
            let clean = async move { tokio::time::timeout(DATABASE_TIMEOUT, connection.execute(release)).await };
            Box::pin(async { clean.await.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map(|_| true) })
        });
        Ok(Self { pool: pool.connect_with(options).await?, pooled, place })
    }

    /// A connection for reading.
    pub async fn read(&self) -> Result<Session<PoolConnection<Postgres>>, sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        if self.pooled {
            connection.execute(READING).await?;
        }
        Ok(Session { connection, pooled: self.pooled })
    }

    /// Begins a transaction, with one statement for a direct connection or another one behind a pooler.
    pub async fn begin(
        &self,
        direct: &'static str,
        pooled: &'static str,
    ) -> Result<Session<Transaction<'static, Postgres>>, sqlx::Error> {
        let begin = if self.pooled { pooled } else { direct };
        Ok(Session { connection: self.pool.begin_with(begin).await?, pooled: self.pooled })
    }

    /// Begins a transaction on a separate connection without time limits, for operations that may take long.
    pub async fn unlimited(&self) -> Result<Session<Box<PgConnection>>, sqlx::Error> {
        let mut connection = Box::new(self.pool.connect_options().connect().await?);
        connection.execute(UNLIMITED).await?;
        Ok(Session { connection, pooled: self.pooled })
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }
}

impl<C: DerefMut<Target = PgConnection>> Session<C> {
    pub fn conn(&mut self) -> Conn<'_> {
        Conn::Postgres { connection: &mut self.connection, pooled: self.pooled }
    }
}

impl Session<PoolConnection<Postgres>> {
    /// Ends the read transaction, if there is one.
    pub async fn end(mut self) -> Result<(), sqlx::Error> {
        if self.pooled {
            self.connection.execute("COMMIT").await?;
        }
        Ok(())
    }
}

impl Session<Transaction<'static, Postgres>> {
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        self.connection.commit().await
    }
}

impl Session<Box<PgConnection>> {
    /// Commits, and closes the connection.
    pub async fn end(mut self) -> Result<(), sqlx::Error> {
        self.connection.execute("COMMIT").await?;
        sqlx::Connection::close(*self.connection).await
    }
}

/// Returns connection options that don't depend on defaults of the role or the database, and whether there is a
/// pooler.
async fn connect_options(address: &PostgresAddress, place: &str) -> Result<(PgConnectOptions, bool), Error> {
    let base = address.options.clone().application_name("vestibule").extra_float_digits(None);
    let timeout = DATABASE_TIMEOUT.as_millis().to_string();
    let direct = base.clone().options([
        ("statement_timeout", timeout.as_str()),
        ("lock_timeout", timeout.as_str()),
        ("idle_in_transaction_session_timeout", "10000"),
        ("default_transaction_isolation", "read committed"),
        ("standard_conforming_strings", "on"),
        // Without it, each empty rollback would be logged as a warning.
        ("client_min_messages", "error"),
    ]);
    if !address.pooled {
        match probe(&direct, place).await {
            // A pooler that drops unknown parameters shows the server's own limit.
            Ok(limit) if limit == "2500ms" => return Ok((direct, false)),
            Ok(_) | Err(ConnectError::Pooler) => {}
            Err(ConnectError::Other(error)) => return Err(error),
        }
    }
    if address.session_options {
        return Err(Error::Refused(format!(
            "{place} is behind a pooler, which can't pass on `options`. Remove them from database.url and set them for \
             the role: ALTER ROLE name SET search_path = vestibule."
        )));
    }
    let pooled = base.statement_cache_capacity(0);
    match probe(&pooled, place).await {
        Ok(_) => {}
        Err(ConnectError::Pooler) => {
            return Err(Error::Refused(format!(
                "the pooler at {place} refuses a startup parameter. Set ignore_startup_parameters = \
                 extra_float_digits,options there, or connect to PostgreSQL itself."
            )));
        }
        Err(ConnectError::Other(error)) => return Err(error),
    }
    tracing::info!("connected through a pooler: each operation is one transaction");
    Ok((pooled, true))
}

enum ConnectError {
    /// A pooler rejects a startup parameter.
    Pooler,
    Other(Error),
}

/// Connects once, checks the server's settings, and returns its statement timeout.
async fn probe(options: &PgConnectOptions, place: &str) -> Result<String, ConnectError> {
    let probed = async {
        let mut connection = options.connect().await?;
        let facts = "SELECT current_setting('statement_timeout'), current_setting('server_encoding'), \
            current_setting('synchronous_commit')";
        let row = sqlx::raw_sql(facts).fetch_one(&mut connection).await?;
        let facts: (String, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        sqlx::Connection::close(connection).await?;
        Ok(facts)
    };
    let probed = tokio::time::timeout(DATABASE_TIMEOUT, probed).await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
    let (limit, encoding, commit) = probed.map_err(|cause| connect_error(&cause, place))?;
    if encoding != "UTF8" {
        return Err(ConnectError::Other(Error::Refused(format!(
            "the database of {place} is encoded in {encoding}, which can't store every name. Create another one: CREATE DATABASE \
             vestibule ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0."
        ))));
    }
    if commit == "off" {
        tracing::warn!("synchronous_commit is off for {place}: a crash of PostgreSQL may lose acknowledged changes");
    }
    Ok(limit)
}

fn connect_error(cause: &sqlx::Error, place: &str) -> ConnectError {
    let code = cause.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default().into_owned();
    let words = cause.to_string();
    if code == "08P01" && words.contains("startup parameter") {
        return ConnectError::Pooler;
    }
    if words.contains("server does not support TLS") {
        return ConnectError::Other(Error::Refused(format!(
            "{place} offers no TLS, so password hashes would be sent unencrypted. Enable ssl there. If the network is private, \
             you can add sslmode=disable after a ? at the end of database.url instead."
        )));
    }
    // Wrong passwords and missing databases are permanent errors.
    let lasting = code.starts_with("28") || code.starts_with("3D");
    let what = cause.as_database_error().map_or(words.as_str(), sqlx::error::DatabaseError::message);
    let advice = if code.starts_with("28") {
        "Correct the user or the password in database.url"
    } else {
        "Start the server, or correct database.url"
    };
    let message = format!("{place} can't be used: {what}. {advice}.");
    let passes = is_transient(cause) && !lasting;
    ConnectError::Other(if passes { Error::Away(message) } else { Error::Refused(message) })
}
