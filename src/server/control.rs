//! The way from the command line to a running server that has a SQLite file open.
//!
//! Only one process may write the file, for that one answers from memory who is logged in. So while a server runs,
//! `vestibule user …` asks it, over a socket in the file system next to the database that only the owner may open:
//! one line of JSON there, one line back.

use std::{
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
};

use super::hourly::Hourly;
use crate::{
    service::{
        Service,
        admin::{Command, Reply},
    },
    store::files::beside,
};

/// The longest line, in bytes: a full list of accounts is far shorter.
const LONGEST: u64 = 1024 * 1024;
/// How long the other side may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// Where the socket of a database file is: beside it.
#[must_use]
pub fn socket_of(database: &Path) -> PathBuf {
    beside(database, ".sock")
}

/// Opens the socket. The program's umask makes it private from its first moment on. The caller holds the database's lock, so a
/// socket that lies there is a dead server's.
///
/// # Errors
/// What the file system says, for one when the path is longer than a socket's may be (108 bytes on Linux).
pub fn open(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    // The umask leaves its owner a bit more than is needed.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers commands for ever.
pub async fn serve(listener: UnixListener, service: Service) {
    let refused = Hourly::default();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        if !stream.peer_cred().is_ok_and(|peer| may_command(peer.uid())) {
            // Somebody who may open the socket could fill the log.
            refused.warn(|left_out| tracing::warn!(left_out, "a command of another user was refused"));
            continue;
        }
        let service = service.clone();
        tokio::spawn(async move {
            let answered = tokio::time::timeout(COMMAND_TIMEOUT, answer(stream, &service)).await;
            if !matches!(answered, Ok(Ok(()))) {
                tracing::warn!("a command from the command line was not answered");
            }
        });
    }
}

/// Whether a user may give commands: the server's own, or root.
fn may_command(user: u32) -> bool {
    user == 0 || user == rustix::process::geteuid().as_raw()
}

async fn answer(stream: UnixStream, service: &Service) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    BufReader::new(reader.take(LONGEST)).read_line(&mut line).await?;
    let command: Command = serde_json::from_str(&line)?;
    let reply = service.administer(command).await;
    let mut text = serde_json::to_string(&reply)?;
    text.push('\n');
    writer.write_all(text.as_bytes()).await
}

/// Asks the server behind a socket.
///
/// # Errors
/// When nobody answers, or not in time, or not in our words.
pub async fn ask(path: &Path, command: &Command) -> io::Result<Reply> {
    let asked = async {
        let (reader, mut writer) = UnixStream::connect(path).await?.into_split();
        let mut text = serde_json::to_string(command)?;
        text.push('\n');
        writer.write_all(text.as_bytes()).await?;
        let mut line = String::new();
        BufReader::new(reader.take(LONGEST)).read_line(&mut line).await?;
        Ok(serde_json::from_str(&line)?)
    };
    tokio::time::timeout(COMMAND_TIMEOUT, asked).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
