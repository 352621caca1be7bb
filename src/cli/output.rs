//! What a command prints, and how it fails. `println!` would panic when nobody can take what it prints.

use std::{
    fmt,
    io::{self, Write},
    path::Path,
};

/// What stands for a control character.
const REPLACEMENT: &str = "\u{fffd}";

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// One line that says what is wrong and what to do.
    Message(String),
    /// What it had to say could not be written.
    Output(io::Error),
}

impl Failure {
    /// Tells it on standard error, which may be closed as well. A reader that has closed the pipe, as `head` does, is told nothing.
    pub fn tell(&self) {
        if !matches!(self, Self::Output(cause) if cause.kind() == io::ErrorKind::BrokenPipe) {
            drop(writeln!(io::stderr(), "vestibule: {}", without_controls(&self.to_string())));
        }
    }
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self::Message(text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(text) => f.write_str(text),
            Self::Output(cause) => write!(f, "the output can't be written: {cause}"),
        }
    }
}

/// A text as a terminal can show it in one line. A database that was tampered with may hold control characters, and they could
/// give commands to the terminal, or pass for other lines.
#[must_use]
pub fn in_one_line(text: &str) -> String {
    text.replace(char::is_control, REPLACEMENT)
}

/// A path from the root on, as a terminal can show it: what a command is told by may be a path in another folder.
#[must_use]
pub fn full_path(path: &Path) -> String {
    in_one_line(&std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string())
}

fn without_controls(text: &str) -> String {
    text.replace(|c: char| c.is_control() && c != '\n', REPLACEMENT)
}

/// Prints a line.
///
/// # Errors
/// [`Failure::Output`].
pub fn print_line(line: &str) -> Result<(), Failure> {
    print_text(&(in_one_line(line) + "\n"))
}

/// Prints lines that end in a line break. What comes from a database belongs through [`in_one_line`] first.
///
/// # Errors
/// [`Failure::Output`].
pub fn print_text(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(without_controls(text).as_bytes()).and_then(|()| out.flush()).map_err(Failure::Output)
}
