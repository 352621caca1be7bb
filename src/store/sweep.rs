//! Sweeping out rows that mean nothing any more.
//!
//! The tables have no index for that, for it would be written at each login and each use of a session; so a reader,
//! which nobody waits for, looks for them, and the writer deletes what it found by its key.

use sqlx::query::{Query, QueryScalar};

use super::{Db, Error, RELAXED, Store, on_search, on_write};
use crate::domain::time::Timestamp;

/// The times up to which rows mean nothing any more.
#[derive(Clone, Copy, Debug)]
pub struct Horizons {
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
pub enum Spent {
    /// An address's throttle.
    Address,
    /// The throttle of an account, or of a name that is nobody's.
    Account,
    /// A network that an account knew.
    Network,
    /// A session.
    Session,
}

/// Rows deleted by one statement.
const AT_ONCE: usize = 16;

macro_rules! search {
    ($table:literal, $key:literal, $time:literal) => {
        concat!("SELECT ", $key, " FROM ", $table, " WHERE ", $time, " <= $1 ORDER BY ", $key, " LIMIT $2")
    };
}

macro_rules! delete {
    ($table:literal, $key:literal, $time:literal, $returning:literal) => {
        concat!(
            "DELETE FROM ",
            $table,
            " WHERE ",
            $time,
            " <= $1 AND ",
            $key,
            " IN ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
            $returning
        )
    };
}

impl Spent {
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

    /// $1 the time, then [`AT_ONCE`] keys.
    const fn delete(self) -> &'static str {
        match self {
            Self::Address => delete!("address_throttles", "key", "full_at", ""),
            Self::Account => delete!("account_throttles", "key", "last_at", ""),
            Self::Network => delete!("known_networks", "key", "seen_at", ""),
            Self::Session => delete!("sessions", "id", "last_seen_at", " RETURNING token_hash"),
        }
    }

    const fn until(self, horizons: Horizons) -> i64 {
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
    /// Nothing else can be written meanwhile, some 10 ms for each MiB. Tells whether the file was rewritten.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn rewrite(&self, largest: i64) -> Result<bool, Error> {
        let Db::Sqlite { write, .. } = &self.inner.db else { return Ok(false) };
        let mut connection = write.lock().await?;
        let sql =
            "SELECT user_version, page_count * page_size FROM pragma_user_version, pragma_page_count, pragma_page_size";
        let (remains, bytes): (i64, i64) = sqlx::query_as(sql).fetch_one(&mut *connection).await?;
        if remains == 0 || bytes > largest {
            return Ok(false);
        }
        tracing::info!(mib = bytes >> 20, "rewriting the database file, since accounts were deleted");
        sqlx::query("VACUUM").execute(&mut *connection).await?;
        let (busy, _, _): (i64, i64, i64) =
            sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *connection).await?;
        // With a reader in the way the old pages are still there.
        if busy == 0 {
            sqlx::query("PRAGMA user_version = 0").execute(&mut *connection).await?;
        }
        Ok(busy == 0)
    }

    /// Folds SQLite's log into the file and empties it, so that what was overwritten there is gone from here as well. A reader
    /// that is in the way leaves it for the next time.
    pub(super) async fn empty_log(&self) {
        let Db::Sqlite { write, .. } = &self.inner.db else { return };
        let emptied = async {
            let mut connection = write.lock().await?;
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_all(&mut *connection).await
        };
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

    /// The keys of up to `limit` rows that mean nothing any more. In order, so that two servers that delete the same
    /// ones don't wait for each other.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn find_spent(&self, kind: Spent, horizons: Horizons, limit: u32) -> Result<Vec<String>, Error> {
        Ok(on_search!(self, conn => sqlx::query_scalar(kind.search())
            .bind(kind.until(horizons))
            .bind(i64::from(limit))
            .fetch_all(&mut *conn)
            .await?))
    }

    /// Deletes rows that [`Store::find_spent`] has found, unless they have been used since. Returns how many.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn purge_spent(&self, kind: Spent, keys: &[String], horizons: Horizons) -> Result<u64, Error> {
        let (until, sql) = (kind.until(horizons), kind.delete());
        let (rows, _ended) = on_write!(self, RELAXED, tx => {
            let (mut rows, mut ended) = (0, Vec::<Vec<u8>>::new());
            for keys in keys.chunks(AT_ONCE) {
                // The last one fills the places that are left.
                let keys = keys.iter().chain(keys.iter().rev().cycle()).take(AT_ONCE);
                if kind == Spent::Session {
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
