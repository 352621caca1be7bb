//! The command line: a door like the others, thin over the service.

mod backup;
mod check;
mod env_file;
mod health;
mod output;
mod restore;
mod rights;
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

/// The exit code for a command that failed.
const FAILED: u8 = 1;
/// The exit code for a configuration, or a command line, that can't be used.
const BAD_CONFIGURATION: u8 = 2;

/// Accounts for your app in one program.
///
/// Without a command it serves: the page and the JSON API on <http://127.0.0.1:8000>, the data in vestibule.db in this
/// folder. It needs no configuration; vestibule.toml in this folder, or environment variables, can change everything.
#[derive(Debug, Parser)]
#[command(
    name = "vestibule",
    version,
    after_help = "Examples:\n  \
        vestibule                                  serve on http://127.0.0.1:8000\n  \
        vestibule --port 8001                      serve on another port\n  \
        vestibule user add ann@example.org ann     create an account; asks for the password\n  \
        vestibule user list --json                 list all accounts, for programs\n  \
        DATABASE_URL=postgres://… vestibule        serve with PostgreSQL\n\n\
        For a server that runs as a service, name the folder and the files of its unit:\n  \
        vestibule -C /var/lib/vestibule --config /etc/vestibule.toml --env-file /etc/vestibule.env user list"
)]
pub struct Cli {
    /// The configuration file [default: vestibule.toml in this folder, if there is one]
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A file of environment variables, in the format of systemd. The environment itself overrides it
    #[arg(long, global = true, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// Run in this folder. Relative paths start there
    #[arg(long, short = 'C', global = true, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    #[command(flatten)]
    listening: Listening,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Where the server listens. Only commands that have to do with that take it.
#[derive(Clone, Copy, Debug, Default, Args)]
struct Listening {
    /// Listen on this port, in place of the one in server.address
    #[arg(long, short, value_name = "PORT")]
    port: Option<u16>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the page and the JSON API (what happens without a command)
    Serve(Listening),
    /// Manage accounts, whether a server is running or not
    #[command(subcommand)]
    User(user::UserCommand),
    /// Copy the database into a file, whether a server is running or not
    Backup(backup::Backup),
    /// Put a copy in the place of the database. Stop the server first. All sessions, links and access tokens end
    Restore(restore::Restore),
    /// End all sessions, links and access tokens, after a database was restored by other means
    Restored(restore::Restored),
    /// Make the database, or bring its tables up to date, and end
    Migrate,
    /// Say whether the configuration can be used, and end
    CheckConfig(Listening),
    /// Ask the running server whether it is alive (GET /healthz), and end with status 0 if it is
    Health(Listening),
}

impl Cli {
    /// Reads the command line.
    ///
    /// # Errors
    /// The exit code, after the help, the version, or what is wrong has been printed.
    pub fn read() -> Result<Self, ExitCode> {
        Self::try_parse().map_err(|told| match told.print() {
            Ok(()) => ExitCode::from(u8::try_from(told.exit_code()).unwrap_or(BAD_CONFIGURATION)),
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
        // On a thread of its own, which gives up root's rights. This one keeps them, for the files that were named to it.
        let joined = std::thread::scope(|scope| scope.spawn(|| self.work(&mut command)).join());
        let done = joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let outcome = done.and_then(|()| command.keep_files().map_err(|error| (FAILED, error)));
        outcome.map_or_else(|(code, error)| fail(code, &error), |()| ExitCode::SUCCESS)
    }

    fn go_to_folder(&self) -> Result<(), (u8, Failure)> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let name = folder.display();
        let words = |cause: io::Error| match cause.kind() {
            io::ErrorKind::NotFound => format!("the folder {name} doesn't exist: check what follows -C."),
            io::ErrorKind::NotADirectory => format!("{name} is no folder: check what follows -C."),
            kind => format!("the folder {name} can't be entered: {kind}."),
        };
        std::env::set_current_dir(folder).map_err(|cause| (BAD_CONFIGURATION, words(cause).into()))
    }

    /// Everything that a command does with the configuration and the database.
    fn work(&self, command: &mut Command) -> Result<(), (u8, Failure)> {
        let badly = |error: String| (BAD_CONFIGURATION, Failure::Message(error));
        let become_owner = |of: &Path| {
            let owned = if matches!(command, Command::Serve(_)) { Ok(()) } else { rights::become_owner_of(of) };
            owned.map_err(|error| (FAILED, Failure::Message(error)))
        };
        let variables = self.env_file.as_deref().map(env_file::read).transpose().map_err(badly)?;
        let folder = self.config.as_deref().map_or_else(|| PathBuf::from("."), folder_of);
        become_owner(&folder)?;
        let config = self
            .configuration(variables.into_iter().flatten(), command.port().or(self.listening.port))
            .map_err(badly)?;
        if let Some(database) = config.database.url.file() {
            become_owner(&folder_of(database))?;
        }
        let runtime = tokio::runtime::Runtime::new().map_err(|error| (FAILED, error.to_string().into()))?;
        runtime.block_on(command.run(config)).map_err(|error| (FAILED, error))
    }

    /// The configuration that the options name.
    fn configuration(
        &self,
        variables: impl Iterator<Item = (String, String)>,
        port: Option<u16>,
    ) -> Result<Config, String> {
        // What comes later counts.
        let variables = variables.chain(environment());
        let mut config = Config::load(self.config.as_deref(), variables).map_err(|error| error.to_string())?;
        if let Some(port) = port {
            config.server.address.set_port(port);
        }
        Ok(config)
    }
}

impl Command {
    /// The port that was written behind the command.
    const fn port(&self) -> Option<u16> {
        match self {
            Self::Serve(listening) | Self::CheckConfig(listening) | Self::Health(listening) => listening.port,
            _ => None,
        }
    }

    /// Opens what the operator named, with the operator's own rights.
    fn open_files(&mut self) -> Result<(), String> {
        match self {
            Self::Backup(backup) => backup.open_files(),
            Self::Restore(restore) => restore.open_files(),
            _ => Ok(()),
        }
    }

    /// Gives what was made its name, once it is whole.
    fn keep_files(self) -> Result<(), Failure> {
        match self {
            Self::Backup(backup) => backup.keep_files(),
            _ => Ok(()),
        }
    }

    async fn run(&mut self, config: Config) -> Result<(), Failure> {
        match self {
            Self::Serve(_) => {
                logging::start(&config.log);
                run::serve(config).await.map_err(|error| Failure::Message(error.to_string()))
            }
            Self::User(command) => command.clone().run(&config).await,
            Self::Backup(backup) => Ok(backup.run(&config).await?),
            Self::Restore(restore) => restore.run(&config).await,
            Self::Restored(restored) => restored.run(&config).await,
            Self::Migrate => migrate(&config).await,
            Self::CheckConfig(_) => check::report(&config),
            Self::Health(_) => health::check(config.server.address).map_err(Failure::Message),
        }
    }
}

async fn migrate(config: &Config) -> Result<(), Failure> {
    let parts = run::assemble_with_retries(config).await.map_err(|error| Failure::Message(error.to_string()))?;
    parts.service.close().await;
    print_line("The tables are up to date.")
}

/// The environment as text. A name that isn't text is none of ours; a value that isn't becomes one that nothing takes.
fn environment() -> impl Iterator<Item = (String, String)> {
    let text = |value: OsString| value.into_string().unwrap_or_else(|_| NOT_TEXT.to_owned());
    std::env::vars_os().filter_map(move |(name, value)| Some((name.into_string().ok()?, text(value))))
}

/// In place of a value that isn't text.
const NOT_TEXT: &str = "\0";

fn fail(code: u8, failure: &Failure) -> ExitCode {
    failure.tell();
    ExitCode::from(code)
}
