//! Statements on either database.
//!
//! A function with SQL takes a [`Conn`] or a [`Tx`], so it is written once and works on SQLite and PostgreSQL.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use sqlx::{
    Arguments, Database, Encode, FromRow, PgConnection, Postgres, SqlSafeStr, Sqlite, SqliteConnection, Type,
    postgres::PgRow, sqlite::SqliteRow,
};

use super::{
    Error,
    session_cache::{Invalidate, InvalidateOnDrop, SessionCache},
};
use crate::domain::{
    event::EventName,
    time::{Timestamp, millis},
    token::TokenHash,
};

/// A connection for statements that need no transaction.
#[derive(Debug)]
pub enum Conn<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres {
        connection: &'c mut PgConnection,
        /// Whether a pooler might lend the connection to another client, so that no statement may be named.
        pooled: bool,
    },
}

/// A transaction. It is also a connection: a lookup that takes a [`Conn`] runs in it.
#[derive(Debug)]
pub struct Tx<'c> {
    pub(super) conn: Conn<'c>,
    /// Removes ended sessions from the cache after the commit. `None` without a cache.
    invalidated: Option<InvalidateOnDrop>,
    /// The events that were added to the audit trail, which are counted after the commit.
    events: Vec<EventName>,
}

/// What follows once a transaction is committed.
#[derive(Debug)]
pub(super) struct Effects {
    /// Removes ended sessions from the cache when it is dropped.
    pub invalidated: Option<InvalidateOnDrop>,
    /// The events to count.
    pub events: Vec<EventName>,
}

/// A value for a parameter. Null has a type too, since PostgreSQL checks it against the column.
#[derive(Clone, Copy, Debug)]
pub enum Value<'v> {
    Text(Option<&'v str>),
    Integer(Option<i64>),
    Bytes(&'v [u8]),
    Bool(bool),
}

/// A slice of [`Value`]s, for the parameters `$1`, `$2` and so on.
macro_rules! values {
    ($($value:expr),* $(,)?) => {
        &[$($crate::store::tx::Value::from($value)),*]
    };
}
pub(super) use values;

/// A type that is read from a row of either database.
pub trait Row: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

impl<T> Row for T where T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

impl Conn<'_> {
    /// Runs a statement. Returns how many rows it changed.
    pub async fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64, Error> {
        Ok(match self {
            Self::Sqlite(connection) => {
                let query = sqlx::query_with(sql, arguments::<Sqlite>(values)?);
                query.execute(&mut **connection).await?.rows_affected()
            }
            Self::Postgres { connection, pooled } => {
                let query = sqlx::query_with(sql, arguments::<Postgres>(values)?).persistent(!*pooled);
                query.execute(&mut **connection).await?.rows_affected()
            }
        })
    }

    /// Runs statements without parameters, separated by semicolons.
    pub async fn execute_script(&mut self, sql: impl SqlSafeStr) -> Result<(), Error> {
        let script = sqlx::raw_sql(sql);
        match self {
            Self::Sqlite(connection) => script.execute(&mut **connection).await.map(|_done| ())?,
            Self::Postgres { connection, .. } => script.execute(&mut **connection).await.map(|_done| ())?,
        }
        Ok(())
    }

    /// Every row. On SQLite, a statement outside of a transaction is committed once all its rows have been read.
    pub async fn fetch_all<T: Row>(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<T>, Error> {
        Ok(match self {
            Self::Sqlite(connection) => {
                let query = sqlx::query_as_with(sql, arguments::<Sqlite>(values)?);
                query.fetch_all(&mut **connection).await?
            }
            Self::Postgres { connection, pooled } => {
                let query = sqlx::query_as_with(sql, arguments::<Postgres>(values)?).persistent(!*pooled);
                query.fetch_all(&mut **connection).await?
            }
        })
    }

    /// The first row, if there is one.
    pub async fn fetch_optional<T: Row>(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Option<T>, Error> {
        Ok(match self {
            Self::Sqlite(connection) => {
                let query = sqlx::query_as_with(sql, arguments::<Sqlite>(values)?);
                query.fetch_optional(&mut **connection).await?
            }
            Self::Postgres { connection, pooled } => {
                let query = sqlx::query_as_with(sql, arguments::<Postgres>(values)?).persistent(!*pooled);
                query.fetch_optional(&mut **connection).await?
            }
        })
    }

    /// The first row of a query that always has one.
    pub async fn fetch_one<T: Row>(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<T, Error> {
        self.fetch_optional(sql, values).await?.ok_or(Error::Fault(sqlx::Error::RowNotFound))
    }

    /// The first column of every row.
    pub async fn fetch_column<T>(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<T>, Error>
    where
        (T,): Row,
    {
        Ok(self.fetch_all::<(T,)>(sql, values).await?.into_iter().map(|(value,)| value).collect())
    }

    /// Whether a query finds a row. Its first column must be text.
    pub async fn exists(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<bool, Error> {
        Ok(self.fetch_optional::<(String,)>(sql, values).await?.is_some())
    }
}

impl<'c> Tx<'c> {
    pub(super) fn new(conn: Conn<'c>, cache: Option<Arc<SessionCache>>) -> Self {
        Self { conn, invalidated: cache.map(InvalidateOnDrop::new), events: Vec::new() }
    }

    /// Removes these sessions from the cache once the transaction has ended.
    pub fn invalidate_sessions(&mut self, hashes: &[Vec<u8>]) {
        let hashes: Vec<_> = hashes.iter().filter_map(|bytes| TokenHash::from_bytes(bytes)).collect();
        // Without a new generation, readers don't have to read twice.
        if !hashes.is_empty() {
            self.invalidate(Invalidate::Sessions(hashes));
        }
    }

    /// Removes all sessions of a user from the cache once the transaction has ended.
    pub fn invalidate_user(&mut self, user: &str) {
        self.invalidate(Invalidate::User(user.to_owned()));
    }

    /// Removes all sessions from the cache once the transaction has ended.
    pub fn invalidate_all_sessions(&mut self) {
        self.invalidate(Invalidate::All);
    }

    fn invalidate(&mut self, what: Invalidate) {
        if let Some(invalidated) = &mut self.invalidated {
            invalidated.add(what);
        }
    }

    /// Notes that an event was added to the audit trail.
    pub fn note_event(&mut self, name: EventName) {
        self.events.push(name);
    }

    /// Ends the use of the connection. The caller commits, and then applies what this returns.
    pub(super) fn into_effects(self) -> Effects {
        Effects { invalidated: self.invalidated, events: self.events }
    }
}

impl<'c> Deref for Tx<'c> {
    type Target = Conn<'c>;

    fn deref(&self) -> &Conn<'c> {
        &self.conn
    }
}

impl<'c> DerefMut for Tx<'c> {
    fn deref_mut(&mut self) -> &mut Conn<'c> {
        &mut self.conn
    }
}

/// The arguments of a statement on one of the databases.
fn arguments<D>(values: &[Value<'_>]) -> Result<D::Arguments, Error>
where
    D: Database,
    for<'v> Option<&'v str>: Encode<'v, D> + Type<D>,
    for<'v> Option<i64>: Encode<'v, D> + Type<D>,
    for<'v> &'v [u8]: Encode<'v, D> + Type<D>,
    for<'v> bool: Encode<'v, D> + Type<D>,
{
    let mut arguments = D::Arguments::default();
    arguments.reserve(values.len(), 0);
    for value in values {
        let added = match *value {
            Value::Text(text) => arguments.add(text),
            Value::Integer(number) => arguments.add(number),
            Value::Bytes(bytes) => arguments.add(bytes),
            Value::Bool(flag) => arguments.add(flag),
        };
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

impl<'v> From<&'v str> for Value<'v> {
    fn from(text: &'v str) -> Self {
        Self::Text(Some(text))
    }
}

impl<'v> From<&'v String> for Value<'v> {
    fn from(text: &'v String) -> Self {
        Self::Text(Some(text))
    }
}

impl<'v> From<Option<&'v str>> for Value<'v> {
    fn from(text: Option<&'v str>) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(Some(number))
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Self::Integer(Some(number.into()))
    }
}

impl From<Timestamp> for Value<'_> {
    fn from(time: Timestamp) -> Self {
        Self::Integer(Some(time.as_millis()))
    }
}

impl From<Option<Timestamp>> for Value<'_> {
    fn from(time: Option<Timestamp>) -> Self {
        Self::Integer(time.map(Timestamp::as_millis))
    }
}

/// In milliseconds.
impl From<Duration> for Value<'_> {
    fn from(duration: Duration) -> Self {
        Self::Integer(Some(millis(duration)))
    }
}

impl<'v> From<&'v TokenHash> for Value<'v> {
    fn from(hash: &'v TokenHash) -> Self {
        Self::Bytes(hash.as_bytes())
    }
}

impl<'v> From<&'v [u8]> for Value<'v> {
    fn from(bytes: &'v [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'v> From<&'v Vec<u8>> for Value<'v> {
    fn from(bytes: &'v Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<bool> for Value<'_> {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}
