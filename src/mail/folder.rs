//! Mail in a folder, one file each (RFC 5322).

use std::{
    fs::{DirBuilder, File, OpenOptions, rename},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::PathBuf,
};

/// Writes a mail, whole or not at all. Its links are secrets, so nobody but the server's user may read it.
pub(super) async fn write(folder: PathBuf, file: PathBuf, bytes: Vec<u8>) -> io::Result<()> {
    let written = tokio::task::spawn_blocking(move || {
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let draft = file.with_extension("draft");
        let mut open: File = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        open.write_all(&bytes)?;
        open.sync_all()?;
        rename(draft, file)
    });
    written.await.unwrap_or_else(|cause| Err(io::Error::other(cause)))
}
