//! The program: reads the command line and runs the command.

use std::process::ExitCode;

use vestibule::cli::Cli;

fn main() -> ExitCode {
    match Cli::read() {
        Ok(cli) => cli.run(),
        Err(code) => code,
    }
}
