//! The program: reads the command line and runs the command.

use std::process::ExitCode;

use vestibule::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::read() {
        Ok(cli) => cli.run().await,
        Err(code) => code,
    }
}
