//! What an import did: a file with a line for each account, and a summary.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs::File,
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use crate::{
    cli::output::{full_path, in_one_line},
    service::imports::{ImportedRow, Note, RowOutcome},
    store::files::open_private,
};

/// How many names of the other system's staff are listed.
const MAX_STAFF: usize = 20;

/// The counts of an import, and the open file.
#[derive(Debug)]
pub struct Report {
    path: PathBuf,
    file: BufWriter<File>,
    outcomes: BTreeMap<RowOutcome, u64>,
    notes: BTreeMap<&'static str, u64>,
    staff: Vec<String>,
    groups_left_out: BTreeSet<String>,
}

impl Report {
    /// Creates the file, which only its owner may read. Replaces an earlier report.
    pub fn create(path: &Path) -> Result<Self, String> {
        let file = open_private(path, true).map_err(|cause| format!("{} can't be written: {cause}", path.display()))?;
        let (outcomes, notes, staff) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let (path, file) = (path.to_owned(), BufWriter::new(file));
        Ok(Self { path, file, outcomes, notes, staff, groups_left_out: BTreeSet::new() })
    }

    /// Adds an account.
    pub fn add(&mut self, row: &ImportedRow) -> Result<(), String> {
        *self.outcomes.entry(row.outcome).or_default() += 1;
        for note in &row.notes {
            *self.notes.entry(note.name()).or_default() += 1;
            match note {
                Note::WasStaff if self.staff.len() < MAX_STAFF => self.staff.extend(row.username.clone()),
                Note::GroupLeftOut { name } if self.groups_left_out.len() < MAX_STAFF => {
                    self.groups_left_out.insert(name.clone());
                }
                _ => {}
            }
        }
        let mut line = serde_json::to_string(row).map_err(|cause| cause.to_string())?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).map_err(|cause| self.unwritable(&cause))
    }

    /// Completes the file.
    pub fn flush(&mut self) -> Result<(), String> {
        self.file.flush().map_err(|cause| self.unwritable(&cause))
    }

    fn unwritable(&self, cause: &io::Error) -> String {
        format!("{} can't be written: {cause}", self.path.display())
    }

    /// How many accounts were left out.
    pub fn skipped(&self) -> u64 {
        self.outcomes.get(&RowOutcome::Skipped).copied().unwrap_or(0)
    }

    /// How many accounts were read.
    pub fn total(&self) -> u64 {
        self.outcomes.values().sum()
    }

    /// The summary, in lines.
    pub fn summary(&self, dry_run: bool) -> String {
        let mut text = String::new();
        if dry_run {
            text.push_str("This was a dry run. Nothing was changed.\n");
        }
        for outcome in RowOutcome::ALL {
            let count = self.outcomes.get(&outcome).copied().unwrap_or(0);
            let _ = writeln!(text, "{:<10}{count:>9}", outcome.name());
        }
        if !self.notes.is_empty() {
            text.push_str("Notes:\n");
        }
        for (name, count) in &self.notes {
            let _ = writeln!(text, "  {name:<16}{count:>9}  {}", meaning(name));
        }
        for name in &self.groups_left_out {
            let _ = writeln!(text, "The group {} was left out, because its name is not valid here.", in_one_line(name));
        }
        if !self.staff.is_empty() {
            text.push_str("These accounts administered the other site. They have no role here. To give one:\n");
            for name in &self.staff {
                let _ = writeln!(text, "  vestibule operator role {} admin", in_one_line(name));
            }
        }
        let _ = writeln!(text, "Each account has a line in {}.", full_path(&self.path));
        text
    }
}

/// What a note means, for the summary.
fn meaning(name: &str) -> &'static str {
    match name {
        "no_email" => "skipped: the account has no email",
        "email_invalid" => "skipped: the email is not valid here",
        "email_taken" => "skipped: another account of the other site has the same email",
        "exists" => "skipped: an account with this email was here before",
        "username_taken" => "skipped: no username is free",
        "service_account" => "skipped: the account belongs to a program",
        "anonymous" => "skipped: the user is anonymous there",
        "deleted" => "skipped: the user was deleted there",
        "unreadable" => "skipped: the line can't be read",
        "renamed" => "another username here; the owner can log in with the email",
        "no_password" => "the owner must choose a password",
        "disabled" => "disabled, as on the other site",
        "was_staff" => "no role here",
        "group_left_out" => "not in a group whose name is not valid here",
        "token_left_out" => "the token is not one of Django REST framework",
        _ => "",
    }
}
