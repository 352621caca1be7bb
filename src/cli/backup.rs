//! `vestibule backup FILE`.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{self, IsTerminal, Write as _},
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use clap::Args;
use rustix::{
    fs::{RenameFlags, renameat_with},
    io::Errno,
};

use super::output::{Failure, full_path, in_one_line, print_text};
use crate::{
    server::config::Config,
    service::entropy::{SystemEntropy, nonce},
    store::{
        DatabaseUrl, backup,
        draft::is_own,
        draft::{Nonce, are_digits, in_digits},
        files::{beside, create_private, folder_of, resolve, sync_folder_of},
    },
};

/// The options and the files of `backup`.
#[derive(Debug, Args)]
pub struct Backup {
    /// The file to create. It must not exist yet
    file: PathBuf,
    #[arg(skip)]
    draft: Option<Draft>,
    #[arg(skip)]
    resolved: PathBuf,
}

impl Backup {
    /// Creates the backup's file under a temporary name.
    pub fn open_files(&mut self) -> Result<(), String> {
        self.draft = Some(Draft::create(&self.file, nonce(&SystemEntropy))?);
        self.resolved = resolve(&self.file);
        Ok(())
    }

    /// Copies the database.
    pub async fn run(&mut self, config: &Config) -> Result<(), String> {
        let database = match &config.database.url {
            DatabaseUrl::Sqlite(path) => path,
            server @ DatabaseUrl::Postgres(_) => return Err(with_postgres(server)),
        };
        if is_own(database, &self.resolved) {
            return Err(format!(
                "{} is a name that the database itself uses; choose another file",
                self.file.display()
            ));
        }
        let draft = self.draft.as_ref().ok_or("the backup's file was not created")?;
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

    /// Gives the backup its final name, and prints a summary.
    pub fn finish_files(self) -> Result<(), Failure> {
        let Some(draft) = self.draft else { return Ok(()) };
        let bytes = draft.file.metadata().map_or(0, |metadata| metadata.len());
        draft.finish()?;
        let mut text = format!(
            "The backup is in {} ({} KiB). Only its owner can read it, because it holds every account's data.\n",
            full_path(&self.resolved),
            bytes.div_ceil(1024)
        );
        let folder = folder_of(&self.resolved);
        for name in unfinished(&folder) {
            let path = folder.join(name);
            let _ = writeln!(
                text,
                "{} is an unfinished backup. Delete it, unless another backup is running.",
                in_one_line(&path.display().to_string())
            );
        }
        print_text(&text)
    }
}

/// A file that is written under a temporary name, and deleted on drop unless it is finished.
#[derive(Debug)]
struct Draft {
    file: File,
    path: PathBuf,
    target: PathBuf,
    finished: bool,
}

impl Draft {
    fn create(target: &Path, nonce: Nonce) -> Result<Self, String> {
        if target.as_os_str() == "-" {
            return Err(
                "a backup can't be written to standard output; choose a file, such as vestibule-backup.db".to_owned()
            );
        }
        if let Ok(found) = fs::symlink_metadata(target) {
            let what = if found.file_type().is_char_device() {
                "is a terminal or a device; choose a file that doesn't exist yet"
            } else {
                "already exists and is not overwritten; choose another file"
            };
            return Err(format!("{} {what}", target.display()));
        }
        // The name is random, so that no finished backup is overwritten.
        let path = beside(target, &format!(".{}{PART}", in_digits(nonce)));
        let file = create_private(&path).map_err(|cause| match cause.kind() {
            io::ErrorKind::NotFound => {
                format!("the folder {} doesn't exist; create it first, or choose another", folder_of(target).display())
            }
            _ => format!("{} can't be written: {cause}", target.display()),
        })?;
        Ok(Self { file, path, target: target.to_owned(), finished: false })
    }

    fn unwritable(&self, cause: &io::Error) -> String {
        format!("{} can't be written: {cause}", self.path.display())
    }

    /// Gives the file its final name, unless another file has that name by now. The file is complete, so it is kept
    /// even if this fails.
    fn finish(mut self) -> Result<(), String> {
        self.finished = true;
        let here = rustix::fs::CWD;
        let renamed = renameat_with(here, &self.path, here, &self.target, RenameFlags::NOREPLACE);
        give_name(&self.path, &self.target, renamed).map_err(|cause| {
            let (target, path) = (self.target.display(), self.path.display());
            format!("the backup is complete, but it can't be renamed to {target}: {cause}. It is kept as {path}")
        })?;
        sync_folder_of(&self.target).map_err(|cause| format!("{} can't be written: {cause}", self.target.display()))
    }
}

/// Completes a renaming. Some file systems, such as NFS, don't support `RENAME_NOREPLACE`. There, a hard link is
/// created instead, which doesn't overwrite a file either.
fn give_name(path: &Path, target: &Path, renamed: Result<(), Errno>) -> io::Result<()> {
    match renamed {
        Err(Errno::INVAL | Errno::NOSYS) => {
            fs::hard_link(path, target)?;
            // The backup has its final name. A leftover temporary name is harmless.
            drop(fs::remove_file(path));
            Ok(())
        }
        renamed => Ok(renamed?),
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.finished {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// The file name extension of an unfinished backup.
const PART: &str = ".part";

/// Lists unfinished backups in a folder, including those of other target names, such as yesterday's.
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
        "the data is in {server}. Use PostgreSQL's own backup: run `pg_dump --format=custom --file=FILE \
         \"$DATABASE_URL\"`. To restore, stop every server, run `pg_restore --clean --if-exists --dbname=\"$DATABASE_URL\" \
         FILE`, and then `vestibule restored`, which revokes all sessions and access tokens"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(target: &Path) -> Draft {
        let draft = Draft::create(target, [1; 8]).expect("begun");
        fs::write(&draft.path, "whole").expect("written");
        draft
    }

    fn text(path: &Path) -> String {
        fs::read_to_string(path).expect("read")
    }

    #[test]
    fn a_backup_is_renamed_where_the_file_system_may_overwrite() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("copy.db");
        for cause in [Errno::INVAL, Errno::NOSYS] {
            let draft = finished(&target);
            give_name(&draft.path, &target, Err(cause)).expect("named");
            assert!(!draft.path.exists() && text(&target) == "whole");
            fs::write(&target, "another's").expect("written");
            fs::write(&draft.path, "whole").expect("written");
            let refused = give_name(&draft.path, &target, Err(cause)).expect_err("refused");
            assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!((text(&draft.path), text(&target)), ("whole".to_owned(), "another's".to_owned()));
            fs::remove_file(&target).expect("removed");
        }
    }

    #[test]
    fn a_backup_whose_name_is_taken_is_kept_under_its_draft_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("copy.db");
        let draft = finished(&target);
        let path = draft.path.clone();
        fs::write(&target, "another's").expect("written");
        let error = draft.finish().expect_err("refused");
        assert!(error.ends_with(&format!("It is kept as {}", path.display())), "{error}");
        assert_eq!((text(&path), text(&target)), ("whole".to_owned(), "another's".to_owned()));
        drop(finished(&folder.path().join("other.db")));
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 2, "an unfinished one is deleted");
    }
}
