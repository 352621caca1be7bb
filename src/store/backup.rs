//! Consistent copies of a SQLite file.
//!
//! A separate read connection makes the copy, even while a server writes: SQLite lets any process read. `VACUUM INTO`
//! leaves out deleted data. The copy is first created beside the database, where the database's owner may write. It
//! is then written into the file that the operator has opened, possibly with more permissions.

mod file;
mod folder;

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
    time::Duration,
};

use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

pub use self::{
    file::{BackupFile, unfinished},
    folder::BackupFolder,
};
use super::{
    Error, Store,
    draft::{Draft, Nonce, Purpose, write},
    files::{NO_LINK, beside},
    migrations::is_vestibule_database,
};

/// How often progress is reported.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// How long a reader waits for a lock.
pub(super) const COPY_TIMEOUT: Duration = Duration::from_secs(30);

/// The name of a copy in messages.
pub const COPY: &str = "the copy";

/// Copies a database into an open file. Periodically reports the bytes written and the expected total. The nonce
/// becomes part of the draft's name.
///
/// # Errors
/// [`Error::Refused`] for a file that is not a Vestibule database, or that can't be copied.
pub async fn copy(database: &Path, target: File, nonce: Nonce, progress: impl FnMut(u64, u64)) -> Result<(), Error> {
    if matches!(database.try_exists(), Ok(false)) {
        let folder = std::env::current_dir().unwrap_or_default();
        return Err(Error::Refused(format!(
            "there is no {} in {}: pass the server's folder with -C FOLDER, or set database.url",
            database.display(),
            folder.display()
        )));
    }
    refuse_other_name(database)?;
    copy_known(database, target, nonce, progress).await
}

impl Store {
    /// Copies the open SQLite file into another open file, like [`copy`]. The nonce becomes part of the draft's name.
    ///
    /// The process has the database open, so its name needs no check. The check would open the file and close it, which
    /// releases SQLite's own locks in this process.
    ///
    /// # Errors
    /// [`Error::Refused`], also on PostgreSQL.
    pub async fn copy_into(&self, target: File, nonce: Nonce) -> Result<(), Error> {
        let Some(database) = self.file() else {
            return Err(Error::Refused("PostgreSQL has backup tools of its own.".to_owned()));
        };
        copy_known(database, target, nonce, |_, _| {}).await
    }
}

async fn copy_known(database: &Path, target: File, nonce: Nonce, progress: impl FnMut(u64, u64)) -> Result<(), Error> {
    let name = database.display().to_string();
    let mut source = open(database, false, COPY_TIMEOUT).await.map_err(|cause| of(&name, cause.into()))?;
    if !is_vestibule_database(&mut source, &name).await.map_err(|error| of(&name, error))? {
        return Err(Error::Refused(format!("{} holds no data yet: start the server first.", database.display())));
    }
    let draft = Draft::new(database, Purpose::Backup, nonce)?;
    vacuum_into(&mut source, &draft, progress).await?;
    source.close().await?;
    check(&draft.path).await?;
    let written = write(&draft.file, &target).await;
    written.map_err(|cause| Error::Refused(format!("the backup can't be written: {cause}.")))
}

/// Refuses a second name of a file if the newest data may be beside another name. SQLite looks for its log beside the
/// name it is given. A process may have the file open under the other name, or may have been killed while using it.
fn refuse_other_name(database: &Path) -> Result<(), Error> {
    // A process that has the file open also holds the lock file beside the name that it uses.
    let is_used = is_held(&beside(database, ".lock"));
    let elsewhere = is_held(database) && !is_used;
    // Checked again, since the process may have released both in between.
    if elsewhere && is_held(database) {
        return Err(Error::Refused(format!(
            "{} is in use by another process under another name: set database.url to that name.",
            database.display()
        )));
    }
    let names = fs::metadata(database).map_or(1, |metadata| metadata.nlink());
    let has_log = fs::metadata(beside(database, "-wal")).is_ok_and(|log| log.len() > 0);
    if names > 1 && !is_used && !has_log {
        return Err(Error::Refused(format!(
            "{} has {names} names, and its newest data may be in a log beside another one: set database.url to the name that the \
             server uses and start the server, or delete the other names.",
            database.display()
        )));
    }
    Ok(())
}

fn is_held(path: &Path) -> bool {
    let file = OpenOptions::new().read(true).custom_flags(NO_LINK).open(path);
    file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

async fn vacuum_into(
    source: &mut SqliteConnection,
    draft: &Draft,
    mut progress: impl FnMut(u64, u64),
) -> Result<(), Error> {
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut *source).await?;
    let size: i64 = sqlx::query_scalar("PRAGMA page_size").fetch_one(&mut *source).await?;
    let all = u64::try_from(pages.saturating_mul(size)).unwrap_or(0);
    let path = draft.path.to_string_lossy().into_owned();
    let copying = sqlx::query("VACUUM INTO $1").bind(path).execute(source);
    let mut copying = std::pin::pin!(copying);
    loop {
        tokio::select! {
            copied = &mut copying => {
                let failed = |cause| Error::Refused(format!("{} can't be written: {cause}.", draft.path.display()));
                return copied.map(drop).map_err(failed);
            }
            () = tokio::time::sleep(PROGRESS_INTERVAL) => progress(draft.len(), all),
        }
    }
}

/// Opens a connection without creating the file.
pub(super) async fn open(path: &Path, query_only: bool, timeout: Duration) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(timeout);
    let options = if query_only { options.pragma("query_only", "ON") } else { options };
    options.connect().await
}

/// Checks that a copy is intact and is a Vestibule database.
pub(super) async fn check(path: &Path) -> Result<(), Error> {
    let mut copy = open(path, true, COPY_TIMEOUT).await.map_err(|cause| of(COPY, cause.into()))?;
    let checked = async {
        let ours = is_vestibule_database(&mut copy, COPY).await?;
        Ok((ours, damage(&mut copy).await?))
    };
    let checked = checked.await.map_err(|error| of(COPY, error));
    copy.close().await?;
    match checked? {
        (false, _) => Err(Error::Refused("the copy is empty: it holds no Vestibule database.".to_owned())),
        (true, None) => Ok(()),
        (true, Some(damage)) => Err(Error::Refused(format!("the copy is damaged: {damage}."))),
    }
}

/// Looks for damage in a file.
pub(super) async fn damage(connection: &mut SqliteConnection) -> Result<Option<String>, Error> {
    let found: Vec<String> = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_all(connection).await?;
    Ok((found != ["ok"]).then(|| found.join(" ")))
}

/// Converts an error into one about a file.
pub(super) fn of(name: &str, error: Error) -> Error {
    let (Error::Fault(cause) | Error::Unavailable(cause)) = error else { return error };
    let code = cause.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default();
    Error::Refused(match &*code {
        "26" => format!("{name} is not a SQLite database."),
        "11" => format!("{name} is damaged: {cause}."),
        _ => format!("{name} can't be read: {cause}."),
    })
}
