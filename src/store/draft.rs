//! A copy in progress beside the database.
//!
//! Its name is random, so that it never collides with another file. A process that is killed leaves its draft behind.
//! The next backup or restore removes it. It recognises drafts by their full name, and drafts in use by their lock.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use super::{
    Error,
    connect::cannot_open,
    files::{LOGS, NO_LINK, OURS, beside, create_private, folder_of, resolve},
};

/// The random part of a name.
pub type Nonce = [u8; 8];

/// Formats a nonce for a name, in lower-case hexadecimal digits.
#[must_use]
pub fn in_digits(nonce: Nonce) -> String {
    format!("{:016x}", u64::from_be_bytes(nonce))
}

/// Whether part of a name is a nonce.
#[must_use]
pub fn are_digits(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// What a draft is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It is locked while in use.
    Backup,
    /// It is unlocked for a moment. Only the holder of the database's lock may therefore remove such drafts.
    Restore,
}

impl Purpose {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Backup => ".backup-",
            Self::Restore => ".restore-",
        }
    }
}

const SUFFIX: &str = ".draft";

/// The suffixes of the files beside a draft while it is open as a database. The draft itself comes first.
const PARTS: [&str; 5] = ["", "-journal", "-wal", "-shm", ".lock"];

/// A temporary file beside the database. It is removed on drop, with the files that SQLite creates beside it.
#[derive(Debug)]
pub(super) struct Draft {
    pub path: PathBuf,
    pub file: File,
}

impl Draft {
    /// Creates an empty, locked file. Removes leftovers of the same kind from killed processes.
    pub fn new(database: &Path, purpose: Purpose, nonce: Nonce) -> Result<Self, Error> {
        remove_leftovers(database, purpose);
        let path = beside(database, &format!("{}{}{SUFFIX}", purpose.prefix(), in_digits(nonce)));
        let made = loop {
            match create_locked(&path) {
                Ok(Some(file)) => break Ok(file),
                Ok(None) => {}
                Err(cause) => break Err(cannot_open(&path, &cause)),
            }
        };
        made.map(|file| Self { path, file })
    }

    /// Unlocks the file, so that it can be opened as a database, which locks it again.
    pub fn unlock(&self) -> Result<(), Error> {
        self.file.unlock().map_err(|cause| cannot_open(&self.path, &cause))
    }

    pub fn len(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }

    /// Copies another file into it.
    pub async fn fill(&self, from: &File) -> Result<(), Error> {
        write(from, &self.file).await.map_err(|cause| cannot_open(&self.path, &cause))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Copies one file into another and waits for the disk.
pub(super) async fn write(from: &File, to: &File) -> io::Result<()> {
    let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
    let written = tokio::task::spawn_blocking(move || {
        io::Seek::rewind(&mut from)?;
        io::copy(&mut from, &mut to)?;
        to.sync_all()
    });
    written.await.unwrap_or_else(|cause| Err(io::Error::other(cause)))
}

/// Creates and locks a file. `None` if another process removed it as a leftover before it was locked.
fn create_locked(path: &Path) -> io::Result<Option<File>> {
    let file = create_private(path)?;
    file.lock()?;
    Ok((file.metadata()?.nlink() > 0).then_some(file))
}

fn remove(draft: &Path) {
    for part in PARTS {
        drop(fs::remove_file(beside(draft, part)));
    }
}

/// Whether a path is a draft of a database, or a file beside such a draft.
pub(super) fn is_draft(database: &Path, path: &Path) -> bool {
    draft_of(database, Purpose::Backup, path).or_else(|| draft_of(database, Purpose::Restore, path)).is_some()
}

/// The draft that a path belongs to.
fn draft_of(database: &Path, purpose: Purpose, path: &Path) -> Option<PathBuf> {
    let start = format!("{}{}", database.file_name()?.to_str()?, purpose.prefix());
    let (digits, part) = path.file_name()?.to_str()?.strip_prefix(&start)?.split_once(SUFFIX)?;
    let is_one = are_digits(digits) && PARTS.contains(&part) && folder_of(path) == folder_of(database);
    is_one.then(|| beside(database, &format!("{}{digits}{SUFFIX}", purpose.prefix())))
}

/// Removes drafts that no process has locked. A draft that can't be removed is ignored.
fn remove_leftovers(database: &Path, purpose: Purpose) {
    let entries = fs::read_dir(folder_of(database)).into_iter().flatten().flatten();
    // Compares only the file name: the database's path may be spelled differently.
    let paths = entries.map(|entry| database.with_file_name(entry.file_name()));
    let drafts: BTreeSet<PathBuf> = paths.filter_map(|path| draft_of(database, purpose, &path)).collect();
    for draft in drafts {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(NO_LINK | OFlags::NONBLOCK.bits().cast_signed());
        match options.open(&draft) {
            // Locked until it is removed, so that the process that created it notices.
            Ok(file) => {
                if file.try_lock().is_ok() {
                    remove(&draft);
                }
            }
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => remove(&draft),
            Err(_) => {}
        }
    }
}

/// Whether a resolved path is the database, or a file that this program or SQLite uses beside it.
#[must_use]
pub fn is_own(database: &Path, path: &Path) -> bool {
    let database = resolve(database);
    let mut own = [""].iter().chain(&LOGS).chain(&OURS).map(|suffix| beside(&database, suffix));
    own.any(|name| name == path) || is_draft(&database, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder").flatten();
        let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    #[test]
    fn usernames_that_the_program_uses_are_reserved() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("vestibule.db");
        symlink(folder.path(), folder.path().join("link")).expect("a link");
        for name in [
            "",
            "-wal",
            "-shm",
            "-journal",
            ".lock",
            ".sock",
            ".mark",
            ".mark.new",
            ".key",
            ".backup-0123456789abcdef.draft",
        ] {
            let named = folder.path().join(format!("link/vestibule.db{name}"));
            assert!(is_own(&database, &resolve(&named)), "{name}");
        }
        for name in [".backup", ".restore", ".bak", ".before-20260101T000000Z", ".backup-0123456789abcdeX.draft"] {
            assert!(!is_own(&database, &resolve(&beside(&database, name))), "{name}");
        }
    }

    #[test]
    fn a_draft_removes_only_leftovers_of_killed_processes() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("a.db");
        let running = Draft::new(&database, Purpose::Backup, [1; 8]).expect("a draft");
        let kept = [
            "a.db.backup",
            "a.db.backup-0123456789abcdef",
            "a.db.backup-0123456789abcdef.draft.gz",
            "a.db.backup-0123456789ABCDEF.draft",
            "a.db.restore-0123456789abcdef.draft",
            "b.db.backup-0123456789abcdef.draft",
        ];
        let left = ["a.db.backup-0123456789abcdef.draft", "a.db.backup-0123456789abcdef.draft-journal"];
        let orphan = "a.db.backup-1123456789abcdef.draft.lock";
        for name in kept.iter().chain(&left).chain([&orphan]) {
            fs::write(folder.path().join(name), "x").expect("written");
        }
        let draft = Draft::new(&database, Purpose::Backup, [2; 8]).expect("a draft");
        let names_of = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        let made = [&running.path, &draft.path].map(|path| names_of(path).expect("a name"));
        let mut wanted: Vec<String> = kept.iter().map(|name| (*name).to_owned()).chain(made).collect();
        wanted.sort();
        assert_eq!(names(folder.path()), wanted);
        drop((running, draft));
        assert_eq!(names(folder.path()).len(), kept.len(), "a dropped draft is removed");
    }

    #[test]
    fn a_draft_overwrites_no_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("a.db");
        let name = beside(&database, ".restore-0101010101010101.draft");
        std::os::unix::fs::symlink(folder.path().join("other"), &name).expect("a link");
        assert!(Draft::new(&database, Purpose::Restore, [1; 8]).is_err() && !folder.path().join("other").exists());
    }
}
