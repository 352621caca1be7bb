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
            full_path(&self.file),
            bytes.div_ceil(1024)
        );
        let folder = folder_of(&self.file);
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

    /// Gives the file its name, unless somebody else has taken it meanwhile. From here on it is whole, so it stays in any case.
    fn finish(mut self) -> Result<(), String> {
        self.finished = true;
        let here = rustix::fs::CWD;
        let renamed = renameat_with(here, &self.path, here, &self.target, RenameFlags::NOREPLACE);
        give_name(&self.path, &self.target, renamed).map_err(|cause| {
            let (target, path) = (self.target.display(), self.path.display());
            format!("the backup is whole, but {target} can't be its name: {cause}. It is kept as {path}")
        })?;
        sync_folder_of(&self.target).map_err(|cause| format!("{} can't be written: {cause}", self.target.display()))
    }
}

/// Makes sure that a file was renamed. Some file systems, such as NFS, know no renaming that overwrites nothing. A second name
/// doesn't overwrite either.
fn give_name(path: &Path, target: &Path, renamed: Result<(), Errno>) -> io::Result<()> {
    match renamed {
        Err(Errno::INVAL | Errno::NOSYS) => {
            fs::hard_link(path, target)?;
            // The backup has its name. Another one left is only untidy.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(target: &Path) -> Draft {
        let draft = Draft::begin(target, [1; 8]).expect("begun");
        fs::write(&draft.path, "whole").expect("written");
        draft
    }

    fn text(path: &Path) -> String {
        fs::read_to_string(path).expect("read")
    }

    #[test]
    fn a_backup_gets_its_name_where_renaming_may_overwrite() {
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
    fn a_whole_backup_is_kept_and_named_when_its_name_is_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("copy.db");
        let draft = finished(&target);
        let path = draft.path.clone();
        fs::write(&target, "another's").expect("written");
        let told = draft.finish().expect_err("refused");
        assert!(told.ends_with(&format!("It is kept as {}", path.display())), "{told}");
        assert_eq!((text(&path), text(&target)), ("whole".to_owned(), "another's".to_owned()));
        drop(finished(&folder.path().join("other.db")));
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 2, "an unfinished one goes away");
    }
}
