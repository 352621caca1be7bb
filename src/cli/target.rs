//! Where an operator's commands are executed: in this process, or in the server that has the database open.

use std::io::{BufRead, IsTerminal, Write};

use zeroize::Zeroizing;

use super::{
    output::{Failure, in_one_line},
    system_user,
};
use crate::{
    domain::event::Initiator,
    error::{AppError, Field, FieldProblem, Problem},
    server::{config::Config, control, run},
    service::admin::{Command, Reply, ShownLink},
    store,
};

/// How many times a terminal prompts for a new password.
const ATTEMPTS: u32 = 3;

/// Where commands are executed.
pub enum Target {
    /// This process: it has the database open.
    Here(Box<run::Parts>),
    /// The server behind this socket.
    There(std::path::PathBuf),
}

impl Target {
    pub async fn open(config: &Config) -> Result<Self, String> {
        match run::build(config).await {
            Ok(parts) => Ok(Self::Here(Box::new(parts))),
            Err(run::Error::Store(store::Error::InUse(path))) => Ok(Self::There(control::socket_of(&path))),
            Err(error) => Err(error.to_string()),
        }
    }

    pub async fn ask(&self, command: &Command) -> Result<Reply, String> {
        match self {
            Self::Here(parts) => {
                let by = Initiator::command_line(system_user::name());
                Ok(parts.service.run_admin_command(by, command.clone()).await)
            }
            Self::There(socket) => control::send(socket, &system_user::name(), command).await.map_err(|cause| {
                format!(
                    "another process has the database open and doesn't accept commands ({cause}); stop it and try again"
                )
            }),
        }
    }

    /// Gives up the lock of a SQLite file, so that a server can start. From then on, the commands go to that server.
    pub async fn without_lock(self, config: &Config) -> Self {
        match (self, config.database.url.file()) {
            (Self::Here(parts), Some(file)) => {
                parts.service.close().await;
                Self::There(control::socket_of(file))
            }
            (target, _) => target,
        }
    }

    pub async fn close(self) {
        if let Self::Here(parts) = self {
            parts.service.close().await;
        }
    }
}

/// Sends one command.
pub async fn ask(config: &Config, command: &Command) -> Result<Reply, Failure> {
    let target = Target::open(config).await?;
    let reply = target.ask(command).await;
    target.close().await;
    Ok(reply?)
}

/// Sends one command for each name, until one fails. `report` prints the reply.
pub async fn ask_each(
    config: &Config,
    names: Vec<String>,
    command: impl Fn(String) -> Command,
    report: impl Fn(&str, Reply) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let target = Target::open(config).await?;
    let mut outcome = Ok(());
    for name in names {
        outcome = match target.ask(&command(name.clone())).await {
            Ok(reply) => report(&name, reply),
            Err(cause) => Err(cause.into()),
        };
        if outcome.is_err() {
            break;
        }
    }
    target.close().await;
    outcome
}

/// Runs a command that `build` creates, with the words that report its success. At a terminal, creates it again, with
/// its prompts, if the new password is rejected.
pub async fn execute(
    config: &Config,
    build: impl AsyncFn() -> Result<(Command, &'static str), Failure>,
) -> Result<(Command, &'static str, Reply), Failure> {
    let at_terminal = std::io::stdin().is_terminal();
    for _ in 1..ATTEMPTS {
        let (command, done) = build().await?;
        let reply = ask(config, &command).await?;
        if !(at_terminal && is_password_problem(&reply)) {
            return Ok((command, done, reply));
        }
        explain(reply).print();
    }
    let (command, done) = build().await?;
    let reply = ask(config, &command).await?;
    Ok((command, done, reply))
}

fn is_password_problem(reply: &Reply) -> bool {
    let Reply::Refused { error: AppError::Invalid(problems) } = reply else { return false };
    problems.iter().all(|problem| problem.field == Field::Password)
}

/// Prevents a command in the wrong folder from creating a database there.
pub fn require_database(config: &Config) -> Result<(), Failure> {
    missing_database(config).map_or(Ok(()), |missing| Err(Failure::Message(missing)))
}

/// The message that there is no database file, if that is so.
pub fn missing_database(config: &Config) -> Option<String> {
    let file = config.database.url.file().filter(|file| matches!(file.try_exists(), Ok(false)))?;
    let folder = std::env::current_dir().unwrap_or_default();
    Some(format!(
        "there is no {} in {}: pass the server's folder with -C FOLDER and its configuration with --config and --env-file, or \
         set database.url",
        file.display(),
        folder.display()
    ))
}

pub fn explain(reply: Reply) -> Failure {
    Failure::Message(match reply {
        Reply::NoSuchUser => {
            "there is no account with this email, username or id; see `vestibule user list`".to_owned()
        }
        Reply::NoSuchGroup => "there is no group with this name; see `vestibule group list`".to_owned(),
        Reply::Refused { error: AppError::MailOff } => "mail is off; set mail.url, or leave out --send".to_owned(),
        Reply::GroupNotEmpty { members } => {
            format!("the group has members ({members}), who would leave it; use --force to delete it")
        }
        Reply::Refused { error: AppError::Invalid(problems) } => {
            let lines = problems.iter().map(|FieldProblem { field, problem }| match problem {
                Problem::Missing => format!("the {} is empty; enter one.", field.name()),
                problem => format!("{}: {problem}", field.name()),
            });
            lines.collect::<Vec<_>>().join(" ")
        }
        Reply::Refused { error: AppError::Taken } => "an account with this email or username already exists".to_owned(),
        Reply::Refused { error: AppError::EmailUnverified } => {
            "the account's email is not confirmed; if you know that it belongs to the owner, run `vestibule user confirm` first"
                .to_owned()
        }
        Reply::Refused { error: AppError::LastAdmin } => {
            "this is the last enabled admin; make another one first with `vestibule operator role WHO admin`, or use --force"
                .to_owned()
        }
        Reply::Refused { error: AppError::NotPending } => {
            "the account doesn't wait for approval; see `vestibule user list --state pending`".to_owned()
        }
        Reply::Refused { error } => error.to_string(),
        _ => "the server sent an unexpected reply; check that it has the same version as this program".to_owned(),
    })
}

/// The URL of a link. A server that runs knows its own; otherwise it is the configured one.
pub fn url_of(config: &Config, link: ShownLink, view: &str) -> String {
    let ShownLink { token, base_url } = link;
    let base_url = base_url.unwrap_or_else(|| config.base_url(config.server.address));
    format!("{}/{view}#{}", in_one_line(&base_url), in_one_line(&token))
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
pub fn read_password() -> Result<Zeroizing<String>, String> {
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
