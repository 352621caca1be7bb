//! Deletes expired rows.
//!
//! The tables have no index for this, since it would be written at each login and each use of a session. Instead, a
//! background search on a read connection finds expired rows, and the writer deletes them by primary key.

use std::iter;

use sqlx::SqliteConnection;

use super::{
    Db, Error, Store,
    begin::{RELAXED, uncancelled},
    tx::{Value, values},
};
use crate::domain::time::Timestamp;

/// The times at or before which rows are expired.
#[derive(Clone, Copy, Debug)]
pub struct Cutoffs {
    /// The current time. A limit that is full again has the same effect as a missing row.
    pub allowances: Timestamp,
    /// Failed logins before this are forgotten. No attempt from before this is still running.
    pub failures: Timestamp,
    /// Networks last seen before this are no longer known.
    pub networks: Timestamp,
    /// Sessions last used before this have expired. This also covers sessions past their maximum lifetime, since they
    /// can't have been used since.
    pub sessions: Timestamp,
}

/// The kind of an expired row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// The rate limit of a client address, a mailbox or an account.
    Address,
    /// The failed logins of an account, or of a name without an account.
    Account,
    /// A network that an account knew.
    Network,
    /// A session.
    Session,
}

/// The writer's busy timeouts: none, and [`super::DATABASE_TIMEOUT`]. SQLite applies the pragma when it prepares the
/// statement. The statements must therefore never be cached as prepared statements.
const NO_WAIT: &str = "PRAGMA busy_timeout = 0";
const WAIT: &str = "PRAGMA busy_timeout = 2500";

/// Moves SQLite's log into the file and truncates it. Returns whether the log is empty. It doesn't wait for readers:
/// SQLite would hold its write lock meanwhile and block all writes. It must not be cancelled half-way, which would
/// leave the writer without a busy timeout.
async fn truncate_log(writer: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    sqlx::raw_sql(NO_WAIT).execute(&mut *writer).await?;
    let emptied = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *writer).await;
    sqlx::raw_sql(WAIT).execute(&mut *writer).await?;
    let (busy, _, _): (i64, i64, i64) = emptied?;
    Ok(busy == 0)
}

/// The number of rows that one statement deletes.
const BATCH_SIZE: usize = 16;

macro_rules! search {
    ($table:literal, $key:literal, $time:literal) => {
        concat!("SELECT ", $key, " FROM ", $table, " WHERE ", $time, " <= $1 ORDER BY ", $key, " LIMIT $2")
    };
}

/// A statement in two forms. The second skips rows that another transaction has locked. A login locks several rows in
/// its own order, so a sweep that waited for one could deadlock with it.
macro_rules! delete {
    ($table:literal, $key:literal, $time:literal, $returning:literal) => {
        [
            delete!(@ $table, $key, $time, "", $returning),
            delete!(@ $table, $key, $time, " FOR UPDATE SKIP LOCKED", $returning),
        ]
    };
    (@ $table:literal, $key:literal, $time:literal, $skip_locked:literal, $returning:literal) => {
        concat!(
            "DELETE FROM ",
            $table,
            " WHERE ",
            $key,
            " IN (SELECT ",
            $key,
            " FROM ",
            $table,
            " WHERE ",
            $time,
            " <= $1 AND ",
            $key,
            " IN ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
            $skip_locked,
            ")",
            $returning
        )
    };
}

impl Expired {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Address, Self::Account, Self::Network, Self::Session];

    /// $1 the cutoff, $2 the limit.
    const fn search(self) -> &'static str {
        match self {
            Self::Address => search!("address_throttles", "key", "full_at"),
            Self::Account => search!("account_throttles", "key", "last_at"),
            Self::Network => search!("known_networks", "key", "seen_at"),
            Self::Session => search!("sessions", "id", "last_seen_at"),
        }
    }

    /// $1 the cutoff, then [`BATCH_SIZE`] keys. The second form is for PostgreSQL.
    pub(super) const fn delete(self) -> [&'static str; 2] {
        match self {
            Self::Address => delete!("address_throttles", "key", "full_at", ""),
            Self::Account => delete!("account_throttles", "key", "last_at", ""),
            Self::Network => delete!("known_networks", "key", "seen_at", ""),
            Self::Session => delete!("sessions", "id", "last_seen_at", " RETURNING token_hash"),
        }
    }

    const fn until(self, cutoffs: Cutoffs) -> Timestamp {
        match self {
            Self::Address => cutoffs.allowances,
            Self::Account => cutoffs.failures,
            Self::Network => cutoffs.networks,
            Self::Session => cutoffs.sessions,
        }
    }
}

impl Store {
    /// Rewrites the file if accounts were deleted since the last rewrite and the file has at most `largest` bytes.
    /// Returns whether it did. SQLite overwrites deleted rows, but not the copies in unused parts of pages that it
    /// leaves when it moves rows. This affects about one account in a hundred. Writes are blocked meanwhile, for some
    /// 10 ms per MiB. For a larger file only the log is emptied.
    pub async fn rewrite(&self, largest: i64) -> Result<bool, Error> {
        let store = self.clone();
        uncancelled(Box::pin(async move {
            let Db::Sqlite { write, .. } = &store.inner.db else { return Ok(false) };
            let mut connection = write.lock().await?;
            let sql = "SELECT user_version, page_count * page_size \
                       FROM pragma_user_version, pragma_page_count, pragma_page_size";
            let (remains, bytes): (i64, i64) = sqlx::query_as(sql).fetch_one(&mut *connection).await?;
            if remains == 0 {
                return Ok(false);
            }
            if bytes > largest {
                truncate_log(&mut connection).await?;
                return Ok(false);
            }
            tracing::info!(mib = bytes >> 20, "rewriting the database file, since accounts were deleted");
            sqlx::query("VACUUM").execute(&mut *connection).await?;
            let emptied = truncate_log(&mut connection).await?;
            // While a reader is active, the old pages are still there.
            if emptied {
                sqlx::query("PRAGMA user_version = 0").execute(&mut *connection).await?;
            }
            Ok(emptied)
        }))
        .await
    }

    /// Moves SQLite's log into the file and truncates it, so that the log doesn't keep overwritten data. If a reader
    /// prevents that, the next call does it. It must not be cancelled half-way, like [`truncate_log`].
    pub(super) async fn empty_log(&self) {
        let Db::Sqlite { write, .. } = &self.inner.db else { return };
        let emptied = async { truncate_log(&mut *write.lock().await?).await };
        if let Err(cause) = emptied.await {
            tracing::warn!(%cause, "the database's log was not emptied");
        }
    }

    /// Moves as much of SQLite's log into the file as possible without blocking readers or writers. A plain copy of
    /// the file then lacks little data.
    pub async fn checkpoint(&self) -> Result<(), Error> {
        let Db::Sqlite { read, .. } = &self.inner.db else { return Ok(()) };
        sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").fetch_all(&mut *read.acquire().await?).await?;
        Ok(())
    }

    /// The keys of up to `limit` expired rows, sorted, so that neighbouring rows are deleted together.
    pub async fn find_expired(&self, kind: Expired, cutoffs: Cutoffs, limit: u32) -> Result<Vec<String>, Error> {
        let values = values![kind.until(cutoffs), limit];
        self.search(async |conn| conn.fetch_column(kind.search(), values).await).await
    }

    /// Deletes rows that [`Store::find_expired`] found, unless they were used since or are locked. Returns how many.
    pub async fn purge_expired(&self, kind: Expired, keys: &[String], cutoffs: Cutoffs) -> Result<u64, Error> {
        self.write(RELAXED, async |tx| {
            let (sql, mut rows) = (tx.skipping_locked(kind.delete()), 0);
            for keys in keys.chunks(BATCH_SIZE) {
                // The last chunk is padded by repeating its keys.
                let keys = keys.iter().chain(keys.iter().rev().cycle()).take(BATCH_SIZE);
                let values: Vec<Value<'_>> =
                    iter::once(kind.until(cutoffs).into()).chain(keys.map(Value::from)).collect();
                if kind == Expired::Session {
                    let ended = tx.fetch_column(sql, &values).await?;
                    tx.invalidate_sessions(&ended);
                    rows += ended.len() as u64;
                } else {
                    rows += tx.execute(sql, &values).await?;
                }
            }
            Ok(rows)
        })
        .await
    }

    /// Deletes up to `limit` expired rows each of links, decoys and personal access tokens. Returns how many. A link
    /// that restores an email is kept while its account is disabled: [`Store::enable_user`] gives it its remaining
    /// time.
    pub async fn sweep_expired(&self, now: Timestamp, limit: usize) -> Result<u64, Error> {
        let links = "DELETE FROM links WHERE token_hash IN (SELECT token_hash FROM links WHERE expires_at <= $1 \
                     AND NOT (kind = 'undo_email' AND EXISTS \
                         (SELECT 1 FROM users WHERE id = user_id AND disabled_at IS NOT NULL)) LIMIT $2)";
        let decoys = "DELETE FROM decoy_links WHERE token_hash IN \
                      (SELECT token_hash FROM decoy_links WHERE expires_at <= $1 LIMIT $2)";
        let tokens = "DELETE FROM access_tokens WHERE id IN \
                      (SELECT id FROM access_tokens WHERE expires_at <= $1 LIMIT $2)";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.write(RELAXED, async |tx| {
            let mut rows = 0;
            for sql in [links, decoys, tokens] {
                rows += tx.execute(sql, values![now, limit]).await?;
            }
            Ok(rows)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, time::Duration};

    use sqlx::{Connection as _, Executor as _, Row as _};

    use super::*;
    use crate::domain::event::{Initiator, Stamp};
    use crate::store::{Authority, DATABASE_TIMEOUT, DatabaseUrl, DeleteOutcome, InheritFailures, backup::open};

    /// Adds an account with this name.
    async fn add(store: &Store, name: &'static str) {
        on_sqlite(store, async |writer| {
            let sql = "INSERT INTO users (id, email, email_key, username, username_key, password_hash, created_at) \
                       VALUES ($1, $1, $1, $1, $1, '', 0)";
            sqlx::query(sql).bind(name).execute(writer).await.expect("added");
        })
        .await;
    }

    async fn on_sqlite<T>(store: &Store, act: impl AsyncFnOnce(&mut SqliteConnection) -> T) -> T {
        let Db::Sqlite { write, .. } = &store.inner.db else { unreachable!("it is SQLite") };
        act(&mut *write.lock().await.expect("a writer")).await
    }

    /// Sets the writer's busy timeout to an hour, longer than this test may wait for a reader.
    async fn allow_waiting(store: &Store) {
        let made = async |writer: &mut SqliteConnection| writer.execute("PRAGMA busy_timeout = 3600000").await;
        on_sqlite(store, made).await.expect("patient");
    }

    async fn busy_timeout(store: &Store) -> i64 {
        let sql = sqlx::raw_sql("PRAGMA busy_timeout");
        on_sqlite(store, async |writer| sql.fetch_one(writer).await.expect("a row").get(0)).await
    }

    /// Fails if an operation waits for a reader. The timeout only makes sure that a failing test ends.
    async fn now<T>(act: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(30), act).await.expect("the operation waits for the reader")
    }

    async fn delete(store: &Store, name: &str) {
        let left = InheritFailures { from: String::new(), to: String::new(), since: Timestamp::from_millis(0) };
        let operator = Authority::Operator { user: name.to_owned() };
        let (id, at) = (uuid::Uuid::from_u128(name.as_bytes()[0].into()), Timestamp::from_millis(0));
        let stamp = Stamp { id, at, by: Initiator::server() };
        let deletion = Box::pin(store.delete_user(operator, false, left, stamp));
        assert_eq!(now(deletion).await.expect("deleted"), DeleteOutcome::Done);
    }

    fn log_len(database: &Path) -> u64 {
        fs::metadata(super::super::files::beside(database, "-wal")).expect("a log").len()
    }

    #[tokio::test]
    async fn deleted_rows_leave_the_log_despite_a_reader_r110() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("a.db");
        let store = Store::open(&DatabaseUrl::Sqlite(database.clone()), 1).await.expect("a store");
        let patient = i64::try_from(DATABASE_TIMEOUT.as_millis()).expect("a number");
        for name in ["ann", "bob"] {
            add(&store, name).await;
        }
        let mut reader = open(&database, true, DATABASE_TIMEOUT).await.expect("opened");
        let count = "SELECT COUNT(*) FROM users";
        reader.execute("BEGIN").await.expect("begun");
        assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(&mut reader).await.expect("read"), 2);
        // Twice, because a cached statement has no effect the second time.
        for name in ["ann", "bob"] {
            allow_waiting(&store).await;
            delete(&store, name).await;
            assert_eq!(busy_timeout(&store).await, patient, "the busy timeout is restored");
        }
        allow_waiting(&store).await;
        assert!(!now(store.rewrite(i64::MAX)).await.expect("tried"), "the reader still uses the old pages");
        assert_eq!(busy_timeout(&store).await, patient);
        add(&store, "carl").await;
        assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(&mut reader).await.expect("read"), 2);
        assert!(log_len(&database) > 0);
        reader.close().await.expect("closed");
        assert!(!store.rewrite(0).await.expect("tried"), "a file above the limit is not rewritten");
        assert_eq!(log_len(&database), 0, "its log is emptied");
        assert!(store.rewrite(i64::MAX).await.expect("rewritten"));
    }
}
