//! Files beside a database: their names, and how they are created.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::{fs::OFlags, io::Errno};

/// Refuses a symbolic link in place of a file. Otherwise the creator of the link would choose which file is opened.
pub const NO_LINK: i32 = OFlags::NOFOLLOW.bits().cast_signed();

/// Suffixes of the files that SQLite creates beside a database.
pub(super) const LOGS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Suffixes of the files that this program creates beside a database.
pub(super) const OURS: [&str; 5] = [".lock", ".sock", ".mark", ".mark.new", ".key"];

/// A file beside another, named after it. The path is not made absolute, since a socket's path has at most 108 bytes.
#[must_use]
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The folder that contains a file.
#[must_use]
pub fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Waits until the names in a file's folder are on disk.
pub fn sync_folder_of(file: &Path) -> io::Result<()> {
    File::open(folder_of(file))?.sync_all()
}

/// Resolves symbolic links and `..` in a path. The file itself may not exist yet.
#[must_use]
pub fn resolve(path: &Path) -> PathBuf {
    let in_folder = || Some(fs::canonicalize(folder_of(path)).ok()?.join(path.file_name()?));
    fs::canonicalize(path).ok().or_else(in_folder).unwrap_or_else(|| path.to_owned())
}

/// Creates a file that only its owner may read.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if the name is taken, also by a symbolic link.
pub fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// Opens a file that only its owner may read. Creates it if it doesn't exist. SQLite gives its log the same
/// permissions. A symbolic link is refused: otherwise anyone who may write to the folder could choose which file is
/// opened.
pub fn open_private(path: &Path, fresh: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(fresh).mode(0o600).custom_flags(NO_LINK);
    let file = options.open(path).map_err(|cause| match Errno::from_io_error(&cause) {
        Some(Errno::LOOP) => io::Error::other("it is a symbolic link; name the file that it points to"),
        _ => cause,
    })?;
    let mut permissions = file.metadata()?.permissions();
    if permissions.mode() & 0o077 != 0 {
        permissions.set_mode(0o600);
        file.set_permissions(permissions)?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_new_database_file_overwrites_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let (notes, link) = (folder.path().join("notes"), folder.path().join("link"));
        fs::write(&notes, "Buy milk.").expect("written");
        symlink(folder.path().join("other"), &link).expect("a link");
        for path in [&notes, &link] {
            assert_eq!(create_private(path).expect_err("refused").kind(), io::ErrorKind::AlreadyExists);
        }
        assert_eq!(fs::read_to_string(&notes).expect("read"), "Buy milk.");
        assert!(!folder.path().join("other").exists());
    }
}
