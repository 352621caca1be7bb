//! What a command prints, and how it fails. `println!` would panic when nobody can take what it prints.

use std::{
    fmt,
    io::{self, Write},
};

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// One line that says what is wrong and what to do.
    Told(String),
    /// What it had to say could not be written.
    Output(io::Error),
}

impl Failure {
    /// Tells it on standard error, which may be closed as well. A reader that has closed the pipe, as `head` does, is told nothing.
    pub fn tell(&self) {
        if !matches!(self, Self::Output(cause) if cause.kind() == io::ErrorKind::BrokenPipe) {
            drop(writeln!(io::stderr(), "vestibule: {self}"));
        }
    }
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self::Told(text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Told(text) => f.write_str(text),
            Self::Output(cause) => write!(f, "the output can't be written: {cause}"),
        }
    }
}

/// Prints a line.
///
/// # Errors
/// [`Failure::Output`].
pub fn print_line(line: &str) -> Result<(), Failure> {
    print_text(&format!("{line}\n"))
}

/// Prints lines that end in a line break.
///
/// # Errors
/// [`Failure::Output`].
pub fn print_text(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::Output)
}
