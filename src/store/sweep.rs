//! Sweeping out rows that mean nothing any more.
//!
//! The tables have no index for that, for it would be written at each login and each use of a session; so a reader,
//! which nobody waits for, looks for them, and the writer deletes what it found by its key.

use sqlx::{
    SqliteConnection,
    query::{Query, QueryScalar},
};

use super::{Db, Error, RELAXED, Store, lock::Locks, on_search, on_write};
use crate::domain::time::Timestamp;

/// The times up to which rows mean nothing any more.
#[derive(Clone, Copy, Debug)]
pub struct Cutoffs {
    /// Now: an address whose allowance is whole again may do as much as one that was never seen.
    pub allowances: Timestamp,
    /// Failed logins before this are forgotten, and no attempt from before it is under way.
    pub failures: Timestamp,
    /// Networks last seen before this are not known any more.
    pub networks: Timestamp,
    /// Sessions last used before this have ended. That finds those past their absolute end too: since then nobody could
    /// use them.
    pub sessions: Timestamp,
}

/// What a row that means nothing any more was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// An address's throttle.
    Address,
    /// The throttle of an account, or of a name that is nobody's.
    Account,
    /// A network that an account knew.
    Network,
    /// A session.
    Session,
}

/// How long the writer waits for others: not at all, and [`super::DATABASE_TIMEOUT`]. SQLite obeys when it reads the statement, so it must
/// never be kept for another time, as a prepared one is.
const NO_WAIT: &str = "PRAGMA busy_timeout = 0";
const WAIT: &str = "PRAGMA busy_timeout = 2500";

/// Folds SQLite's log into the file and empties it. A reader that is in the way isn't waited for: SQLite would hold its write
/// lock meanwhile, and nobody could write. Tells whether the log is empty. It must run to its end: what was dropped half-way would
/// leave a writer without patience.
async fn empty(writer: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    sqlx::raw_sql(NO_WAIT).execute(&mut *writer).await?;
    let emptied = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *writer).await;
    sqlx::raw_sql(WAIT).execute(&mut *writer).await?;
    let (busy, _, _): (i64, i64, i64) = emptied?;
    Ok(busy == 0)
}

/// Rows deleted by one statement.
const AT_ONCE: usize = 16;

macro_rules! search {
    ($table:literal, $key:literal, $time:literal) => {
        concat!("SELECT ", $key, " FROM ", $table, " WHERE ", $time, " <= $1 ORDER BY ", $key, " LIMIT $2")
    };
}

/// A statement in two forms. The second leaves out rows that another transaction holds: a login locks several in an order of its
/// own, so a sweep that waited for one might be waited for.
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

    /// $1 the time, $2 how many.
    const fn search(self) -> &'static str {
        match self {
            Self::Address => search!("address_throttles", "key", "full_at"),
            Self::Account => search!("account_throttles", "key", "last_at"),
            Self::Network => search!("known_networks", "key", "seen_at"),
            Self::Session => search!("sessions", "id", "last_seen_at"),
        }
    }

    /// $1 the time, then [`AT_ONCE`] keys. The second form is PostgreSQL's.
    pub(super) const fn delete(self) -> [&'static str; 2] {
        match self {
            Self::Address => delete!("address_throttles", "key", "full_at", ""),
            Self::Account => delete!("account_throttles", "key", "last_at", ""),
            Self::Network => delete!("known_networks", "key", "seen_at", ""),
            Self::Session => delete!("sessions", "id", "last_seen_at", " RETURNING token_hash"),
        }
    }

    const fn until(self, horizons: Cutoffs) -> i64 {
        match self {
            Self::Address => horizons.allowances.as_millis(),
            Self::Account => horizons.failures.as_millis(),
            Self::Network => horizons.networks.as_millis(),
            Self::Session => horizons.sessions.as_millis(),
        }
    }
}

impl Store {
    /// Rewrites the file if accounts were deleted since the last time and it has `largest` bytes at the most. SQLite overwrites what
    /// is deleted, but not the copies that it leaves in unused parts of pages when it moves rows: about one account of a hundred.
    /// Nothing else can be written meanwhile, some 10 ms for each MiB. The log of a larger file is emptied. Tells whether the file was
    /// rewritten.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn rewrite(&self, largest: i64) -> Result<bool, Error> {
        let store = self.clone();
        self.uncancelled(async move {
            let Db::Sqlite { write, .. } = &store.inner.db else { return Ok(false) };
            let mut connection = write.lock().await?;
            let sql = "SELECT user_version, page_count * page_size \
                       FROM pragma_user_version, pragma_page_count, pragma_page_size";
            let (remains, bytes): (i64, i64) = sqlx::query_as(sql).fetch_one(&mut *connection).await?;
            if remains == 0 {
                return Ok(false);
            }
            if bytes > largest {
                empty(&mut connection).await?;
                return Ok(false);
            }
            tracing::info!(mib = bytes >> 20, "rewriting the database file, since accounts were deleted");
            sqlx::query("VACUUM").execute(&mut *connection).await?;
            let emptied = empty(&mut connection).await?;
            // With a reader in the way the old pages are still there.
            if emptied {
                sqlx::query("PRAGMA user_version = 0").execute(&mut *connection).await?;
            }
            Ok(emptied)
        })
        .await
    }

    /// Folds SQLite's log into the file and empties it, so that what was overwritten there is gone from here as well. A reader
    /// that is in the way leaves it for the next time. It must run to its end, as [`empty`] must.
    pub(super) async fn empty_log(&self) {
        let Db::Sqlite { write, .. } = &self.inner.db else { return };
        let emptied = async { empty(&mut *write.lock().await?).await };
        if let Err(cause) = emptied.await {
            tracing::warn!(%cause, "the database's log was not emptied");
        }
    }

    /// Folds as much of SQLite's log into the file as nobody is in the way of, beside those who write, so that a plain copy of
    /// the file lacks little.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn fold_log(&self) -> Result<(), Error> {
        let Db::Sqlite { read, .. } = &self.inner.db else { return Ok(()) };
        sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").fetch_all(&mut *read.acquire().await?).await?;
        Ok(())
    }

    /// The keys of up to `limit` rows that mean nothing any more. In order, for what lies together is deleted together.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn find_expired(&self, kind: Expired, horizons: Cutoffs, limit: u32) -> Result<Vec<String>, Error> {
        Ok(on_search!(self, conn => sqlx::query_scalar(kind.search())
            .bind(kind.until(horizons))
            .bind(i64::from(limit))
            .fetch_all(&mut *conn)
            .await?))
    }

    /// Deletes rows that [`Store::find_expired`] has found, unless they have been used since, or are in use. Returns how many.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn purge_expired(&self, kind: Expired, keys: &[String], horizons: Cutoffs) -> Result<u64, Error> {
        let until = kind.until(horizons);
        let (rows, _ended) = on_write!(self, RELAXED, tx => {
            let (sql, mut rows, mut ended) = (tx.skipping_locked(kind.delete()), 0, Vec::<Vec<u8>>::new());
            for keys in keys.chunks(AT_ONCE) {
                // The last one fills the places that are left.
                let keys = keys.iter().chain(keys.iter().rev().cycle()).take(AT_ONCE);
                if kind == Expired::Session {
                    let query = keys.fold(sqlx::query_scalar(sql).bind(until), QueryScalar::bind);
                    ended.extend(query.fetch_all(&mut *tx).await?);
                } else {
                    let query = keys.fold(sqlx::query(sql).bind(until), Query::bind);
                    rows += query.execute(&mut *tx).await?.rows_affected();
                }
            }
            // Sessions may be in memory, too.
            (rows + ended.len() as u64, self.forget_afterwards(&ended))
        });
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, time::Duration};

    use sqlx::{Connection as _, Executor as _, Row as _};

    use super::*;
    use crate::store::{Authority, DATABASE_TIMEOUT, DatabaseUrl, Inherit, backup::open};

    /// Adds an account of this name.
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

    /// Gives the writer an hour's patience, within which a wait for a reader doesn't end.
    async fn allow_waiting(store: &Store) {
        let made = async |writer: &mut SqliteConnection| writer.execute("PRAGMA busy_timeout = 3600000").await;
        on_sqlite(store, made).await.expect("patient");
    }

    async fn busy_timeout(store: &Store) -> i64 {
        let sql = sqlx::raw_sql("PRAGMA busy_timeout");
        on_sqlite(store, async |writer| sql.fetch_one(writer).await.expect("a row").get(0)).await
    }

    /// What must not wait for a reader. The time is only there so that a failure ends.
    async fn now<T>(act: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(30), act).await.expect("it waits for the reader")
    }

    async fn delete(store: &Store, name: &str) {
        let left = Inherit { from: String::new(), to: String::new(), since: Timestamp::from_millis(0) };
        let operator = Authority::Operator { user: name.to_owned() };
        let deletion = Box::pin(store.delete_user(operator, left));
        assert_eq!(now(deletion).await.expect("deleted"), Some(()));
    }

    fn log_len(database: &Path) -> u64 {
        fs::metadata(super::super::files::beside(database, "-wal")).expect("a log").len()
    }

    #[tokio::test]
    async fn what_was_deleted_waits_for_no_reader_to_leave_the_log_r110() {
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
        // Twice, for a statement that is kept does nothing the second time.
        for name in ["ann", "bob"] {
            allow_waiting(&store).await;
            delete(&store, name).await;
            assert_eq!(busy_timeout(&store).await, patient, "it waits for others as before");
        }
        allow_waiting(&store).await;
        assert!(!now(store.rewrite(i64::MAX)).await.expect("tried"), "the reader still needs the old pages");
        assert_eq!(busy_timeout(&store).await, patient);
        add(&store, "carl").await;
        assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(&mut reader).await.expect("read"), 2);
        assert!(log_len(&database) > 0);
        reader.close().await.expect("closed");
        assert!(!store.rewrite(0).await.expect("tried"), "the file is larger");
        assert_eq!(log_len(&database), 0, "but its log is emptied");
        assert!(store.rewrite(i64::MAX).await.expect("rewritten"));
    }
}
