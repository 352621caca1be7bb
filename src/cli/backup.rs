//! `vestibule backup FILE`.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, IsTerminal, Write as _},
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use clap::Args;
use rustix::fs::{OFlags, RenameFlags, renameat_with};

use super::{
    output::{Failure, print_line},
    rights::folder_of,
};
use crate::{
    server::config::Config,
    store::{DatabaseUrl, backup},
};

/// A copy of the database.
#[derive(Debug, Args)]
pub struct Backup {
    /// Where the copy goes. There must be no such file yet
    file: PathBuf,
    #[arg(skip)]
    draft: Option<Draft>,
}

impl Backup {
    /// Begins the file.
    ///
    /// # Errors
    /// One line that says what is wrong.
    pub fn open_files(&mut self) -> Result<(), String> {
        self.draft = Some(Draft::begin(&self.file)?);
        Ok(())
    }

    /// Copies the database.
    ///
    /// # Errors
    /// One line that says what is wrong.
    pub async fn run(&mut self, config: &Config) -> Result<(), String> {
        let database = match &config.database.url {
            DatabaseUrl::Sqlite(path) => path,
            server @ DatabaseUrl::Postgres(_) => return Err(with_postgres(server)),
        };
        let draft = self.draft.as_ref().ok_or("the backup was not begun")?;
        let target = draft.file.try_clone().map_err(|cause| draft.unwritable(&cause))?;
        let mut shown = false;
        let progress = |done: u64, all: u64| {
            shown = io::stderr().is_terminal();
            if shown {
                drop(write!(io::stderr(), "\r{} of {} MiB copied", done >> 20, all >> 20));
            }
        };
        let copied = backup::copy(database, target, progress).await;
        if shown {
            drop(writeln!(io::stderr()));
        }
        copied.map_err(|error| error.to_string())
    }

    /// Gives the copy its name.
    ///
    /// # Errors
    /// What is wrong, or that it can't be told.
    pub fn keep_files(self) -> Result<(), Failure> {
        let Some(draft) = self.draft else { return Ok(()) };
        let bytes = draft.file.metadata().map_or(0, |metadata| metadata.len());
        draft.finish()?;
        print_line(&format!(
            "The backup is in {} ({} KiB). Only its owner can read it: it holds every account's data.",
            self.file.display(),
            bytes.div_ceil(1024)
        ))
    }
}

/// A file that is being written under another name, and that goes away if it isn't finished.
#[derive(Debug)]
struct Draft {
    file: File,
    path: PathBuf,
    target: PathBuf,
    finished: bool,
}

impl Draft {
    fn begin(target: &Path) -> Result<Self, String> {
        if target.as_os_str() == "-" {
            return Err("a backup can't go to standard output; name a file, such as vestibule-backup.db".to_owned());
        }
        if let Ok(found) = fs::symlink_metadata(target) {
            let what = if found.file_type().is_char_device() {
                "is a terminal or a device; name a file that doesn't exist yet"
            } else {
                "exists already, and a backup overwrites nothing; name another file"
            };
            return Err(format!("{} {what}", target.display()));
        }
        let mut path = OsString::from(target);
        path.push(".part");
        let path = PathBuf::from(path);
        let cannot = |cause: &dyn std::fmt::Display| format!("{} can't be written: {cause}", path.display());
        let no_link = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(no_link);
        let file = options.open(&path).map_err(|cause| cannot(&cause))?;
        // What is left of a backup that was broken off is used again, but nobody else's file.
        let metadata = file.metadata().map_err(|cause| cannot(&cause))?;
        if !metadata.is_file() || metadata.nlink() > 1 || metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(cannot(&"it is somebody else's file"));
        }
        file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(|cause| cannot(&cause))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(cannot(&"another backup is writing it")),
            Err(TryLockError::Error(cause)) => return Err(cannot(&cause)),
        }
        file.set_len(0).map_err(|cause| cannot(&cause))?;
        Ok(Self { file, path, target: target.to_owned(), finished: false })
    }

    fn unwritable(&self, cause: &io::Error) -> String {
        format!("{} can't be written: {cause}", self.path.display())
    }

    /// Gives the file its name, unless somebody else has taken it meanwhile.
    fn finish(mut self) -> Result<(), String> {
        let here = rustix::fs::CWD;
        let renamed = renameat_with(here, &self.path, here, &self.target, RenameFlags::NOREPLACE);
        renamed.map_err(|cause| format!("{} can't be given its name: {cause}", self.target.display()))?;
        self.finished = true;
        let folder = File::open(folder_of(&self.target)).and_then(|folder| folder.sync_all());
        folder.map_err(|cause| self.unwritable(&cause))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.finished {
            drop(fs::remove_file(&self.path));
        }
    }
}

fn with_postgres(server: &DatabaseUrl) -> String {
    format!(
        "the data is in {server}. PostgreSQL has its own backup: run `pg_dump --format=custom --file=FILE \
         \"$DATABASE_URL\"`. To restore, stop every server, run `pg_restore --clean --if-exists --dbname=\"$DATABASE_URL\" \
         FILE`, and then `vestibule restored`, which ends all sessions and access tokens"
    )
}
