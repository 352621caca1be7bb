//! Opens the two databases, and classifies their errors as transient or permanent.

use std::{
    fs::{File, TryLockError},
    io,
    path::Path,
    time::Duration,
};

use sqlx::{
    pool::PoolOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{
    DATABASE_TIMEOUT, Db, Error,
    files::{beside, open_private},
    writer::Writer,
};

/// The first SQLite release without the write-ahead log bug that can lose committed pages (3.7.0 to 3.51.2 have it).
const OLDEST_SQLITE: [u32; 3] = [3, 51, 3];

/// The page cache of a SQLite connection in KiB (negative by SQLite's convention). It holds the upper levels of every
/// B-tree for a million accounts.
const CACHE_SIZE: &str = "-8192";

/// The size of the write-ahead log, in pages of 4 KiB, at which it is moved into the file. A page that was written
/// often is moved only once, so a larger log is cheaper. Reading the log after a crash takes longer.
const CHECKPOINT_PAGES: &str = "4000";

/// How often, and after which pause, a locked file is tried again. A backup locks a file for a moment when it checks
/// whether the file is in use.
const RETRIES: u32 = 3;
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// Holds the lock files of a database for as long as the process runs. The kernel releases them when the process
/// ends, however it ends.
#[derive(Debug)]
pub struct SqliteLock {
    /// The database file itself, which may have a second name or be mounted elsewhere. SQLite uses locks of another
    /// kind. Closing this file releases SQLite's own locks in this process, so it stays open as long as the database.
    #[expect(dead_code, reason = "held for its lock, never read")]
    database: File,
    /// Released last: while the database file is locked, this file is locked too.
    #[expect(dead_code, reason = "held for its lock, never read")]
    beside: File,
}

pub async fn sqlite(path: &Path, connections: u32) -> Result<(Db, SqliteLock), Error> {
    let lock = lock(path).await?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        // Overwrites deleted data, so that a copy of the file doesn't reveal deleted accounts.
        .pragma("secure_delete", "ON")
        .pragma("cache_size", CACHE_SIZE)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .busy_timeout(DATABASE_TIMEOUT);
    let write = Writer::open(options.clone()).await.map_err(|e| unusable(path, e))?;
    let version: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&mut *write.lock().await?).await?;
    if !is_sound(&version) {
        return Err(Error::Refused(format!("SQLite {version} may lose data: this program requires 3.51.3 or newer.")));
    }
    let read: SqlitePoolOptions = pool_options(connections).test_before_acquire(false);
    let read = read.connect_with(options.pragma("query_only", "ON")).await?;
    Ok((Db::Sqlite { read, write: Box::new(write) }, lock))
}

pub fn pool_options<D: sqlx::Database>(connections: u32) -> PoolOptions<D> {
    PoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(DATABASE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(Duration::from_mins(30))
}

/// Locks a database for this process. Creates the file if it doesn't exist.
pub async fn lock(path: &Path) -> Result<SqliteLock, Error> {
    let name = beside(path, ".lock");
    let beside = open_private(&name, true).map_err(|e| cannot_open(&name, &e))?;
    refuse_network_file_system(path, &beside)?;
    take(&beside, path, &name).await?;
    let database = open_private(path, false).map_err(|e| cannot_open(path, &e))?;
    take(&database, path, path).await?;
    Ok(SqliteLock { database, beside })
}

async fn take(file: &File, database: &Path, name: &Path) -> Result<(), Error> {
    let mut taken = file.try_lock();
    for _ in 0..RETRIES {
        if !matches!(taken, Err(TryLockError::WouldBlock)) {
            break;
        }
        tokio::time::sleep(RETRY_INTERVAL).await;
        taken = file.try_lock();
    }
    match taken {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(Error::InUse(database.to_owned())),
        Err(TryLockError::Error(e)) => Err(cannot_open(name, &e)),
    }
}

/// A write-ahead log requires shared memory, which network file systems don't have.
fn refuse_network_file_system(path: &Path, file: &File) -> Result<(), Error> {
    let kind = rustix::fs::fstatfs(file).map_err(|e| cannot_open(path, &io::Error::from(e)))?.f_type;
    if u32::try_from(kind).is_ok_and(is_on_a_network) {
        return Err(Error::Refused(format!(
            "{} is on a network file system, where SQLite can lose data. Use a local disk, or PostgreSQL.",
            path.display()
        )));
    }
    Ok(())
}

/// NFS, SMB, CIFS, SMB 2 and 9P, by their numbers in Linux (statfs(2)).
fn is_on_a_network(file_system: u32) -> bool {
    [0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42, 0x0102_1997].contains(&file_system)
}

pub fn cannot_open(path: &Path, cause: &dyn std::fmt::Display) -> Error {
    Error::Refused(format!("{} can't be opened: {cause}. Check the folder and its permissions.", path.display()))
}

fn unusable(path: &Path, cause: sqlx::Error) -> Error {
    match &cause {
        sqlx::Error::Database(e) if e.code().as_deref() == Some("26") => {
            Error::Refused(format!("{} is not a SQLite database. Name another file.", path.display()))
        }
        _ => cause.into(),
    }
}

/// Whether a version of SQLite has no known bug that loses data.
fn is_sound(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    let version: [u32; 3] = std::array::from_fn(|_| parts.next().unwrap_or(0));
    version >= OLDEST_SQLITE
}

/// Whether an error is transient: the connection was lost, or the database is locked, full, read-only or shutting
/// down. Any other error is a bug in this program.
pub fn is_transient(cause: &sqlx::Error) -> bool {
    match cause {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(e) => e.code().is_some_and(|code| is_transient_code(&code)),
        _ => false,
    }
}

fn is_transient_code(code: &str) -> bool {
    match code.parse::<u32>() {
        // SQLite's extended codes: the low byte is BUSY, LOCKED, NOMEM, READONLY, IOERR, FULL, CANTOPEN or PROTOCOL.
        Ok(number) if code.len() < 5 => matches!(number & 0xff, 5..=8 | 10 | 13..=15),
        // PostgreSQL's classes: connection, authorization, rollback, resources, operator, system; 25006 is read-only.
        _ => ["08", "28", "40", "53", "55", "57", "58", "25006"].iter().any(|class| code.starts_with(class)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        for (version, sound) in [("3.51.3", true), ("3.51.2", false), ("3.9.10", false), ("3.100.0", true), ("4", true)]
        {
            assert_eq!(is_sound(version), sound, "{version}");
        }
    }

    #[tokio::test]
    async fn checking_a_lock_prevents_no_server_from_taking_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let file = open_private(&path, true).expect("a file");
        let looking = File::open(&path).expect("opened");
        looking.try_lock_shared().expect("held");
        let mut taking = Box::pin(take(&file, &path, &path));
        tokio::select! {
            biased;
            taken = &mut taking => unreachable!("it is held: {taken:?}"),
            () = std::future::ready(()) => drop(looking),
        }
        taking.await.expect("it is free");
        let other = File::open(&path).expect("opened");
        assert!(matches!(take(&other, &path, &path).await, Err(Error::InUse(_))), "the lock is held");
    }

    #[test]
    fn a_network_file_system_is_recognized() {
        let (nfs, ext4, tmpfs) = (0x6969, 0xef53, 0x0102_1994);
        assert_eq!([nfs, ext4, tmpfs].map(is_on_a_network), [true, false, false]);
    }

    #[test]
    fn temporary_database_errors_are_distinguished_r96_r97_r98() {
        let busy_recovery = "261";
        for code in ["5", busy_recovery, "6", "13", "14", "8", "57P01", "57014", "08006", "40001", "53300", "25006"] {
            assert!(is_transient_code(code), "{code}");
        }
        let unique_index = "2067";
        for code in ["1", "11", "19", unique_index, "26", "23505", "42601", "25001", "22P02"] {
            assert!(!is_transient_code(code), "{code}");
        }
        assert!(is_transient(&sqlx::Error::PoolClosed) && !is_transient(&sqlx::Error::RowNotFound));
        let passing = |code| is_transient(&sqlx::Error::Database(Box::new(FakeDbError(code))));
        assert!(passing("5") && !passing("2067"));
    }

    /// An error from a database, with its code.
    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct FakeDbError(&'static str);

    impl sqlx::error::DatabaseError for FakeDbError {
        fn message(&self) -> &str {
            self.0
        }

        fn code(&self) -> Option<std::borrow::Cow<'_, str>> {
            Some(self.0.into())
        }

        fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
            self
        }

        fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
            self
        }

        fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
            self
        }

        fn kind(&self) -> sqlx::error::ErrorKind {
            sqlx::error::ErrorKind::Other
        }
    }
}
