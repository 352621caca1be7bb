//! `vestibule restore FILE` and `vestibule restored`.

use std::{
    fmt::Write as _,
    fs::File,
    io,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{
    output::{Failure, full_path, in_one_line, print_text},
    system_user,
};
use crate::{
    domain::event::Initiator,
    server::{config::Config, run},
    service::{
        clock::{Clock, SystemClock},
        entropy::SystemEntropy,
        restore::{self, Report, RestoreOptions},
    },
    store::{
        self, DatabaseUrl, Revoked, SinceAccount, SinceMembership,
        backup::COPY,
        draft::is_own,
        files::{beside, resolve},
    },
};

/// The options and the files of `restore`.
#[derive(Debug, Args)]
pub struct Restore {
    /// The backup, as created by `vestibule backup`
    file: PathBuf,
    /// Keep the backup's personal access tokens. Those revoked since the backup become valid again
    #[arg(long)]
    keep_access_tokens: bool,
    /// Keep accounts enabled that were disabled or deleted, or changed their email, since the backup. Keep roles and
    /// members of groups that were removed since
    #[arg(long)]
    trust_backup: bool,
    #[arg(skip)]
    source: Option<(File, PathBuf)>,
}

impl Restore {
    /// Opens the backup.
    pub fn open_files(&mut self) -> Result<(), String> {
        let name = self.file.display();
        if self.file.as_os_str() == "-" {
            return Err("a backup can't be read from standard input; pass the name of its file".to_owned());
        }
        let unreadable = |cause: io::Error| format!("{name} can't be read: {cause}");
        if !std::fs::metadata(&self.file).map_err(unreadable)?.is_file() {
            return Err(format!("{name} is not a file; pass a file that `vestibule backup` created"));
        }
        let log = beside(&self.file, "-wal");
        if std::fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
            return Err(format!(
                "{name} is not whole: its newest data is in {}. Run `sqlite3 {name} 'PRAGMA wal_checkpoint(TRUNCATE)'` first",
                log.display()
            ));
        }
        self.source = Some((File::open(&self.file).map_err(unreadable)?, resolve(&self.file)));
        Ok(())
    }

    /// Replaces the database with the backup, and prints what was lost.
    pub async fn run(&mut self, config: &Config) -> Result<(), Failure> {
        let database = match &config.database.url {
            DatabaseUrl::Sqlite(path) => path,
            server @ DatabaseUrl::Postgres(_) => {
                return Err(Failure::Message(format!(
                    "the data is in {server}. Stop every server, run `pg_restore --clean --if-exists \
                     --dbname=\"$DATABASE_URL\" FILE`, and then `vestibule restored`"
                )));
            }
        };
        let (source, path) = self.source.take().ok_or_else(|| "the backup was not opened".to_owned())?;
        if is_own(database, &path) {
            let file = self.file.display();
            return Err(Failure::Message(format!("{file} belongs to the database itself; choose another file")));
        }
        let options = RestoreOptions { keep_access_tokens: self.keep_access_tokens, trust_backup: self.trust_backup };
        let by = Initiator::command_line(system_user::name());
        let restored = restore::restore(database, source, options, SystemClock.now(), &SystemEntropy, by).await;
        let report = restored.map_err(|error| name_copy(explain(error), &self.file))?;
        print_text(&summary(&report, options))
    }
}

/// The options of `restored`.
#[derive(Debug, Args)]
pub struct Restored {
    /// Keep personal access tokens. Those revoked since the backup become valid again
    #[arg(long)]
    keep_access_tokens: bool,
}

impl Restored {
    /// Revokes the sessions, links and access tokens that a restored database brings back.
    pub async fn run(&mut self, config: &Config) -> Result<(), Failure> {
        let parts = run::build_restored(config).await.map_err(|error| match error {
            run::Error::Store(error) => explain(error),
            error => error.to_string(),
        })?;
        let options = RestoreOptions { keep_access_tokens: self.keep_access_tokens, trust_backup: true };
        let by = Initiator::command_line(system_user::name());
        let revoked = parts.service.revoke_after_restore(by, options).await;
        parts.service.close().await;
        let revoked = revoked.map_err(|error| error.to_string())?;
        print_text(&revoked_summary(&revoked, options))
    }
}

fn explain(error: store::Error) -> String {
    match error {
        store::Error::InUse(path) => {
            format!("a server has {} open. Stop it first, and start it again afterwards", path.display())
        }
        error => error.to_string(),
    }
}

/// Names the operator's file in an error about the copy of it.
fn name_copy(error: String, file: &Path) -> String {
    match error.strip_prefix(COPY) {
        Some(rest) => format!("{}{rest}", file.display()),
        None => error,
    }
}

fn revoked_summary(revoked: &Revoked, options: RestoreOptions) -> String {
    let Revoked { sessions, links, access_tokens, mails } = revoked;
    let tokens = if options.keep_access_tokens {
        "Access tokens are valid as in the backup: revoke those that are no longer needed.".to_owned()
    } else {
        format!("Access tokens revoked: {access_tokens}.")
    };
    format!(
        "All users have to log in again. Sessions ended: {sessions}. Links in emails revoked: {links}. {tokens} \
         Old messages deleted: {mails}.\n"
    )
}

fn summary(report: &Report, options: RestoreOptions) -> String {
    let mut text = format!("The backup is in place: {}.", full_path(&report.database));
    if let Some(newest) = &report.newest {
        let _ = write!(text, " Its newest entry is from {newest}.");
    }
    text.push('\n');
    if !report.kept.is_empty() {
        let kept: Vec<String> = report.kept.iter().map(|path| full_path(path)).collect();
        let _ = writeln!(text, "The previous database is kept as {}.", kept.join(", "));
    }
    text.push_str(&revoked_summary(&report.revoked, options));
    if report.without_admin {
        text.push_str("There is no enabled admin: make one with `vestibule operator role WHO admin`.\n");
    }
    let Some(since) = &report.since else {
        text.push_str(
            "Changes since then are lost. They can't be listed, because no previous database could be read.\n",
        );
        return text;
    };
    let _ = writeln!(text, "Accounts created since then (lost): {}.", since.made);
    let (state, moved, claimed, role, member) = if options.trust_backup {
        ("enabled again", "old email restored", "old password valid again", "old role restored", "memberships restored")
    } else {
        (
            "now disabled",
            "old email restored, now disabled",
            "now disabled",
            "now without a role",
            "memberships removed",
        )
    };
    let left = since.memberships.iter().map(|SinceMembership { user_id, username, .. }| SinceAccount {
        id: user_id.clone(),
        username: username.clone(),
    });
    let mut left: Vec<SinceAccount> = left.collect();
    left.dedup();
    for (what, names) in [
        (format!("Accounts deleted since then ({state})"), &since.deleted),
        (format!("Accounts disabled since then ({state})"), &since.disabled),
        (format!("Accounts with a new email since then ({moved})"), &since.emails),
        (format!("Accounts claimed since then by the owner of their email ({claimed})"), &since.claimed),
        ("Accounts with a new username since then (old username restored)".to_owned(), &since.usernames),
        (format!("Accounts that lost or changed their role since then ({role})"), &since.roles),
        (format!("Accounts that left a group since then ({member})"), &left),
        ("Accounts with a new password since then (old password valid again)".to_owned(), &since.passwords),
    ] {
        if !names.is_empty() {
            let names: Vec<String> = names.iter().map(|account| in_one_line(&account.username)).collect();
            let _ = writeln!(text, "{what}: {}.", names.join(", "));
        }
    }
    text
}
