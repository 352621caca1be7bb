//! The program: reads the command line and runs the command.

use std::process::ExitCode;

use clap::Parser;
use vestibule::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    Cli::parse().run().await
}
