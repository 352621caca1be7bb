//! Writes mail into a folder, one file per mail (RFC 5322).

use std::{
    fs::{self, DirBuilder, File, OpenOptions, rename},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// Writes a mail atomically. Its links are secrets, so only the server's user may read the file.
pub(super) async fn write(folder: PathBuf, file: PathBuf, bytes: Vec<u8>) -> io::Result<()> {
    let written = tokio::task::spawn_blocking(move || {
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        close_to_others(&folder)?;
        let draft = file.with_extension("draft");
        let mut open: File = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        open.write_all(&bytes)?;
        open.sync_all()?;
        rename(draft, file)
    });
    written.await.unwrap_or_else(|cause| Err(io::Error::other(cause)))
}

/// Removes other users' access to a folder, because they could read or replace mails in it. Returns an error for a
/// folder that is shared on purpose, such as `/tmp`, or that belongs to another user.
fn close_to_others(folder: &Path) -> io::Result<()> {
    let metadata = fs::metadata(folder)?;
    let mode = metadata.permissions().mode();
    let open_to_others = mode & 0o077 != 0;
    if !open_to_others {
        return Ok(());
    }
    let shared = mode & 0o1000 != 0 || metadata.uid() != rustix::process::geteuid().as_raw();
    if shared {
        return Err(io::Error::other(format!(
            "{} is open to other users; set mail.url to a folder that only the server uses",
            folder.display()
        )));
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}
