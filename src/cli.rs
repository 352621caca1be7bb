//! The command line: an entry point beside the page and the API, and a thin layer over the service.

mod backup;
mod check;
mod doctor;
mod env_file;
mod events;
mod group;
mod health;
mod import;
mod invitation;
mod listing;
mod operator;
mod output;
mod restore;
mod rights;
mod system_user;
mod target;
mod user;

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};

use self::output::{Failure, print_line};
use crate::{
    server::{config::Config, logging, run},
    store::files::folder_of,
};

/// Exit code of a failed command.
const FAILED: u8 = 1;
/// Exit code for an invalid configuration or command line.
const BAD_CONFIGURATION: u8 = 2;
/// Exit code of a command that left something out.
const PARTIAL: u8 = 3;

/// Accounts for your app in one program.
///
/// Without a command, it serves the page and the JSON API on <http://127.0.0.1:8000>. The database is vestibule.db in
/// the current folder. No configuration is needed. vestibule.toml in that folder, or environment variables, override
/// the defaults.
#[derive(Debug, Parser)]
#[command(
    name = "vestibule",
    version,
    after_help = "Examples:\n  \
        vestibule                                  serve on http://127.0.0.1:8000\n  \
        vestibule --port 8001                      serve on another port\n  \
        vestibule user add ann@example.org ann     create an account; prompts for the password\n  \
        vestibule user list --json                 list all accounts, for programs\n  \
        DATABASE_URL=postgres://… vestibule        serve with PostgreSQL\n\n\
        If the server runs as a service, pass its folder and its files:\n  \
        vestibule -C /var/lib/vestibule --config /etc/vestibule.toml --env-file /etc/vestibule.env user list"
)]
pub struct Cli {
    /// The configuration file [default: vestibule.toml in the current folder, if it exists]
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A file of environment variables, in systemd's format. The process's environment overrides it
    #[arg(long, global = true, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// Run in this folder. Relative paths are resolved against it
    #[arg(long, short = 'C', global = true, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    #[command(flatten)]
    listening: Listening,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Where the server listens. Only the commands that use the address accept it.
#[derive(Clone, Copy, Debug, Default, Args)]
struct Listening {
    /// Use this port instead of the one in server.address
    #[arg(long, short, value_name = "PORT")]
    port: Option<u16>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the page and the JSON API (default)
    Serve(Listening),
    /// Manage accounts, with or without a running server
    #[command(subcommand)]
    User(user::UserCommand),
    /// Manage operators: accounts with a role, with or without a running server
    #[command(subcommand)]
    Operator(operator::OperatorCommand),
    /// Manage groups of accounts, with or without a running server
    #[command(subcommand)]
    Group(group::GroupCommand),
    /// Read the audit trail, with or without a running server
    #[command(subcommand)]
    Events(events::EventsCommand),
    /// Import accounts from another system, with or without a running server
    Import(Box<import::Import>),
    /// Manage invitations to register, with or without a running server
    #[command(subcommand)]
    Invitation(invitation::InvitationCommand),
    /// Copy the database into a file, with or without a running server
    Backup(backup::Backup),
    /// Replace the database with a backup. Stop the server first. Revokes all sessions, links and access tokens
    Restore(restore::Restore),
    /// Revoke all sessions, links and access tokens after the database was restored by other means
    Restored(restore::Restored),
    /// Create the database or migrate its tables, then exit
    Migrate,
    /// Check the configuration, then exit
    CheckConfig(Listening),
    /// Check the configuration, the database, the proxy, mail and backups, with or without a running server
    Doctor(doctor::Doctor),
    /// Check that the server is alive (GET /healthz). Exits with status 0 if it is
    Health(Listening),
}

impl Cli {
    /// Reads the command line. An error is an exit code: the help, the version or the error message was already
    /// printed.
    pub fn read() -> Result<Self, ExitCode> {
        Self::try_parse().map_err(|error| match error.print() {
            Ok(()) => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(BAD_CONFIGURATION)),
            Err(cause) => fail(FAILED, &Failure::Output(cause)),
        })
    }

    /// Runs the command.
    pub fn run(mut self) -> ExitCode {
        if let Err(error) = rights::forbid_core_dumps() {
            return fail(FAILED, &error.into());
        }
        rights::keep_files_private();
        let mut command = self.command.take().unwrap_or(Command::Serve(self.listening));
        let prepared = self.go_to_folder().and_then(|()| command.open_files().map_err(|error| (FAILED, error.into())));
        if let Err((code, error)) = prepared {
            return fail(code, &error);
        }
        // The command runs on a separate thread, which drops root's privileges. This thread keeps them to access the
        // files named on the command line.
        let joined = std::thread::scope(|scope| scope.spawn(|| self.work(&mut command)).join());
        let done = joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let outcome = done.and_then(|()| command.finish_files().map_err(|error| (FAILED, error)));
        outcome.map_or_else(|(code, error)| fail(code, &error), |()| ExitCode::SUCCESS)
    }

    fn go_to_folder(&self) -> Result<(), (u8, Failure)> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let name = folder.display();
        let words = |cause: io::Error| match cause.kind() {
            io::ErrorKind::NotFound => format!("the folder {name} doesn't exist: check the option -C."),
            io::ErrorKind::NotADirectory => format!("{name} is not a folder: check the option -C."),
            kind => format!("the folder {name} can't be entered: {kind}."),
        };
        std::env::set_current_dir(folder).map_err(|cause| (BAD_CONFIGURATION, words(cause).into()))
    }

    /// Runs the part of a command that uses the configuration and the database.
    fn work(&self, command: &mut Command) -> Result<(), (u8, Failure)> {
        let badly = |error: String| (BAD_CONFIGURATION, Failure::Message(error));
        let become_owner = |of: &Path| {
            let owned = if matches!(command, Command::Serve(_)) { Ok(()) } else { rights::become_owner_of(of) };
            owned.map_err(|error| (FAILED, Failure::Message(error)))
        };
        let variables = self.env_file.as_deref().map(env_file::read).transpose().map_err(badly)?;
        let folder = self.config.as_deref().map_or_else(|| PathBuf::from("."), folder_of);
        become_owner(&folder)?;
        let loaded = self.configuration(variables.into_iter().flatten(), command.port().or(self.listening.port));
        let config = match (loaded, &*command) {
            (Ok(config), _) => config,
            (Err(error), Command::Doctor(doctor)) => return doctor.refuse(&error).map_err(|error| (FAILED, error)),
            (Err(error), _) => return Err(badly(error)),
        };
        if let Some(database) = config.database.url.file() {
            become_owner(&folder_of(database))?;
        }
        let runtime = tokio::runtime::Runtime::new().map_err(|error| (FAILED, error.to_string().into()))?;
        runtime.block_on(command.run(config)).map_err(|error| (FAILED, error))
    }

    /// Loads the configuration from the options and the variables.
    fn configuration(
        &self,
        variables: impl Iterator<Item = (String, String)>,
        port: Option<u16>,
    ) -> Result<Config, String> {
        // Later variables override earlier ones.
        let variables = variables.chain(environment());
        let mut config = Config::load(self.config.as_deref(), variables).map_err(|error| error.to_string())?;
        if let Some(port) = port {
            config.server.address.set_port(port);
        }
        Ok(config)
    }
}

impl Command {
    /// The `--port` option that follows the command's name.
    const fn port(&self) -> Option<u16> {
        match self {
            Self::Serve(listening) | Self::CheckConfig(listening) | Self::Health(listening) => listening.port,
            Self::Doctor(doctor) => doctor.listening.port,
            _ => None,
        }
    }

    /// Opens the files named on the command line with the operator's privileges.
    fn open_files(&mut self) -> Result<(), String> {
        match self {
            Self::Import(import) => import.open_files(),
            Self::Backup(backup) => backup.open_files(),
            Self::Restore(restore) => restore.open_files(),
            _ => Ok(()),
        }
    }

    /// Gives a complete backup its final name.
    fn finish_files(self) -> Result<(), Failure> {
        match self {
            Self::Backup(backup) => backup.finish_files(),
            _ => Ok(()),
        }
    }

    async fn run(&mut self, config: Config) -> Result<(), Failure> {
        match self {
            Self::Serve(_) => {
                logging::start(&config.log);
                Box::pin(run::serve(config)).await.map_err(|error| Failure::Message(error.to_string()))
            }
            Self::User(command) => command.clone().run(&config).await,
            Self::Operator(command) => command.clone().run(&config).await,
            Self::Group(command) => command.clone().run(&config).await,
            Self::Events(command) => command.clone().run(&config).await,
            Self::Import(import) => Box::pin(import.run(&config)).await,
            Self::Invitation(command) => command.clone().run(&config).await,
            Self::Backup(backup) => Ok(backup.run(&config).await?),
            Self::Restore(restore) => restore.run(&config).await,
            Self::Restored(restored) => restored.run(&config).await,
            Self::Migrate => migrate(&config).await,
            Self::CheckConfig(_) => check::report(&config),
            Self::Doctor(doctor) => Box::pin(doctor.run(&config)).await,
            Self::Health(_) => health::check(config.server.address).map_err(Failure::Message),
        }
    }
}

async fn migrate(config: &Config) -> Result<(), Failure> {
    let parts = run::build_with_retries(config).await.map_err(|error| Failure::Message(error.to_string()))?;
    parts.service.close().await;
    print_line("The tables are up to date.")
}

/// The environment as text. Skips names that aren't UTF-8, because no setting has such a name. Replaces a value that
/// isn't UTF-8 with one that every setting rejects.
fn environment() -> impl Iterator<Item = (String, String)> {
    let text = |value: OsString| value.into_string().unwrap_or_else(|_| NOT_TEXT.to_owned());
    std::env::vars_os().filter_map(move |(name, value)| Some((name.into_string().ok()?, text(value))))
}

/// Replaces a value that isn't UTF-8.
const NOT_TEXT: &str = "\0";

fn fail(code: u8, failure: &Failure) -> ExitCode {
    failure.print();
    ExitCode::from(if matches!(failure, Failure::Partial(_)) { PARTIAL } else { code })
}
