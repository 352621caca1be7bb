//! `vestibule restore FILE` and `vestibule restored`.

use std::{fmt::Write as _, fs::File, io, path::PathBuf};

use clap::Args;

use super::output::{Failure, full_path, in_one_line, print_text};
use crate::{
    server::{config::Config, run},
    service::{
        clock::{Clock, SystemClock},
        entropy::SystemEntropy,
        restore::{self, Report},
    },
    store::{
        self, DatabaseUrl, Forgotten,
        draft::is_own,
        files::{beside, resolve},
    },
};

/// A copy in the place of the database.
#[derive(Debug, Args)]
pub struct Restore {
    /// The copy, as `vestibule backup` has made it
    file: PathBuf,
    /// Leave personal access tokens as the backup has them. One that was revoked since then works again
    #[arg(long)]
    keep_access_tokens: bool,
    /// Leave accounts open that were disabled or deleted, or moved to another email, since then
    #[arg(long)]
    trust_backup: bool,
    #[arg(skip)]
    source: Option<(File, PathBuf)>,
}

impl Restore {
    /// Opens the copy.
    ///
    /// # Errors
    /// One line that says what is wrong.
    pub fn open_files(&mut self) -> Result<(), String> {
        let name = self.file.display();
        if self.file.as_os_str() == "-" {
            return Err("a backup can't be read from standard input; name its file".to_owned());
        }
        let unreadable = |cause: io::Error| format!("{name} can't be read: {cause}");
        if !std::fs::metadata(&self.file).map_err(unreadable)?.is_file() {
            return Err(format!("{name} is no file; name what `vestibule backup` has made"));
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

    /// Puts it in the place of the database, and says what that means.
    ///
    /// # Errors
    /// What is wrong, or that it can't be told.
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
            return Err(Failure::Message(format!("{file} belongs to the database itself; name another file")));
        }
        let wish = restore::Wish { keep_access_tokens: self.keep_access_tokens, trust_backup: self.trust_backup };
        let report =
            restore::restore(database, source, wish, SystemClock.now(), &SystemEntropy).await.map_err(explain)?;
        print_text(&words(&report, wish))
    }
}

/// After a database was restored by other means.
#[derive(Debug, Args)]
pub struct Restored {
    /// Leave personal access tokens. One that was revoked since the backup works again
    #[arg(long)]
    keep_access_tokens: bool,
}

impl Restored {
    /// Ends what a restored database brings back.
    ///
    /// # Errors
    /// One line that says what is wrong.
    pub async fn run(&mut self, config: &Config) -> Result<(), Failure> {
        let parts = run::assemble_restored(config).await.map_err(|error| match error {
            run::Error::Store(error) => explain(error),
            error => error.to_string(),
        })?;
        let wish = restore::Wish { keep_access_tokens: self.keep_access_tokens, trust_backup: true };
        let forgotten = parts.service.forget_after_restore(wish).await;
        parts.service.close().await;
        let forgotten = forgotten.map_err(|error| error.to_string())?;
        print_text(&ended(&forgotten, wish))
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

fn ended(forgotten: &Forgotten, wish: restore::Wish) -> String {
    let Forgotten { sessions, links, access_tokens, mails } = forgotten;
    let tokens = if wish.keep_access_tokens {
        "Access tokens are as they were in the backup: revoke those that are not wanted.".to_owned()
    } else {
        format!("Access tokens revoked: {access_tokens}.")
    };
    format!(
        "Everybody has to log in again. Sessions ended: {sessions}. Links in mails voided: {links}. {tokens} \
         Old mails dropped: {mails}.\n"
    )
}

fn words(report: &Report, wish: restore::Wish) -> String {
    let mut text = format!("The backup is in place: {}. ", full_path(&report.database));
    if let Some(newest) = &report.newest {
        let _ = write!(text, "Its newest entry is of {newest}. ");
    }
    text.push('\n');
    if !report.kept.is_empty() {
        let kept: Vec<String> = report.kept.iter().map(|path| full_path(path)).collect();
        let _ = writeln!(text, "What was there before is kept as {}.", kept.join(", "));
    }
    text.push_str(&ended(&report.forgotten, wish));
    let Some(since) = &report.since else {
        text.push_str(
            "What has changed since then is lost, and can't be told: there was no database that could be read.\n",
        );
        return text;
    };
    let _ = writeln!(text, "Accounts made since then, which are lost: {}.", since.made);
    let (state, moved, claimed) = if wish.trust_backup {
        ("which are open again", "whose old one is back", "which have their old password again")
    } else {
        ("which are disabled", "which are disabled, with the old one", "which are disabled")
    };
    for (what, names) in [
        (format!("Accounts deleted since then, {state}"), &since.deleted),
        (format!("Accounts disabled since then, {state}"), &since.disabled),
        (format!("Accounts with another email since then, {moved}"), &since.emails),
        (format!("Accounts claimed since then by the owner of their email, {claimed}"), &since.claimed),
        ("Accounts with another username since then, whose old one is back".to_owned(), &since.usernames),
        ("Accounts with another password since then, whose old one works again".to_owned(), &since.passwords),
    ] {
        if !names.is_empty() {
            let names: Vec<String> = names.iter().map(|account| in_one_line(&account.username)).collect();
            let _ = writeln!(text, "{what}: {}.", names.join(", "));
        }
    }
    text
}
