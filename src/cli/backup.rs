//! `vestibule backup FILE`.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{self, IsTerminal, Write as _},
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use clap::Args;
use rustix::fs::{RenameFlags, renameat_with};

use super::output::{Failure, print_text};
use crate::{
    server::config::Config,
    service::entropy::{SystemEntropy, nonce},
    store::{
        DatabaseUrl, backup,
        draft::{Nonce, are_digits, in_digits},
        files::{beside, create_private, folder_of, is_own, resolve, sync_folder_of},
    },
};

/// A copy of the database.
#[derive(Debug, Args)]
pub struct Backup {
    /// Where the copy goes. There must be no such file yet
    file: PathBuf,
    #[arg(skip)]
    draft: Option<Draft>,
    #[arg(skip)]
    resolved: PathBuf,
}

impl Backup {
    /// Begins the file.
    ///
    /// # Errors
    /// One line that says what is wrong.
    pub fn open_files(&mut self) -> Result<(), String> {
        self.draft = Some(Draft::begin(&self.file, nonce(&SystemEntropy))?);
        self.resolved = resolve(&self.file);
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
        if is_own(database, &self.resolved) {
            return Err(format!("{} is a name that the database itself uses; name another file", self.file.display()));
        }
        let draft = self.draft.as_ref().ok_or("the backup was not begun")?;
        let target = draft.file.try_clone().map_err(|cause| draft.unwritable(&cause))?;
        let mut shown = false;
        let progress = |done: u64, all: u64| {
            shown = io::stderr().is_terminal();
            if shown {
                drop(write!(io::stderr(), "\r{} of {} MiB copied", done >> 20, all >> 20));
            }
        };
        let copied = backup::copy(database, target, nonce(&SystemEntropy), progress).await;
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
        let mut text = format!(
            "The backup is in {} ({} KiB). Only its owner can read it: it holds every account's data.\n",
            self.file.display(),
            bytes.div_ceil(1024)
        );
        let folder = folder_of(&self.file);
        for name in unfinished(&folder) {
            let path = folder.join(name);
            let _ = writeln!(
                text,
                "{} is an unfinished backup. Delete it, unless another backup is running.",
                path.display()
            );
        }
        print_text(&text)
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
    fn begin(target: &Path, nonce: Nonce) -> Result<Self, String> {
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
        // A random name, so that no finished backup is overwritten.
        let path = beside(target, &format!(".{}{PART}", in_digits(nonce)));
        let file = create_private(&path).map_err(|cause| format!("{} can't be written: {cause}", path.display()))?;
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
        sync_folder_of(&self.target).map_err(|cause| self.unwritable(&cause))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.finished {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// How the name of a backup ends that isn't finished.
const PART: &str = ".part";

/// Unfinished backups in a folder. They may be of other names, such as yesterday's.
fn unfinished(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let is_one = |name: &String| {
        let digits = name.strip_suffix(PART).and_then(|name| name.rsplit_once('.'));
        digits.is_some_and(|(_, digits)| are_digits(digits))
    };
    let mut names: Vec<String> = names.filter(is_one).collect();
    names.sort();
    names
}

fn with_postgres(server: &DatabaseUrl) -> String {
    format!(
        "the data is in {server}. PostgreSQL has its own backup: run `pg_dump --format=custom --file=FILE \
         \"$DATABASE_URL\"`. To restore, stop every server, run `pg_restore --clean --if-exists --dbname=\"$DATABASE_URL\" \
         FILE`, and then `vestibule restored`, which ends all sessions and access tokens"
    )
}
