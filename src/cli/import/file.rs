//! Accounts in a file: CSV, JSON lines or JSON.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek as _, SeekFrom},
};

use serde::{Deserialize, de::DeserializeOwned};

use super::supabase;
use crate::{
    domain::{source_account::SourceAccount, time::Timestamp},
    service::{
        clock::{Clock as _, SystemClock},
        imports::{ImportedRow, Note},
    },
};

/// The longest line, in bytes. A quoted field of CSV may continue on the next line.
const MAX_LINE: usize = 1 << 20;
/// The largest file of JSON, in bytes. It is held in memory.
const MAX_JSON: u64 = 512 << 20;

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// With the names of the columns in the first line.
    Csv,
    /// The same, with the columns of Supabase.
    Supabase,
    /// A JSON object in each line.
    JsonLines,
}

/// An account, or the reason why there is none at its place in the file.
pub type Row = Result<SourceAccount, ImportedRow>;

/// Reads accounts from a file.
pub enum FileSource {
    Csv(Box<CsvSource>),
    JsonLines { lines: BufReader<LineLimit<File>>, number: u64 },
}

/// The lines of a CSV file.
pub struct CsvSource {
    reader: csv::Reader<LineLimit<File>>,
    headers: csv::StringRecord,
    is_supabase: bool,
}

impl CsvSource {
    fn row(&self, record: &csv::StringRecord) -> Row {
        if self.is_supabase {
            return supabase::row(&self.headers, record, SystemClock.now());
        }
        let account = Fields::of_record(&self.headers, record).into_account();
        account.map_err(|reason| unreadable(line_of(record.position()), reason))
    }
}

fn line_of(at: Option<&csv::Position>) -> u64 {
    at.map_or(0, csv::Position::line)
}

/// The fields of an account. The columns of CSV have the same names.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    email: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password_hash: String,
    #[serde(default)]
    created_at: String,
    #[serde(default)]
    last_login_at: String,
    #[serde(default)]
    email_verified: Flag,
    #[serde(default)]
    disabled: Flag,
    #[serde(default)]
    staff: Flag,
    #[serde(default)]
    groups: Groups,
    #[serde(default)]
    external_id: String,
}

/// A boolean of JSON, or one of the words that spreadsheets and databases write.
#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Flag {
    Bool(bool),
    Number(u8),
    Word(String),
    #[default]
    Missing,
}

/// An array of JSON, or names with semicolons between them.
#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Groups {
    Names(Vec<String>),
    Joined(String),
    #[default]
    Missing,
}

impl Flag {
    fn read(&self, name: &str) -> Result<bool, String> {
        match self {
            Self::Bool(flag) => Ok(*flag),
            Self::Number(0) | Self::Missing => Ok(false),
            Self::Number(1) => Ok(true),
            Self::Word(word) => match word.trim().to_ascii_lowercase().as_str() {
                "" | "false" | "f" | "no" | "n" | "0" => Ok(false),
                "true" | "t" | "yes" | "y" | "1" => Ok(true),
                _ => Err(format!("{name} is neither true nor false")),
            },
            Self::Number(_) => Err(format!("{name} is neither true nor false")),
        }
    }
}

impl Fields {
    fn of_record(headers: &csv::StringRecord, record: &csv::StringRecord) -> Self {
        let text = |name: &str| {
            let place = headers.iter().position(|header| header == name);
            place.and_then(|place| record.get(place)).unwrap_or_default().to_owned()
        };
        Self {
            email: text("email"),
            username: text("username"),
            password_hash: text("password_hash"),
            created_at: text("created_at"),
            last_login_at: text("last_login_at"),
            email_verified: Flag::Word(text("email_verified")),
            disabled: Flag::Word(text("disabled")),
            staff: Flag::Word(text("staff")),
            groups: Groups::Joined(text("groups")),
            external_id: text("external_id"),
        }
    }

    fn into_account(self) -> Result<SourceAccount, String> {
        let time = |name: &str, text: &str| match text.trim() {
            "" => Ok(None),
            text => match Timestamp::parse(text) {
                Some(time) => Ok(Some(time.as_millis())),
                None => Err(format!("{name} is not a time such as 2026-11-27T09:30:00Z")),
            },
        };
        let groups = match self.groups {
            Groups::Names(names) => names,
            Groups::Joined(names) => names.split(';').map(|name| name.trim().to_owned()).collect(),
            Groups::Missing => Vec::new(),
        };
        let email = unescaped(self.email);
        // Without a key of its own, an account is known by its email.
        let id = if self.external_id.is_empty() { email.trim().to_lowercase() } else { self.external_id };
        Ok(SourceAccount {
            id,
            email,
            username: unescaped(self.username),
            password: self.password_hash,
            created_at: time("created_at", &self.created_at)?,
            last_login_at: time("last_login_at", &self.last_login_at)?,
            email_verified: self.email_verified.read("email_verified")?,
            disabled: self.disabled.read("disabled")?,
            staff: self.staff.read("staff")?,
            groups: groups.into_iter().filter(|name| !name.is_empty()).map(unescaped).collect(),
            token: None,
        })
    }
}

/// Removes the apostrophe that exports put before a text that a spreadsheet would run as a formula.
fn unescaped(text: String) -> String {
    match text.strip_prefix('\'') {
        Some(rest) if rest.starts_with(['=', '+', '-', '@']) => rest.to_owned(),
        _ => text,
    }
}

fn unreadable(line: u64, reason: String) -> ImportedRow {
    ImportedRow::skipped(format!("line {line}"), String::new(), Note::Unreadable { reason })
}

impl FileSource {
    /// Reads a file from its beginning.
    pub fn open(file: &File, format: Format) -> Result<Self, String> {
        let unreadable = |cause: io::Error| format!("the file can't be read: {cause}");
        let mut file = file.try_clone().map_err(unreadable)?;
        file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
        let limited = LineLimit { inner: file, line: 0 };
        Ok(match format {
            Format::Csv | Format::Supabase => {
                let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::Headers).from_reader(limited);
                let headers = reader.headers().map_err(|cause| format!("the file can't be read: {cause}"))?.clone();
                let is_supabase = format == Format::Supabase;
                if is_supabase { supabase::check_columns(&headers) } else { check_columns(&headers) }?;
                Self::Csv(Box::new(CsvSource { reader, headers, is_supabase }))
            }
            Format::JsonLines => Self::JsonLines { lines: BufReader::new(limited), number: 0 },
        })
    }

    /// Reads at most `most` accounts. An empty list is the end.
    pub fn next_page(&mut self, most: usize) -> Result<Vec<Row>, String> {
        let mut rows = Vec::new();
        while rows.len() < most
            && let Some(row) = self.next_row()?
        {
            rows.push(row);
        }
        Ok(rows)
    }

    fn next_row(&mut self) -> Result<Option<Row>, String> {
        let failed = |cause: &dyn std::fmt::Display| format!("the file can't be read: {cause}");
        match self {
            Self::Csv(source) => {
                let mut record = csv::StringRecord::new();
                match source.reader.read_record(&mut record) {
                    Ok(false) => Ok(None),
                    Ok(true) => Ok(Some(source.row(&record))),
                    Err(cause) if matches!(cause.kind(), csv::ErrorKind::Io(_)) => Err(failed(&cause)),
                    Err(cause) => Ok(Some(Err(unreadable(line_of(cause.position()), csv_problem(&cause))))),
                }
            }
            Self::JsonLines { lines, number } => loop {
                let mut line = Vec::new();
                if lines.read_until(b'\n', &mut line).map_err(|cause| failed(&cause))? == 0 {
                    return Ok(None);
                }
                *number += 1;
                if line.trim_ascii().is_empty() {
                    continue;
                }
                let fields: Result<Fields, _> = serde_json::from_slice(&line);
                let row = fields.map_err(|cause| json_problem(&cause)).and_then(Fields::into_account);
                return Ok(Some(row.map_err(|reason| unreadable(*number, reason))));
            },
        }
    }
}

/// Reads a whole file of JSON. `what` is what it should be.
pub fn read_json<T: DeserializeOwned>(file: &File, what: &str) -> Result<T, String> {
    let unreadable = |cause: io::Error| format!("the file can't be read: {cause}");
    let mut file = file.try_clone().map_err(unreadable)?;
    file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.len() > MAX_JSON {
        return Err("the file is larger than 512 MiB; export the accounts into several files".to_owned());
    }
    // Without the cause, which may quote a password hash.
    serde_json::from_reader(BufReader::new(file.take(MAX_JSON)))
        .map_err(|cause| format!("the file is no {what} (line {})", cause.line()))
}

/// Refuses a column that would be ignored. It may be misspelled.
fn check_columns(headers: &csv::StringRecord) -> Result<(), String> {
    const KNOWN: [&str; 10] = [
        "email",
        "username",
        "password_hash",
        "created_at",
        "last_login_at",
        "email_verified",
        "disabled",
        "staff",
        "groups",
        "external_id",
    ];
    let known = KNOWN.join(", ");
    if let Some(other) = headers.iter().find(|name| !KNOWN.contains(name)) {
        return Err(format!("the first line names the unknown column {other:?}; the columns are {known}"));
    }
    if !headers.iter().any(|name| name == "email") {
        return Err(format!("the first line names no column email; the columns are {known}"));
    }
    Ok(())
}

fn csv_problem(cause: &csv::Error) -> String {
    match cause.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("there are {len} fields instead of {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "it is not UTF-8".to_owned(),
        _ => "a field can't be read".to_owned(),
    }
}

fn json_problem(cause: &serde_json::Error) -> String {
    if cause.is_data() { "a field is missing, unknown or of another type" } else { "it is not a JSON object" }
        .to_owned()
}

/// A reader that fails at a line that is too long, which would be held in memory.
#[derive(Debug)]
pub struct LineLimit<R> {
    inner: R,
    /// Bytes since the last line break.
    line: usize,
}

impl<R: Read> Read for LineLimit<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        for byte in buffer.iter().take(read) {
            self.line = if *byte == b'\n' { 0 } else { self.line + 1 };
            if self.line > MAX_LINE {
                return Err(io::Error::other("a line is longer than 1 MiB"));
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn rows(format: Format, text: &str) -> Result<Vec<Row>, String> {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        FileSource::open(&file, format)?.next_page(100)
    }

    fn reasons(rows: &[Row]) -> Vec<String> {
        let reason = |row: &Row| row.as_ref().err().map(|row| format!("{}: {:?}", row.source_id, row.notes));
        rows.iter().filter_map(reason).collect()
    }

    #[test]
    fn both_formats_give_the_same_accounts() {
        let csv = "email,username,password_hash,created_at,email_verified,disabled,groups,external_id\n\
                   ann@example.org,ann,!,2026-11-27T09:30:00Z,yes,0,editors; night,7\n\
                   '=1+1@example.org,,,,,TRUE,,\n";
        let json = r#"{"email":"ann@example.org","username":"ann","password_hash":"!","created_at":"2026-11-27T09:30:00Z","email_verified":true,"groups":["editors","night"],"external_id":"7"}

{"email":"=1+1@example.org","disabled":1}
"#;
        let parsed = rows(Format::Csv, csv).expect("a file");
        assert_eq!(rows(Format::JsonLines, json).expect("a file"), parsed);
        let ann = parsed.first().and_then(|row| row.as_ref().ok()).expect("an account");
        assert_eq!((ann.id.as_str(), ann.created_at, ann.groups.len()), ("7", Some(1_795_771_800_000), 2));
        let other = parsed.get(1).and_then(|row| row.as_ref().ok()).expect("an account");
        assert_eq!((other.id.as_str(), other.disabled), ("=1+1@example.org", true));
    }

    #[test]
    fn a_broken_line_is_reported_and_the_others_are_read() {
        let csv = "email,disabled\na@example.org,0\nb@example.org\nc@example.org,perhaps\nd@example.org,1\n";
        let parsed = rows(Format::Csv, csv).expect("a file");
        assert_eq!((parsed.len(), reasons(&parsed).len()), (4, 2), "{:?}", reasons(&parsed));
        let json =
            "{\"email\":\"a@example.org\"}\n{\"email\":1}\nnonsense\n{\"mail\":\"x\"}\n{\"email\":\"b@example.org\"}\n";
        let parsed = rows(Format::JsonLines, json).expect("a file");
        assert_eq!((parsed.len(), reasons(&parsed).len()), (5, 3), "{:?}", reasons(&parsed));
    }

    #[test]
    fn an_unknown_column_and_an_endless_line_stop_the_import() {
        let unknown = rows(Format::Csv, "email,pasword_hash\n").expect_err("refused");
        assert!(unknown.contains("pasword_hash"), "{unknown}");
        assert!(rows(Format::Csv, "username\n").is_err());
        let endless = format!("{{\"email\":\"{}", "a".repeat(MAX_LINE));
        for format in [Format::JsonLines, Format::Csv] {
            let refused = rows(format, &endless).expect_err("refused");
            assert!(refused.contains("longer than 1 MiB"), "{refused}");
        }
    }
}
