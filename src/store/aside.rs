//! Keeps the previous database when a copy replaces it.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use rustix::io::Errno;
use sqlx::{Connection, Executor, SqliteConnection};

use super::{
    DATABASE_TIMEOUT, Error,
    backup::open,
    files::{LOGS, beside, create_private},
};

/// Moves the write-ahead log into its file and truncates it. A database that is copied or renamed without its log
/// loses its newest data.
///
/// # Errors
/// [`Error::Refused`] while another program reads the database.
pub(super) async fn fold(connection: &mut SqliteConnection, path: &Path) -> Result<(), Error> {
    // The first read opens the log.
    connection.execute("SELECT COUNT(*) FROM sqlite_schema").await?;
    let (busy, _, _): (i64, i64, i64) =
        sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *connection).await?;
    if busy == 0 {
        return Ok(());
    }
    Err(Error::Refused(format!("another program is reading {}. End that program, and try again.", path.display())))
}

/// Refuses a database that still needs its log.
pub(super) fn refuse_log(path: &Path) -> Result<(), Error> {
    let log = beside(path, "-wal");
    if fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        return Err(Error::Refused(format!("{} was not merged into its database. Try again.", log.display())));
    }
    Ok(())
}

/// Moves the log of the previous database into its file. If that database is damaged, both are set aside unchanged.
pub(super) async fn fold_before(database: &Path) -> Result<(), Error> {
    let folded = async {
        let mut before = open(database, false, DATABASE_TIMEOUT).await?;
        fold(&mut before, database).await?;
        Ok(before.close().await?)
    };
    match folded.await {
        Err(Error::Fault(cause) | Error::Unavailable(cause)) if !is_damage(&cause) => Err(Error::Refused(format!(
            "the log of {} can't be merged into it: {cause}. Move {0} and its -wal to another folder to restore without them.",
            database.display()
        ))),
        Err(refused @ Error::Refused(_)) => Err(refused),
        _ => Ok(()),
    }
}

/// Whether a file is damaged or no database, by SQLite's codes `CORRUPT` and `NOTADB`.
fn is_damage(cause: &sqlx::Error) -> bool {
    let code = cause.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| matches!(code & 0xff, 11 | 26))
}

/// A free name for the previous database. A number is added if several are restored within one second.
pub(super) fn free_name(database: &Path, time: &str) -> PathBuf {
    let name = |number: u32| match number {
        1 => beside(database, &format!(".before-{time}")),
        _ => beside(database, &format!(".before-{time}-{number}")),
    };
    let is_free = |name: &PathBuf| {
        let taken = |path: &Path| fs::symlink_metadata(path).is_ok();
        !taken(name) && !LOGS.iter().any(|suffix| taken(&beside(name, suffix)))
    };
    (1..=u32::MAX).map(name).find(is_free).unwrap_or_default()
}

/// Keeps the files of the previous database under another name, and returns their paths. The database also keeps its
/// own name, so that a complete one exists at every moment. Its logs are renamed, since SQLite would otherwise replay
/// them into the copy.
pub(super) fn set_aside(database: &Path, aside: &Path, present: bool) -> Result<Vec<PathBuf>, Error> {
    let cannot = |path: &Path, cause: &io::Error| {
        Error::Refused(format!("{} can't be kept as {}: {cause}.", database.display(), path.display()))
    };
    let mut kept = Vec::new();
    if present {
        keep(database, aside, fs::hard_link(database, aside)).map_err(|cause| cannot(aside, &cause))?;
        kept.push(aside.to_owned());
    }
    for suffix in LOGS {
        let to = beside(aside, suffix);
        if rename_new(&beside(database, suffix), &to).map_err(|cause| cannot(&to, &cause))? {
            kept.push(to);
        }
    }
    Ok(kept)
}

/// Finishes giving a file a second name. On a file system without hard links, it copies the file.
fn keep(file: &Path, aside: &Path, linked: io::Result<()>) -> io::Result<()> {
    let Err(cause) = linked else { return Ok(()) };
    if !matches!(Errno::from_io_error(&cause), Some(Errno::PERM | Errno::OPNOTSUPP | Errno::MLINK)) {
        return Err(cause);
    }
    let (mut from, mut to) = (File::open(file)?, create_private(aside)?);
    let copied = io::copy(&mut from, &mut to).and_then(|_bytes| to.sync_all());
    if copied.is_err() {
        drop(fs::remove_file(aside));
    }
    copied
}

/// Renames a file to a free name, if it exists. Returns whether it existed.
fn rename_new(from: &Path, to: &Path) -> io::Result<bool> {
    if fs::symlink_metadata(to).is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    match fs::rename(from, to) {
        Ok(()) => Ok(true),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(cause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_replaced_in_one_second_get_different_names() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("a.db");
        let names = ["a.db.before-now", "a.db.before-now-2", "a.db.before-now-3"].map(|name| folder.path().join(name));
        let [first, second, third] = &names;
        assert_eq!(free_name(&database, "now"), *first);
        fs::write(first, "").expect("written");
        fs::write(beside(second, "-wal"), "").expect("written");
        assert_eq!(free_name(&database, "now"), *third, "a log has the second name");
    }

    fn folder_with_database() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let (database, aside) = (folder.path().join("a.db"), folder.path().join("a.db.before"));
        fs::write(&database, "present").expect("written");
        (folder, database, aside)
    }

    fn text(path: &Path) -> String {
        fs::read_to_string(path).expect("read")
    }

    #[test]
    fn a_kept_database_overwrites_nothing() {
        let (_folder, database, aside) = folder_with_database();
        fs::write(&aside, "earlier").expect("written");
        let refused = set_aside(&database, &aside, true).expect_err("refused").to_string();
        assert!(refused.contains("a.db can't be kept as") && refused.contains("exists"), "{refused}");
        fs::write(beside(&database, "-wal"), "log").expect("written");
        fs::write(beside(&aside, "-wal"), "earlier").expect("written");
        assert!(set_aside(&database, &aside, false).is_err());
        assert_eq!(
            [&aside, &beside(&aside, "-wal"), &database].map(|path| text(path)),
            ["earlier", "earlier", "present"]
        );
    }

    #[test]
    fn a_file_system_without_hard_links_gets_a_copy() {
        for cause in [Errno::PERM, Errno::OPNOTSUPP, Errno::MLINK] {
            let (_folder, database, aside) = folder_with_database();
            keep(&database, &aside, Err(cause.into())).expect("kept");
            assert_eq!((text(&database), text(&aside)), ("present".to_owned(), "present".to_owned()));
        }
        for cause in [Errno::EXIST, Errno::IO, Errno::NOSPC] {
            let (_folder, database, aside) = folder_with_database();
            keep(&database, &aside, Err(cause.into())).expect_err("refused");
            assert!(!aside.exists() && text(&database) == "present");
        }
    }
}
