//! `vestibule backup FILE`.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Write as _},
    path::PathBuf,
};

use clap::Args;

use super::{
    output::{Failure, full_path, in_one_line, print_text},
    system_user,
};
use crate::{
    server::{config::Config, control},
    service::{
        admin::Command,
        entropy::{SystemEntropy, nonce},
    },
    store::{
        DatabaseUrl,
        backup::{self, BackupFile, unfinished},
        draft::is_own,
        files::{folder_of, resolve},
    },
};

/// The options and the files of `backup`.
#[derive(Debug, Args)]
pub struct Backup {
    /// The file to create. It must not exist yet
    file: PathBuf,
    #[arg(skip)]
    draft: Option<BackupFile>,
    #[arg(skip)]
    resolved: PathBuf,
}

impl Backup {
    /// Creates the backup's file under a temporary name.
    pub fn open_files(&mut self) -> Result<(), String> {
        if self.file.as_os_str() == "-" {
            return Err(
                "a backup can't be written to standard output; choose a file, such as vestibule-backup.db".to_owned()
            );
        }
        self.draft = Some(BackupFile::create(&self.file, nonce(&SystemEntropy))?);
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
        let target = draft.writer()?;
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
        copied.map_err(|error| error.to_string())?;
        // Without a running server the copy has no event. Adding one would need the database's lock, and could migrate it.
        let socket = control::socket_of(database);
        drop(control::send(&socket, &system_user::name(), &Command::BackupMade).await);
        Ok(())
    }

    /// Gives the backup its final name, and prints a summary.
    pub fn finish_files(self) -> Result<(), Failure> {
        let Some(draft) = self.draft else { return Ok(()) };
        let bytes = draft.bytes();
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

fn with_postgres(server: &DatabaseUrl) -> String {
    format!(
        "the data is in {server}. Use PostgreSQL's own backup: run `pg_dump --format=custom --file=FILE \
         \"$DATABASE_URL\"`. To restore, stop every server, run `pg_restore --clean --if-exists --dbname=\"$DATABASE_URL\" \
         FILE`, and then `vestibule restored`, which revokes all sessions and access tokens"
    )
}
