//! Mail in a folder, one file each (RFC 5322).

use std::{
    fs::{self, DirBuilder, File, OpenOptions, rename},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// Writes a mail, whole or not at all. Its links are secrets, so nobody but the server's user may read it.
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

/// Takes a folder away from others, who could read or replace mails in it. One that is shared on purpose, such as `/tmp`, or of
/// another user, is refused.
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
            "{} is open to other users; name a folder of the server's own in mail.url",
            folder.display()
        )));
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}
