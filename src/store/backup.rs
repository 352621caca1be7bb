//! Copies of a SQLite file, whole as of one moment.
//!
//! A copy is made by a reader of its own, while a server may be writing: SQLite lets any process read. `VACUUM INTO` leaves out
//! what was deleted. It is first made beside the database, where its owner may write, and then written into the file that
//! the operator has opened, perhaps with more rights.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{
    Error,
    connect::{beside, cannot_open, open_private},
    migrations::look_into,
};

/// How often the progress is told.
const BEAT: Duration = Duration::from_secs(1);

/// How long a reader waits for a lock.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a copy is called in words.
const COPY: &str = "the copy";

/// A file beside the database that goes away in the end, with the files that SQLite keeps beside it.
#[derive(Debug)]
pub(super) struct Draft {
    pub path: PathBuf,
    file: File,
}

impl Draft {
    /// A new, empty file, for one process at a time.
    pub fn new(database: &Path, suffix: &str) -> Result<Self, Error> {
        let path = beside(database, suffix);
        let cannot = |cause: &dyn std::fmt::Display| cannot_open(&path, cause);
        let file = open_private(&path, false).map_err(|cause| cannot(&cause))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(cannot(&"another backup or restore is under way")),
            Err(TryLockError::Error(cause)) => return Err(cannot(&cause)),
        }
        file.set_len(0).map_err(|cause| cannot(&cause))?;
        Ok(Self { path, file })
    }

    /// Lets others take it: whoever opens it as a database does so once more.
    pub fn unlock(&self) -> Result<(), Error> {
        self.file.unlock().map_err(|cause| cannot_open(&self.path, &cause))
    }

    fn len(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }

    /// Writes all of one file into another and waits for the disk.
    pub async fn write(from: &File, to: &File) -> io::Result<()> {
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        let written = tokio::task::spawn_blocking(move || {
            io::Seek::rewind(&mut from)?;
            io::copy(&mut from, &mut to)?;
            to.sync_all()
        });
        written.await.unwrap_or_else(|cause| Err(io::Error::other(cause)))
    }

    /// Fills it from another file.
    pub async fn fill(&self, from: &File) -> Result<(), Error> {
        Self::write(from, &self.file).await.map_err(|cause| cannot_open(&self.path, &cause))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        for suffix in ["", "-journal", "-wal", "-shm", ".lock"] {
            drop(fs::remove_file(with_suffix(&self.path, suffix)));
        }
    }
}

/// A file that SQLite keeps beside another, by its name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Copies a database into an open file. Tells the bytes done and those that there may be in all, from time to time.
///
/// # Errors
/// [`Error::Refused`] for a file that is no database of this program, or that can't be copied.
pub async fn copy(database: &Path, target: File, progress: impl FnMut(u64, u64)) -> Result<(), Error> {
    if matches!(database.try_exists(), Ok(false)) {
        let folder = std::env::current_dir().unwrap_or_default();
        return Err(Error::Refused(format!(
            "there is no {} in {}: name the server's folder by -C FOLDER, or set database.url",
            database.display(),
            folder.display()
        )));
    }
    let name = database.display().to_string();
    let mut source = open(database, false).await.map_err(|cause| of(&name, cause.into()))?;
    if !look_into(&mut source, &name).await.map_err(|error| of(&name, error))? {
        return Err(Error::Refused(format!("{} holds no data yet: start the server first.", database.display())));
    }
    let draft = Draft::new(database, "backup")?;
    vacuum_into(&mut source, &draft, progress).await?;
    source.close().await?;
    check(&draft.path).await?;
    let written = Draft::write(&draft.file, &target).await;
    written.map_err(|cause| Error::Refused(format!("the backup can't be written: {cause}.")))
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
pub(super) async fn open(path: &Path, query_only: bool) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(PATIENCE);
    let options = if query_only { options.pragma("query_only", "ON") } else { options };
    options.connect().await
}

/// Makes sure that a copy is whole, and a database of this program.
pub(super) async fn check(path: &Path) -> Result<(), Error> {
    let mut copy = open(path, true).await.map_err(|cause| of(COPY, cause.into()))?;
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
