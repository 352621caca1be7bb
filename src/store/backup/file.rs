//! The file of a backup: it gets its name once it is complete.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{RenameFlags, renameat_with},
    io::Errno,
};

use crate::store::{
    draft::{Nonce, are_digits, in_digits},
    files::{beside, create_private, folder_of, sync_folder_of},
};

/// A file that is written under a temporary name, and deleted on drop unless it is finished.
///
/// It is locked while it is unfinished, so that nobody removes it as a leftover of a killed process.
#[derive(Debug)]
pub struct BackupFile {
    file: File,
    path: PathBuf,
    target: PathBuf,
    finished: bool,
}

impl BackupFile {
    /// Creates it for the owner alone. The nonce becomes part of its temporary name.
    ///
    /// # Errors
    /// A message, if the target exists or the folder can't be written.
    pub fn create(target: &Path, nonce: Nonce) -> Result<Self, String> {
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
        // Some network file systems have no locks. There, nobody removes leftovers either.
        drop(file.try_lock());
        Ok(Self { file, path, target: target.to_owned(), finished: false })
    }

    /// The open file, to write the copy into.
    ///
    /// # Errors
    /// A message, if the process has too many open files.
    pub fn writer(&self) -> Result<File, String> {
        self.file.try_clone().map_err(|cause| format!("{} can't be written: {cause}", self.path.display()))
    }

    /// Its size in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }

    /// Gives the file its final name, unless another file has that name by now. The file is complete, so it is kept
    /// even if this fails.
    ///
    /// # Errors
    /// A message, also if the disk doesn't confirm the name.
    pub fn finish(mut self) -> Result<PathBuf, String> {
        self.finished = true;
        let here = rustix::fs::CWD;
        let renamed = renameat_with(here, &self.path, here, &self.target, RenameFlags::NOREPLACE);
        give_name(&self.path, &self.target, renamed).map_err(|cause| {
            let (target, path) = (self.target.display(), self.path.display());
            format!("the backup is complete, but it can't be renamed to {target}: {cause}. It is kept as {path}")
        })?;
        let synced = sync_folder_of(&self.target);
        synced.map_err(|cause| format!("{} can't be written: {cause}", self.target.display()))?;
        Ok(self.target.clone())
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

impl Drop for BackupFile {
    fn drop(&mut self) {
        if !self.finished {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// The file name extension of an unfinished backup.
pub const PART: &str = ".part";

/// Lists unfinished backups in a folder, including those of other target names, such as yesterday's.
#[must_use]
pub fn unfinished(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| target_of(name).is_some()).collect();
    names.sort();
    names
}

/// The final name of an unfinished backup.
pub(super) fn target_of(name: &str) -> Option<&str> {
    let (target, digits) = name.strip_suffix(PART)?.rsplit_once('.')?;
    are_digits(digits).then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(target: &Path) -> BackupFile {
        let draft = BackupFile::create(target, [1; 8]).expect("begun");
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
