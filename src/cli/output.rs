//! Output and errors of commands. `println!` isn't used because it panics when its output can't be written.

use std::{
    fmt,
    io::{self, Write},
    path::Path,
};

/// Replaces a control character.
const REPLACEMENT: &str = "\u{fffd}";

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// One line with the cause and the remedy, with or without a full stop at its end.
    Message(String),
    /// The same for a command that did its work and left something out.
    Partial(String),
    /// Standard output can't be written.
    Output(io::Error),
}

impl Failure {
    /// Prints the failure on standard error, which may be closed as well. Prints nothing if the reader closed the
    /// pipe, as `head` does.
    pub fn print(&self) {
        if !matches!(self, Self::Output(cause) if cause.kind() == io::ErrorKind::BrokenPipe) {
            let text = self.to_string();
            // The system's error messages have no full stop. Many failures end with one.
            let end = if text.ends_with('.') { "" } else { "." };
            drop(writeln!(io::stderr(), "vestibule: {}{end}", without_controls(&text)));
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
            Self::Message(text) | Self::Partial(text) => f.write_str(text),
            Self::Output(cause) => write!(f, "the output can't be written: {cause}"),
        }
    }
}

/// Makes a text safe to print on one line of a terminal. A manipulated database may hold control characters. They could
/// send commands to the terminal or fake further lines.
#[must_use]
pub fn in_one_line(text: &str) -> String {
    text.replace(char::is_control, REPLACEMENT)
}

/// An absolute path, safe to print on a terminal. A relative path may be ambiguous because of `-C`.
#[must_use]
pub fn full_path(path: &Path) -> String {
    in_one_line(&std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string())
}

fn without_controls(text: &str) -> String {
    text.replace(|c: char| c.is_control() && c != '\n', REPLACEMENT)
}

/// Prints a line.
pub fn print_line(line: &str) -> Result<(), Failure> {
    print_text(&(in_one_line(line) + "\n"))
}

/// Prints lines that end in a line break. Pass values from the database through [`in_one_line`] first.
pub fn print_text(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(without_controls(text).as_bytes()).and_then(|()| out.flush()).map_err(Failure::Output)
}
