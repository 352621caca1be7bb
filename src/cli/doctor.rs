//! `vestibule doctor`: checks the configuration, the database and everything around a server, and changes nothing.

mod database;
mod files;
mod mail;
mod public_url;
mod settings;

use std::fmt;

use clap::Args;
use serde::Serialize;
use strum::IntoStaticStr;

use super::{
    Listening, health,
    listing::json,
    output::{Failure, in_one_line, print_text},
};
use crate::{
    server::config::Config,
    service::clock::{Clock as _, SystemClock},
};

/// The options of `doctor`.
#[derive(Clone, Copy, Debug, Args)]
pub struct Doctor {
    /// Print JSON: one check a line
    #[arg(long)]
    json: bool,
    /// Where the running server listens.
    #[command(flatten)]
    pub listening: Listening,
}

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nothing has to be done.
    #[strum(serialize = "OK")]
    Ok,
    /// It works, and may be a mistake or become a problem.
    #[strum(serialize = "look")]
    Look,
    /// It doesn't work, or is not safe.
    #[strum(serialize = "wrong")]
    Wrong,
}

/// A check with its result, in one line that also says how to fix it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was checked.
    pub check: &'static str,
    /// The result.
    pub status: Status,
    /// What was found.
    pub message: String,
}

impl Finding {
    pub fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, status: Status::Ok, message: message.into() }
    }

    pub fn look(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, status: Status::Look, message: message.into() }
    }

    pub fn wrong(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, status: Status::Wrong, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status: &'static str = self.status.into();
        write!(f, "{status:<6} {:<14} {}", self.check, in_one_line(&self.message))
    }
}

impl Doctor {
    /// Runs all checks and prints them. Fails if something is wrong.
    pub async fn run(self, config: &Config) -> Result<(), Failure> {
        let now = SystemClock.now();
        let running = health::check(config.server.address);
        let mut findings = settings::check(config);
        findings.extend(database::check(config, now).await);
        findings.extend(files::check(config, now));
        findings.push(match &running {
            Ok(()) => Finding::ok("server", format!("a server runs on {}", config.server.address)),
            Err(cause) => Finding::look("server", format!("no server runs here: {cause}")),
        });
        findings.push(public_url::check(config, running.is_ok(), now).await);
        findings.push(mail::check(config).await);
        self.print(&findings)
    }

    /// Prints that the configuration can't be used. The other checks depend on it.
    pub fn refuse(self, error: &str) -> Result<(), Failure> {
        self.print(&[Finding::wrong(settings::CONFIGURATION, error)])
    }

    fn print(self, findings: &[Finding]) -> Result<(), Failure> {
        let mut text = String::new();
        for finding in findings {
            text += &if self.json { json(finding)? } else { finding.to_string() };
            text.push('\n');
        }
        print_text(&text)?;
        match findings.iter().filter(|finding| finding.status == Status::Wrong).count() {
            0 => Ok(()),
            1 => Err(Failure::Message("one check found something wrong".to_owned())),
            wrong => Err(Failure::Message(format!("{wrong} checks found something wrong"))),
        }
    }
}
