//! A copy in the place of a SQLite file, and what a restored database must forget.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use sqlx::Connection;

use super::{
    DURABLE, DatabaseUrl, Db, Error, Store,
    backup::{check, open},
    connect::{SqliteLock, cannot_open, lock},
    draft::{Draft, Nonce, Purpose},
    files::{beside, sync_folder_of},
    mark, on_read, on_write,
};
use crate::domain::time::Timestamp;

/// What is to be forgotten.
#[derive(Debug)]
pub struct Forget<'a> {
    /// Now.
    pub now: Timestamp,
    /// Mail that waits since before this.
    pub mails_before: Timestamp,
    /// Whether personal access tokens stay.
    pub keep_access_tokens: bool,
    /// Accounts to disable, by their identifiers.
    pub disable: &'a [SinceAccount],
}

/// How much was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Sessions.
    pub sessions: u64,
    /// Links in mails.
    pub links: u64,
    /// Personal access tokens.
    pub access_tokens: u64,
    /// Mails that waited.
    pub mails: u64,
}

/// An account of the backup that has changed since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinceAccount {
    /// Its identifier.
    pub id: String,
    /// Its username.
    pub username: String,
}

/// What has changed since a backup, as far as it matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Since {
    /// How many accounts were made.
    pub made: u64,
    /// Accounts that were deleted.
    pub deleted: Vec<SinceAccount>,
    /// Accounts that were disabled.
    pub disabled: Vec<SinceAccount>,
    /// Accounts whose passwords were changed.
    pub passwords: Vec<SinceAccount>,
}

const MADE: &str = "SELECT COUNT(*) FROM present.users WHERE id NOT IN (SELECT id FROM main.users)";
const DELETED: &str =
    "SELECT id, username FROM main.users WHERE id NOT IN (SELECT id FROM present.users) ORDER BY username";
const DISABLED: &str = "SELECT b.id, b.username FROM main.users b JOIN present.users p ON p.id = b.id \
    WHERE b.disabled_at IS NULL AND p.disabled_at IS NOT NULL ORDER BY b.username";
const PASSWORDS: &str = "SELECT b.id, b.username FROM main.users b JOIN present.users p ON p.id = b.id \
    WHERE b.password_hash <> p.password_hash ORDER BY b.username";
const NEWEST: &str = "SELECT MAX(at) FROM (SELECT MAX(created_at) AS at FROM users UNION ALL \
    SELECT MAX(last_login_at) FROM users UNION ALL SELECT MAX(last_seen_at) FROM sessions) AS times";

/// A copy that is ready to take the place of a database, which nobody else uses meanwhile.
#[derive(Debug)]
pub struct Prepared {
    /// The copy, open.
    pub store: Store,
    draft: Draft,
    database: PathBuf,
    /// Whether there was a database before.
    present: bool,
    _lock: SqliteLock,
}

impl Prepared {
    /// Takes a copy in, checks it and brings its tables up to date. The nonce names the draft.
    ///
    /// # Errors
    /// [`Error::InUse`] while a server runs, [`Error::Refused`] for a copy that can't be used.
    pub async fn new(database: &Path, source: &File, nonce: Nonce) -> Result<Self, Error> {
        // An empty file is what an attempt without a database leaves.
        let present = fs::metadata(database).is_ok_and(|metadata| metadata.len() > 0);
        let lock = lock(database)?;
        let draft = Draft::new(database, Purpose::Restore, nonce)?;
        draft.fill(source).await?;
        check(&draft.path).await?;
        draft.unlock()?;
        let store = Store::open(&DatabaseUrl::Sqlite(draft.path.clone()), 1).await?;
        Ok(Self { store, draft, database: database.to_owned(), present, _lock: lock })
    }

    /// What has changed since the copy was made, if the database of before can be read.
    pub async fn since(&self) -> Option<Since> {
        if !self.present {
            return None;
        }
        let compared = self.compare().await;
        compared.inspect_err(|cause| tracing::debug!(%cause, "the database of before can't be read")).ok()
    }

    async fn compare(&self) -> Result<Since, Error> {
        let Db::Sqlite { write, .. } = &self.store.inner.db else { return Ok(Since::default()) };
        let mut connection = write.lock().await?;
        let name = self.database.to_string_lossy().into_owned();
        sqlx::query("ATTACH DATABASE $1 AS present").bind(name).execute(&mut *connection).await?;
        let compared = async {
            let made: i64 = sqlx::query_scalar(MADE).fetch_one(&mut *connection).await?;
            let mut lists = Vec::new();
            for sql in [DELETED, DISABLED, PASSWORDS] {
                let rows: Vec<(String, String)> = sqlx::query_as(sql).fetch_all(&mut *connection).await?;
                lists.push(rows.into_iter().map(|(id, username)| SinceAccount { id, username }).collect());
            }
            let mut lists = lists.into_iter();
            let mut next = || lists.next().unwrap_or_default();
            let (deleted, disabled, passwords) = (next(), next(), next());
            Ok(Since { made: u64::try_from(made).unwrap_or(0), deleted, disabled, passwords })
        };
        let compared = compared.await;
        // Folds its log into the file as well.
        sqlx::query("DETACH DATABASE present").execute(&mut *connection).await?;
        compared
    }

    /// Puts the copy in its place. The database of before is kept beside it; its path, if there was one.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn put_in_place(self, now: Timestamp) -> Result<Option<PathBuf>, Error> {
        let Self { store, draft, database, present, _lock } = self;
        store.close().await;
        drop(store);
        let time = now.to_rfc3339().replace(['-', ':'], "");
        let aside = present.then(|| beside(&database, &format!(".before-{time}")));
        if let Some(aside) = &aside {
            // Folded into the file, unless that is damaged. Nothing of it may be left for the copy.
            if let Ok(before) = open(&database, false).await {
                drop(before.close().await);
            }
            set_aside(&database, aside).map_err(|cause| cannot_open(aside, &cause))?;
        }
        drop(fs::remove_file(mark::of(&database)));
        fs::rename(&draft.path, &database).map_err(|cause| cannot_open(&database, &cause))?;
        sync_folder_of(&database).map_err(|cause| cannot_open(&database, &cause))?;
        Ok(aside)
    }
}

/// Gives a database a second name, and moves its log there, so that at every moment there is a whole one under one of them.
fn set_aside(database: &Path, aside: &Path) -> std::io::Result<()> {
    // Not every file system knows second names.
    fs::hard_link(database, aside).or_else(|_| fs::rename(database, aside))?;
    for suffix in ["-wal", "-shm", "-journal"] {
        match fs::rename(beside(database, suffix), beside(aside, suffix)) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => return Err(cause),
            _ => {}
        }
    }
    Ok(())
}

impl Store {
    /// When the newest of what is kept was made or used, if there is anything.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn newest(&self) -> Result<Option<Timestamp>, Error> {
        let newest: Option<i64> = on_read!(self, conn => sqlx::query_scalar(NEWEST).fetch_one(&mut *conn).await?);
        Ok(newest.map(Timestamp::from_millis))
    }

    /// Ends in one transaction what a restored database would bring back to life.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn forget_after_restore(&self, forget: Forget<'_>) -> Result<Forgotten, Error> {
        let Forget { now, mails_before, keep_access_tokens, disable } = forget;
        Ok(on_write!(self, DURABLE, tx => {
            for account in disable {
                let sql = "UPDATE users SET disabled_at = $2 WHERE id = $1 AND disabled_at IS NULL";
                sqlx::query(sql).bind(&account.id).bind(now.as_millis()).execute(&mut *tx).await?;
            }
            let sessions = sqlx::query("DELETE FROM sessions").execute(&mut *tx).await?.rows_affected();
            let links = sqlx::query("DELETE FROM links").execute(&mut *tx).await?.rows_affected();
            let access_tokens = if keep_access_tokens {
                0
            } else {
                sqlx::query("DELETE FROM access_tokens").execute(&mut *tx).await?.rows_affected()
            };
            let old = sqlx::query("DELETE FROM mails WHERE created_at < $1").bind(mails_before.as_millis());
            let mails = old.execute(&mut *tx).await?.rows_affected();
            Forgotten { sessions, links, access_tokens, mails }
        }))
    }
}
