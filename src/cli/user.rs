//! `vestibule user …`: runs in this process, or in the server that has the database open.

mod listing;

use std::io::{BufRead, IsTerminal, Write};

use clap::Subcommand;
use zeroize::Zeroizing;

use super::output::{Failure, in_one_line, print_line, print_text};
use crate::{
    error::{AppError, Field, FieldProblem, Problem},
    server::{config::Config, control, run},
    service::admin::{Command, Reply, UserDetails},
    store,
};

/// How many times a terminal prompts for a new password.
const ATTEMPTS: u32 = 3;

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
    /// List accounts: username, creation date, last login, state, confirmed email, id, email
    List(listing::ListOptions),
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
    },
    /// Enable a disabled account again
    Enable {
        /// Email, username or id
        who: String,
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
        let (command, done, reply) = self.execute_command(config).await?;
        match reply {
            Reply::Added { account } => {
                print_line(&format!("The account {} <{}> {done}.", account.username, account.email))
            }
            Reply::Done { username, sessions } => {
                let ended = match &command {
                    Command::Enable { .. } | Command::Confirm { .. } => String::new(),
                    Command::Delete { .. } => format!(" Sessions ended: {sessions}."),
                    _ => format!(" Sessions ended: {sessions}. Access tokens are revoked."),
                };
                print_line(&format!("The account {username} {done}.{ended}"))
            }
            Reply::Renamed { old, new } => print_line(&format!("The account {old} {done} {new}.")),
            other => Err(explain(other)),
        }
    }

    /// Runs the command. At a terminal, prompts again if the new password is rejected.
    async fn execute_command(self, config: &Config) -> Result<(Command, &'static str, Reply), Failure> {
        let at_terminal = std::io::stdin().is_terminal();
        for _ in 1..ATTEMPTS {
            let (command, done) = self.clone().command(config).await?;
            let reply = ask(config, &command).await?;
            if !(at_terminal && is_password_problem(&reply)) {
                return Ok((command, done, reply));
            }
            explain(reply).print();
        }
        let (command, done) = self.command(config).await?;
        let reply = ask(config, &command).await?;
        Ok((command, done, reply))
    }

    /// Builds the command for the service, and the words that report its success. All prompts come first, so that the
    /// database isn't blocked while the operator thinks of a password.
    async fn command(self, config: &Config) -> Result<(Command, &'static str), Failure> {
        Ok(match self {
            Self::Add { email, username } => {
                (Command::Add { email, username, password: read_password()?.to_string() }, "was created")
            }
            Self::SetPassword { who } => {
                (Command::SetPassword { who, password: read_password()?.to_string() }, "has a new password")
            }
            Self::Delete { who, yes } => {
                let account = show(config, who).await?.line.account;
                if !yes {
                    confirm_deletion(&account.username, &account.email)?;
                }
                (Command::Delete { who: account.id }, "was deleted")
            }
            Self::Rename { who, username } => (Command::Rename { who, username }, "was renamed to"),
            Self::Confirm { who } => (Command::Confirm { who }, "has a confirmed email now"),
            Self::Disable { who } => (Command::Disable { who }, "is disabled"),
            Self::Enable { who } => (Command::Enable { who }, "is enabled"),
            Self::RevokeSessions { who } => (Command::RevokeSessions { who }, "is logged out everywhere"),
            Self::List(_) | Self::Show { .. } => {
                return Err(Failure::Message("this command changes nothing".to_owned()));
            }
        })
    }
}

fn is_password_problem(reply: &Reply) -> bool {
    let Reply::Refused { error: AppError::Invalid(problems) } = reply else { return false };
    problems.iter().all(|problem| problem.field == Field::Password)
}

/// Prevents a command in the wrong folder from creating a database there.
fn require_database(config: &Config) -> Result<(), Failure> {
    let missing = config.database.url.file().filter(|file| matches!(file.try_exists(), Ok(false)));
    let Some(file) = missing else { return Ok(()) };
    let folder = std::env::current_dir().unwrap_or_default();
    Err(Failure::Message(format!(
        "there is no {} in {}: pass the server's folder with -C FOLDER and its configuration with --config and --env-file, or \
         set database.url",
        file.display(),
        folder.display()
    )))
}

async fn show(config: &Config, who: String) -> Result<UserDetails, Failure> {
    match ask(config, &Command::Show { who }).await? {
        Reply::User { details } => Ok(*details),
        other => Err(explain(other)),
    }
}

fn explain(reply: Reply) -> Failure {
    Failure::Message(match reply {
        Reply::NoSuchUser => {
            "there is no account with this email, username or id; see `vestibule user list`".to_owned()
        }
        Reply::Refused { error: AppError::Invalid(problems) } => {
            let lines = problems.iter().map(|FieldProblem { field, problem }| match problem {
                Problem::Missing => format!("the {} is empty; enter one.", field.name()),
                problem => format!("{}: {problem}", field.name()),
            });
            lines.collect::<Vec<_>>().join(" ")
        }
        Reply::Refused { error: AppError::Taken } => "an account with this email or username already exists".to_owned(),
        Reply::Refused { error } => error.to_string(),
        _ => "the server sent an unexpected reply; check that it has the same version as this program".to_owned(),
    })
}

/// Sends one command.
async fn ask(config: &Config, command: &Command) -> Result<Reply, Failure> {
    let operator = Operator::open(config).await?;
    let reply = operator.ask(command).await;
    operator.close().await;
    Ok(reply?)
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

/// Where commands are executed.
enum Operator {
    /// This process: it has the database open.
    Here(Box<run::Parts>),
    /// The server behind this socket.
    There(std::path::PathBuf),
}

impl Operator {
    async fn open(config: &Config) -> Result<Self, String> {
        match run::build(config).await {
            Ok(parts) => Ok(Self::Here(Box::new(parts))),
            Err(run::Error::Store(store::Error::InUse(path))) => Ok(Self::There(control::socket_of(&path))),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn ask(&self, command: &Command) -> Result<Reply, String> {
        match self {
            Self::Here(parts) => Ok(parts.service.run_admin_command(command.clone()).await),
            Self::There(socket) => control::send(socket, command).await.map_err(|cause| {
                format!(
                    "another process has the database open and doesn't accept commands ({cause}); stop it and try again"
                )
            }),
        }
    }

    async fn close(self) {
        if let Self::Here(parts) = self {
            parts.service.close().await;
        }
    }
}

/// On Ctrl-C, turns the terminal's echo on again and exits.
fn restore_echo_on_interrupt() {
    let Ok(before) = rustix::termios::tcgetattr(std::io::stdin()) else { return };
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            let now = rustix::termios::OptionalActions::Now;
            let _ = rustix::termios::tcsetattr(std::io::stdin(), now, &before);
            drop(std::io::stderr().write_all(b"\n"));
            std::process::exit(130);
        }
    });
}

/// Prompts twice at a terminal, without echo. Otherwise reads the first line of standard input. A password is never an
/// argument, because other users of the machine could see it.
fn read_password() -> Result<Zeroizing<String>, String> {
    let unreadable = |cause: std::io::Error| format!("the password can't be read: {cause}");
    if std::io::stdin().is_terminal() {
        restore_echo_on_interrupt();
        for _ in 0..ATTEMPTS {
            let first = Zeroizing::new(rpassword::prompt_password("New password: ").map_err(unreadable)?);
            let again = Zeroizing::new(rpassword::prompt_password("Repeat it: ").map_err(unreadable)?);
            if first == again {
                return Ok(first);
            }
            Failure::Message("the two passwords differ".to_owned()).print();
        }
        return Err("no password was set: type the same one twice".to_owned());
    }
    let mut line = Zeroizing::new(String::new());
    std::io::stdin().lock().read_line(&mut line).map_err(unreadable)?;
    let length = line.trim_end_matches(['\n', '\r']).len();
    line.truncate(length);
    Ok(line)
}
