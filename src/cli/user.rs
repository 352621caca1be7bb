//! `vestibule user …`: runs in this process, or in the server that has the database open.

use std::io::{BufRead, IsTerminal, Write};

use clap::Subcommand;

use super::{
    listing::{self, ListOptions},
    output::{Failure, in_one_line, print_line, print_text},
    target::{ask, execute, explain, read_password, require_database},
};
use crate::{
    server::config::Config,
    service::admin::{Command, Reply, UserDetails},
};

/// The subcommands of `user`.
#[derive(Clone, Debug, Subcommand)]
pub enum UserCommand {
    /// Create an account. Prompts for the password, or reads it from standard input
    Add {
        /// The email address
        email: String,
        /// The username; reserved names such as admin are allowed
        username: String,
    },
    /// List accounts: username, creation date, last login, state, confirmed email, role, id, email
    List(ListOptions),
    /// Show one account
    Show {
        /// Email, username or id
        who: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Change an account's username; reserved names such as admin are allowed
    Rename {
        /// Email, username or id
        who: String,
        /// The new username
        username: String,
    },
    /// Mark an account's email as confirmed
    Confirm {
        /// Email, username or id
        who: String,
    },
    /// Disable an account: ends its sessions, revokes its access tokens and prevents logins
    Disable {
        /// Email, username or id
        who: String,
        /// Even if it is the last admin
        #[arg(long)]
        force: bool,
    },
    /// Enable a disabled account again
    Enable {
        /// Email, username or id
        who: String,
    },
    /// Approve an account that waits for it. Its owner is notified by mail
    Approve {
        /// Email, username or id
        who: String,
    },
    /// Decline an account that waits for approval, and delete it with all its data
    Decline {
        /// Email, username or id
        who: String,
        /// Notify its email
        #[arg(long)]
        notify: bool,
    },
    /// Set a new password, end all sessions and revoke all access tokens. Prompts for the password, or reads it from
    /// standard input
    SetPassword {
        /// Email, username or id
        who: String,
    },
    /// End all sessions of an account and revoke its access tokens
    RevokeSessions {
        /// Email, username or id
        who: String,
    },
    /// Delete an account with all its data. Prompts for the username as a confirmation, or reads it from standard input
    Delete {
        /// Email, username or id
        who: String,
        /// Skip the confirmation
        #[arg(long)]
        yes: bool,
        /// Even if it is the last admin
        #[arg(long)]
        force: bool,
    },
}

impl UserCommand {
    /// Runs the command and prints its result.
    pub async fn run(self, config: &Config) -> Result<(), Failure> {
        if !matches!(self, Self::Add { .. }) {
            require_database(config)?;
        }
        match self {
            Self::List(options) => return listing::list(config, &options).await,
            Self::Show { who, json } => return print_text(&listing::details(&show(config, who).await?, json)?),
            _ => {}
        }
        let (command, done, reply) = execute(config, async || self.clone().command(config).await).await?;
        match reply {
            Reply::Added { account } => {
                print_line(&format!("The account {} <{}> {done}.", account.username, account.email))
            }
            Reply::Done { username, sessions } => {
                let ended = match &command {
                    Command::Enable { .. }
                    | Command::Confirm { .. }
                    | Command::Approve { .. }
                    | Command::Decline { .. } => String::new(),
                    Command::Delete { .. } => format!(" Sessions ended: {sessions}."),
                    _ => format!(" Sessions ended: {sessions}. Access tokens are revoked."),
                };
                print_line(&format!("The account {username} {done}.{ended}"))
            }
            Reply::Renamed { old, new } => print_line(&format!("The account {old} {done} {new}.")),
            other => Err(explain(other)),
        }
    }

    /// Builds the command for the service, and the words that report its success. All prompts come first, so that the
    /// database isn't blocked while the operator thinks of a password.
    async fn command(self, config: &Config) -> Result<(Command, &'static str), Failure> {
        Ok(match self {
            Self::Add { email, username } => {
                (Command::Add { email, username, password: read_password()?.to_string(), role: None }, "was created")
            }
            Self::SetPassword { who } => {
                (Command::SetPassword { who, password: read_password()?.to_string() }, "has a new password")
            }
            Self::Delete { who, yes, force } => {
                let account = show(config, who).await?.line.account;
                if !yes {
                    confirm_deletion(&account.username, &account.email)?;
                }
                (Command::Delete { who: account.id, force }, "was deleted")
            }
            Self::Rename { who, username } => (Command::Rename { who, username }, "was renamed to"),
            Self::Confirm { who } => (Command::Confirm { who }, "has a confirmed email now"),
            Self::Disable { who, force } => (Command::Disable { who, force }, "is disabled"),
            Self::Enable { who } => (Command::Enable { who }, "is enabled"),
            Self::Approve { who } => (Command::Approve { who }, "is approved"),
            Self::Decline { who, notify } => (Command::Decline { who, notify }, "was declined and deleted"),
            Self::RevokeSessions { who } => (Command::RevokeSessions { who }, "is logged out everywhere"),
            Self::List(_) | Self::Show { .. } => {
                return Err(Failure::Message("this command changes nothing".to_owned()));
            }
        })
    }
}

async fn show(config: &Config, who: String) -> Result<UserDetails, Failure> {
    match ask(config, &Command::Show { who }).await? {
        Reply::User { details } => Ok(*details),
        other => Err(explain(other)),
    }
}

/// Requires the username as a confirmation before an account is deleted.
fn confirm_deletion(username: &str, email: &str) -> Result<(), Failure> {
    let (shown, email) = (in_one_line(username), in_one_line(email));
    if std::io::stdin().is_terminal() {
        let question = format!("Type {shown} to delete the account {shown} <{email}> with all its data: ");
        drop(std::io::stderr().write_all(question.as_bytes()));
    }
    let mut typed = String::new();
    let read = std::io::stdin().lock().read_line(&mut typed);
    read.map_err(|cause| Failure::Message(format!("the username can't be read: {cause}")))?;
    if typed.trim().eq_ignore_ascii_case(username) {
        return Ok(());
    }
    Err(Failure::Message(format!("nothing was deleted: type the username {shown}, or use --yes")))
}
