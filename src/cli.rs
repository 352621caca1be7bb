//! The command line: a door like the others, thin over the service.

mod user;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::server::{
    config::{Config, FILE_NAME},
    logging, run,
};

/// The exit code for a command that failed.
const FAILED: u8 = 1;
/// The exit code for a configuration, or a command line, that can't be used.
const BAD_CONFIGURATION: u8 = 2;

/// Accounts for your app in one program.
///
/// Without a command it serves: the page and the JSON API on <http://127.0.0.1:8000>, the data in vestibule.db in this
/// folder. It needs no configuration; Leptos.toml in this folder, or environment variables, can change everything.
#[derive(Debug, Parser)]
#[command(
    name = "vestibule",
    version,
    after_help = "Examples:\n  \
        vestibule                                  serve on http://127.0.0.1:8000\n  \
        vestibule user add ann@example.org ann     make an account; asks for the password\n  \
        vestibule user list                        tell all accounts\n  \
        DATABASE_URL=postgres://… vestibule        serve with PostgreSQL"
)]
pub struct Cli {
    /// The configuration file [default: Leptos.toml in this folder, if there is one]
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the page and the JSON API (what happens without a command)
    Serve,
    /// Manage accounts, whether a server is running or not
    #[command(subcommand)]
    User(user::UserCommand),
    /// Make the database, or bring its tables up to date, and end
    Migrate,
    /// Say whether the configuration can be used, and end
    CheckConfig,
}

impl Cli {
    /// Runs the command.
    pub async fn run(self) -> ExitCode {
        let config = match Config::load(self.config.as_deref(), environment()) {
            Ok(config) => config,
            Err(error) => return fail(BAD_CONFIGURATION, &error),
        };
        let outcome = match self.command.unwrap_or(Command::Serve) {
            Command::Serve => {
                logging::start(&config.log);
                run::serve(config).await.map_err(|error| error.to_string())
            }
            Command::User(command) => command.run(&config).await,
            Command::Migrate => match run::assemble(&config).await {
                Ok(parts) => {
                    parts.service.close().await;
                    println!("The tables are up to date.");
                    Ok(())
                }
                Err(error) => Err(error.to_string()),
            },
            Command::CheckConfig => {
                let file = self.config.unwrap_or_else(|| PathBuf::from(FILE_NAME));
                let source = if file.exists() { file.display().to_string() } else { "the defaults".to_owned() };
                println!("The configuration is good: {source}, database {:?}.", config.database.url);
                Ok(())
            }
        };
        outcome.map_or_else(|error| fail(FAILED, &error), |()| ExitCode::SUCCESS)
    }
}

/// The environment as text. A name that isn't text is none of ours; a value that isn't becomes one that nothing takes.
fn environment() -> impl Iterator<Item = (String, String)> {
    let text = |value: std::ffi::OsString| value.into_string().unwrap_or_else(|_| NOT_TEXT.to_owned());
    std::env::vars_os().filter_map(move |(name, value)| Some((name.into_string().ok()?, text(value))))
}

/// In place of a value that isn't text.
const NOT_TEXT: &str = "\0";

fn fail(code: u8, error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("vestibule: {error}");
    ExitCode::from(code)
}
