//! `vestibule user …`: done here, or by the server that has the database open.

use std::io::{BufRead, IsTerminal, Write};

use clap::Subcommand;
use zeroize::Zeroizing;

use crate::{
    error::AppError,
    server::{config::Config, control, run},
    service::admin::{Command, Reply, UserLine},
    store,
};

/// What can be done with accounts.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Make an account. The password is asked for, or read from standard input
    Add {
        /// Its email address
        email: String,
        /// Its username
        username: String,
    },
    /// Tell all accounts: username, email, when made, whether disabled
    List,
    /// Close an account: it can't log in, its sessions end now, and its access tokens are revoked
    Disable {
        /// Email or username
        who: String,
    },
    /// Open a closed account again
    Enable {
        /// Email or username
        who: String,
    },
    /// Set a new password, end all sessions and revoke all access tokens. The password is asked for, or read from standard input
    SetPassword {
        /// Email or username
        who: String,
    },
    /// End all sessions of an account now, and revoke its access tokens
    RevokeSessions {
        /// Email or username
        who: String,
    },
}

impl UserCommand {
    /// Carries it out and tells what came of it.
    ///
    /// # Errors
    /// One line that says what is wrong.
    pub async fn run(self, config: &Config) -> Result<(), String> {
        if !matches!(self, Self::Add { .. })
            && let Some(file) = config.database.url.file().filter(|file| matches!(file.try_exists(), Ok(false)))
        {
            let folder = std::env::current_dir().unwrap_or_default();
            return Err(format!(
                "there is no {} in {}: go to the server's folder, or set database.url",
                file.display(),
                folder.display()
            ));
        }
        // Before the database is opened: nobody must wait for it while somebody thinks of a password.
        let password = match self {
            Self::Add { .. } | Self::SetPassword { .. } => read_password()?.to_string(),
            _ => String::new(),
        };
        let operator = Operator::open(config).await?;
        let done = self.carry_out(&operator, password).await;
        operator.close().await;
        done
    }

    async fn carry_out(self, operator: &Operator, password: String) -> Result<(), String> {
        let (command, deed) = match self {
            Self::List => return list(operator).await,
            Self::Add { email, username } => (Command::Add { email, username, password }, "is made"),
            Self::Disable { who } => (Command::Disable { who }, "is disabled"),
            Self::Enable { who } => (Command::Enable { who }, "is enabled"),
            Self::SetPassword { who } => (Command::SetPassword { who, password }, "has a new password"),
            Self::RevokeSessions { who } => (Command::RevokeSessions { who }, "is logged out everywhere"),
        };
        match operator.ask(&command).await? {
            Reply::Added { account } => println!("The account {} <{}> {deed}.", account.username, account.email),
            Reply::Done { username, .. } if matches!(command, Command::Enable { .. }) => {
                println!("The account {username} {deed}.");
            }
            Reply::Done { username, sessions } => {
                println!("The account {username} {deed}. Sessions ended: {sessions}. Access tokens are revoked.");
            }
            other => return Err(explain(other)),
        }
        Ok(())
    }
}

async fn list(operator: &Operator) -> Result<(), String> {
    let mut after = String::new();
    let mut count = 0_u64;
    // Whoever has read enough closes the pipe, as `head` does; that is no fault.
    let tell = |line: String| writeln!(std::io::stdout(), "{line}").is_ok();
    let mut read = tell(format!("{:<32}  {:<20}  {:<8}  EMAIL", "USERNAME", "CREATED", "STATE"));
    loop {
        let users = match operator.ask(&Command::List { after: after.clone() }).await? {
            Reply::Users { users } => users,
            other => return Err(explain(other)),
        };
        let Some(last) = users.last() else { break };
        after.clone_from(&last.account.id);
        count += users.len() as u64;
        read = read && users.iter().map(line).all(tell);
        if !read {
            return Ok(());
        }
    }
    tell(format!("Accounts: {count}."));
    Ok(())
}

fn line(UserLine { account, disabled }: &UserLine) -> String {
    let state = if *disabled { "disabled" } else { "enabled" };
    format!("{:<32}  {:<20}  {state:<8}  {}", account.username, account.created_at, account.email)
}

fn explain(reply: Reply) -> String {
    match reply {
        Reply::NoSuchUser => "there is no account with this email or username; see `vestibule user list`".to_owned(),
        Reply::Refused { error: AppError::Invalid(problems) } => {
            let lines = problems.iter().map(|p| format!("{}: {}", p.field.name(), p.problem));
            lines.collect::<Vec<_>>().join(" ")
        }
        Reply::Refused { error: AppError::Taken } => "an account with this email or username exists already".to_owned(),
        Reply::Refused { error } => error.to_string(),
        _ => "the server gave an answer to another question; is it of another version?".to_owned(),
    }
}

/// Who carries commands out.
enum Operator {
    /// This process: it has the database open.
    Here(Box<run::Parts>),
    /// The server behind this socket.
    There(std::path::PathBuf),
}

impl Operator {
    async fn open(config: &Config) -> Result<Self, String> {
        match run::assemble(config).await {
            Ok(parts) => Ok(Self::Here(Box::new(parts))),
            Err(run::Error::Store(store::Error::InUse(path))) => Ok(Self::There(control::socket_of(&path))),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn ask(&self, command: &Command) -> Result<Reply, String> {
        match self {
            Self::Here(parts) => Ok(parts.service.administer(command.clone()).await),
            Self::There(socket) => control::ask(socket, command).await.map_err(|cause| {
                format!("another process has the database open and can't be asked ({cause}); stop it and try again")
            }),
        }
    }

    async fn close(self) {
        if let Self::Here(parts) = self {
            parts.service.close().await;
        }
    }
}

/// Ends the program on Ctrl-C, and shows what is typed again first.
fn restore_echo_on_interrupt() {
    let Ok(before) = rustix::termios::tcgetattr(std::io::stdin()) else { return };
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            let now = rustix::termios::OptionalActions::Now;
            let _ = rustix::termios::tcsetattr(std::io::stdin(), now, &before);
            eprintln!();
            std::process::exit(130);
        }
    });
}

/// Asks twice at a terminal, without showing what is typed; elsewhere takes the first line of standard input. Never
/// an argument: other users of the machine could see it.
fn read_password() -> Result<Zeroizing<String>, String> {
    let unreadable = |cause: std::io::Error| format!("the password can't be read: {cause}");
    if std::io::stdin().is_terminal() {
        restore_echo_on_interrupt();
        let first = Zeroizing::new(rpassword::prompt_password("New password: ").map_err(unreadable)?);
        let again = Zeroizing::new(rpassword::prompt_password("Once more: ").map_err(unreadable)?);
        return if first == again { Ok(first) } else { Err("the two passwords differ; try again".to_owned()) };
    }
    let mut line = Zeroizing::new(String::new());
    std::io::stdin().lock().read_line(&mut line).map_err(unreadable)?;
    let length = line.trim_end_matches(['\n', '\r']).len();
    line.truncate(length);
    Ok(line)
}
