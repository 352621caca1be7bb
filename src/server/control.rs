//! The control socket, by which the command line reaches a running server with a SQLite database.
//!
//! Only one process may write the database file, because the server caches sessions in memory. While a server runs,
//! `vestibule user …` sends its commands over a Unix socket next to the database. Only the owner may open the socket. A
//! request is one line of JSON, and so is the response.

use std::{
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
};

use super::hourly::Hourly;
use crate::{
    domain::event::Initiator,
    service::{
        Service,
        admin::{Command, Reply},
    },
    store::files::beside,
};

/// The maximum length of a line, in bytes. A full list of accounts in many groups is shorter.
const LONGEST: u64 = 64 * 1024 * 1024;
/// How long a command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// A line that the command line sends.
#[derive(Serialize, Deserialize)]
struct Request {
    /// The name of the system's user. An older command line doesn't send it.
    #[serde(default)]
    user: String,
    #[serde(flatten)]
    command: Command,
}

/// The path of the control socket, beside the database file.
#[must_use]
pub fn socket_of(database: &Path) -> PathBuf {
    beside(database, ".sock")
}

/// Opens the socket. The program's umask makes it private from the start. The caller must hold the database's lock, so
/// an existing socket belongs to a server that has ended.
///
/// # Errors
/// An I/O error, for example if the path is longer than a socket's may be (108 bytes on Linux).
pub fn open(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    // The umask leaves the owner more rights than needed.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves commands until the task is aborted. `base_url` is the server's URL.
pub async fn serve(listener: UnixListener, service: Service, base_url: String) {
    let refused = Hourly::default();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        if !stream.peer_cred().is_ok_and(|peer| may_command(peer.uid())) {
            // Limited to once an hour, because anybody who can open the socket could fill the log.
            refused.warn(|left_out| tracing::warn!(left_out, "a command of another user was refused"));
            continue;
        }
        let (service, base_url) = (service.clone(), base_url.clone());
        tokio::spawn(async move {
            let answered = tokio::time::timeout(COMMAND_TIMEOUT, answer(stream, &service, base_url)).await;
            if !matches!(answered, Ok(Ok(()))) {
                tracing::warn!("a command from the command line failed or timed out");
            }
        });
    }
}

/// Whether a user may send commands: only the server's own user and root may.
fn may_command(user: u32) -> bool {
    user == 0 || user == rustix::process::geteuid().as_raw()
}

async fn answer(stream: UnixStream, service: &Service, base_url: String) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    BufReader::new(reader.take(LONGEST)).read_line(&mut line).await?;
    let Request { user, command } = serde_json::from_str(&line)?;
    let mut reply = service.run_admin_command(Initiator::command_line(user), command).await;
    if let Reply::SetupLink { link } | Reply::Invited { link: Some(link), .. } = &mut reply {
        link.base_url = Some(base_url);
    }
    let mut text = serde_json::to_string(&reply)?;
    text.push('\n');
    writer.write_all(text.as_bytes()).await
}

/// Sends a command of a user of the system to the server behind a socket. A missing, late or malformed response is an
/// error.
pub async fn send(path: &Path, user: &str, command: &Command) -> io::Result<Reply> {
    let asked = async {
        let (reader, mut writer) = UnixStream::connect(path).await?.into_split();
        let mut text = serde_json::to_string(&Request { user: user.to_owned(), command: command.clone() })?;
        text.push('\n');
        writer.write_all(text.as_bytes()).await?;
        let mut line = String::new();
        BufReader::new(reader.take(LONGEST)).read_line(&mut line).await?;
        Ok(serde_json::from_str(&line)?)
    };
    tokio::time::timeout(COMMAND_TIMEOUT, asked).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
