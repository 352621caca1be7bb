//! Copies of a SQLite file, whole as of one moment.
//!
//! A copy is made by a reader of its own, while a server may be writing: SQLite lets any process read. `VACUUM INTO` leaves out
//! what was deleted. It is first made beside the database, where its owner may write, and then written into the file that
//! the operator has opened, perhaps with more rights.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
    time::Duration,
};

use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{
    Error,
    draft::{Draft, Nonce, Purpose, write},
    files::{NO_LINK, beside},
    migrations::look_into,
};

/// How often the progress is told.
const BEAT: Duration = Duration::from_secs(1);

/// How long a reader waits for a lock.
const COPY_TIMEOUT: Duration = Duration::from_secs(30);

/// What a copy is called in words.
const COPY: &str = "the copy";

/// Copies a database into an open file. Tells the bytes done and those that there may be in all, from time to time. The
/// nonce names the draft.
///
/// # Errors
/// [`Error::Refused`] for a file that is no database of this program, or that can't be copied.
pub async fn copy(database: &Path, target: File, nonce: Nonce, progress: impl FnMut(u64, u64)) -> Result<(), Error> {
    if matches!(database.try_exists(), Ok(false)) {
        let folder = std::env::current_dir().unwrap_or_default();
        return Err(Error::Refused(format!(
            "there is no {} in {}: name the server's folder by -C FOLDER, or set database.url",
            database.display(),
            folder.display()
        )));
    }
    refuse_other_name(database)?;
    let name = database.display().to_string();
    let mut source = open(database, false, COPY_TIMEOUT).await.map_err(|cause| of(&name, cause.into()))?;
    if !look_into(&mut source, &name).await.map_err(|error| of(&name, error))? {
        return Err(Error::Refused(format!("{} holds no data yet: start the server first.", database.display())));
    }
    let draft = Draft::new(database, Purpose::Backup, nonce)?;
    vacuum_into(&mut source, &draft, progress).await?;
    source.close().await?;
    check(&draft.path).await?;
    let written = write(&draft.file, &target).await;
    written.map_err(|cause| Error::Refused(format!("the backup can't be written: {cause}.")))
}

/// Refuses a second name of a file, if the newest data may lie beside another one: SQLite looks for it beside the name that it is
/// given. A process may have the file open by that name, or have been killed.
fn refuse_other_name(database: &Path) -> Result<(), Error> {
    // Whoever holds a file holds the lock beside the name that it uses.
    let is_used = is_held(&beside(database, ".lock"));
    let elsewhere = is_held(database) && !is_used;
    // Asked again, for the process may have let go of both in between.
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
            () = tokio::time::sleep(BEAT) => progress(draft.len(), all),
        }
    }
}

/// A connection that doesn't make the file.
pub(super) async fn open(path: &Path, query_only: bool, patience: Duration) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(patience);
    let options = if query_only { options.pragma("query_only", "ON") } else { options };
    options.connect().await
}

/// Makes sure that a copy is whole, and a database of this program.
pub(super) async fn check(path: &Path) -> Result<(), Error> {
    let mut copy = open(path, true, COPY_TIMEOUT).await.map_err(|cause| of(COPY, cause.into()))?;
    let checked = async {
        let ours = look_into(&mut copy, COPY).await?;
        let found: Vec<String> = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_all(&mut copy).await?;
        Ok((ours, found))
    };
    let checked = checked.await.map_err(|error| of(COPY, error));
    copy.close().await?;
    match checked? {
        (false, _) => Err(Error::Refused("the copy is empty: it holds no database of Vestibule.".to_owned())),
        (true, found) if found == ["ok"] => Ok(()),
        (true, found) => Err(Error::Refused(format!("the copy is damaged: {}.", found.join(" ")))),
    }
}

/// A failure, in words about a file.
fn of(name: &str, error: Error) -> Error {
    let (Error::Fault(cause) | Error::Unavailable(cause)) = error else { return error };
    let code = cause.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default();
    Error::Refused(match &*code {
        "26" => format!("{name} is no SQLite database."),
        "11" => format!("{name} is damaged: {cause}."),
        _ => format!("{name} can't be read: {cause}."),
    })
}
