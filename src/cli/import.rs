//! `vestibule import …`: accounts of another system. Runs in this process, or in the server that has the database open.

mod file;
mod keycloak;
mod kratos;
mod report;
mod streamlit;
mod supabase;

use std::{
    cmp::Reverse,
    collections::HashSet,
    fs::File,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, IsTerminal, Write as _},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand, ValueEnum};

use self::{
    file::{FileSource, Format, Row},
    report::Report,
};
use super::{
    output::{Failure, print_text},
    target::{Target, explain},
};
use crate::{
    domain::{email::Email, source_account::SourceAccount},
    server::config::Config,
    service::{
        admin::{Command, Reply},
        imports::{BATCH, DRY_BATCH, ImportOptions, ImportedRow},
    },
    store::{
        DatabaseUrl,
        django::{DjangoOptions, DjangoSource},
    },
};

/// The most accounts with a shared email or username that are held until the end, so that the right one gets it.
const MAX_HELD: usize = 100_000;

/// Import accounts.
#[derive(Debug, Args)]
pub struct Import {
    #[command(subcommand)]
    from: From,
    #[arg(skip)]
    files: Option<Files>,
}

/// The files that the operator named.
#[derive(Debug)]
struct Files {
    /// `None` if the accounts are in a database.
    source: Option<File>,
    report: Report,
}

/// The system that the accounts are in.
#[derive(Clone, Debug, Subcommand)]
enum From {
    /// Accounts of a Django site, from its database. The site may keep running
    Django {
        /// The database: sqlite:FILE, the path of a SQLite file, or <postgres://user:password@host/name>
        #[arg(long, value_name = "URL")]
        from: String,
        /// The table of the user model, if it can't be found out
        #[arg(long, value_name = "TABLE")]
        user_table: Option<String>,
        /// The column of the email, if it is not called email
        #[arg(long, value_name = "COLUMN")]
        email_column: Option<String>,
        /// The column of the username, if it is not called username
        #[arg(long, value_name = "COLUMN")]
        username_column: Option<String>,
        /// What becomes of the tokens of Django REST framework
        #[arg(long, value_enum, default_value_t = Tokens::Keep)]
        tokens: Tokens,
        /// How many days the tokens that are kept are valid
        #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=366))]
        token_days: u32,
        #[command(flatten)]
        common: Common,
    },
    /// Accounts in a CSV file. Its first line names the columns
    Csv {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Users of a Keycloak realm, in a file that `kc.sh export` wrote
    Keycloak {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Identities of Ory Kratos, in a file that its admin API returned with their passwords
    Kratos {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Users of Supabase, in a CSV file of the table auth.users
    Supabase {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Users in a configuration file of streamlit-authenticator
    StreamlitAuthenticator {
        /// The file, in YAML
        file: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Accounts in a file with a JSON object in each line
    Jsonl {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        common: Common,
    },
}

/// What becomes of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Tokens {
    /// They are valid here
    Keep,
    /// They are left out
    Drop,
}

/// Options for all systems.
#[derive(Clone, Debug, Args)]
struct Common {
    /// Change nothing, and report what would happen
    #[arg(long)]
    dry_run: bool,
    /// A name for the other system. Two systems of one kind need different names
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// The file for the report, which gets a line for each account
    #[arg(long, value_name = "FILE", default_value = "import-report.jsonl")]
    report: PathBuf,
    /// Send a mail to each new account without a password, so that its owner chooses one
    #[arg(long)]
    send_links: bool,
    /// Treat all emails as confirmed by their owners
    #[arg(long)]
    confirmed: bool,
}

impl From {
    const fn common(&self) -> &Common {
        match self {
            Self::Django { common, .. }
            | Self::Csv { common, .. }
            | Self::Keycloak { common, .. }
            | Self::Kratos { common, .. }
            | Self::Supabase { common, .. }
            | Self::StreamlitAuthenticator { common, .. }
            | Self::Jsonl { common, .. } => common,
        }
    }

    fn file(&self) -> Option<&Path> {
        match self {
            Self::Django { .. } => None,
            Self::Csv { file, .. }
            | Self::Keycloak { file, .. }
            | Self::Kratos { file, .. }
            | Self::Supabase { file, .. }
            | Self::StreamlitAuthenticator { file, .. }
            | Self::Jsonl { file, .. } => Some(file),
        }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Django { .. } => "django",
            Self::Csv { .. } => "csv",
            Self::Keycloak { .. } => "keycloak",
            Self::Kratos { .. } => "kratos",
            Self::Supabase { .. } => "supabase",
            Self::StreamlitAuthenticator { .. } => "streamlit-authenticator",
            Self::Jsonl { .. } => "jsonl",
        }
    }

    fn options(&self) -> ImportOptions {
        let token_days = match self {
            Self::Django { tokens: Tokens::Keep, token_days, .. } => Some(*token_days),
            _ => None,
        };
        let Common { dry_run, send_links, confirmed, .. } = *self.common();
        ImportOptions { dry_run, send_links, token_days, confirmed }
    }

    /// Opens the source at its beginning.
    async fn open(&self, file: Option<&File>) -> Result<Source, String> {
        if let Self::Django { from, user_table, email_column, username_column, .. } = self {
            let options = DjangoOptions {
                user_table: user_table.clone(),
                email_column: email_column.clone(),
                username_column: username_column.clone(),
            };
            let source = DjangoSource::open(&database(from)?, &options).await.map_err(|error| error.to_string())?;
            return Ok(Source::Django(Box::new(source)));
        }
        let file = file.ok_or("the file was not opened")?;
        match self {
            Self::Keycloak { .. } => Ok(Source::List(keycloak::read(file)?)),
            Self::Kratos { .. } => Ok(Source::List(kratos::read(file)?)),
            Self::Supabase { .. } => FileSource::open(file, Format::Supabase).map(Source::File),
            Self::StreamlitAuthenticator { .. } => Ok(Source::List(streamlit::read(file)?)),
            Self::Csv { .. } => FileSource::open(file, Format::Csv).map(Source::File),
            Self::Django { .. } | Self::Jsonl { .. } => FileSource::open(file, Format::JsonLines).map(Source::File),
        }
    }
}

/// The URL of a database, or the path of a SQLite file.
fn database(from: &str) -> Result<DatabaseUrl, String> {
    if !from.contains("://") && !from.starts_with("sqlite:") {
        return Ok(DatabaseUrl::Sqlite(PathBuf::from(from)));
    }
    DatabaseUrl::parse(from).map_err(|error| format!("--from: {error}"))
}

/// An open source of accounts.
enum Source {
    Django(Box<DjangoSource>),
    File(FileSource),
    List(Vec<Row>),
}

impl Source {
    /// Reads some accounts. An empty list is the end.
    async fn next_page(&mut self) -> Result<Vec<Row>, String> {
        match self {
            Self::Django(source) => {
                let page = source.next_page().await.map_err(|error| error.to_string())?;
                Ok(page.into_iter().map(Ok).collect())
            }
            Self::File(source) => source.next_page(500),
            Self::List(rows) => Ok(std::mem::take(rows)),
        }
    }

    async fn close(self) {
        if let Self::Django(source) = self {
            source.close().await;
        }
    }
}

/// What the first pass over a source finds: how many accounts there are, and which emails and usernames occur more than
/// once, as hashes. It takes 16 bytes for each account.
#[derive(Debug, Default)]
struct Survey {
    accounts: u64,
    shared: HashSet<u64>,
}

/// The hashes of an account's email and username, in their canonical forms.
fn keys(account: &SourceAccount) -> [u64; 2] {
    let hash = |kind: u8, key: &str| {
        let mut hasher = DefaultHasher::new();
        (kind, key).hash(&mut hasher);
        hasher.finish()
    };
    let email = Email::parse(&account.email);
    let email = email.as_ref().map_or_else(|_| account.id.clone(), |email| email.key().to_owned());
    let username = account.username.trim().to_lowercase();
    let username = if username.is_empty() { hash(2, &account.id) } else { hash(1, &username) };
    [hash(0, &email), username]
}

impl Survey {
    async fn of(mut source: Source) -> Result<Self, String> {
        let (mut hashes, mut accounts) = (Vec::new(), 0);
        loop {
            let page = source.next_page().await?;
            if page.is_empty() {
                break;
            }
            accounts += page.len() as u64;
            hashes.extend(page.iter().flatten().flat_map(keys));
        }
        source.close().await;
        hashes.sort_unstable();
        let shared = hashes.windows(2).filter_map(|pair| match pair {
            [one, other] if one == other => Some(*one),
            _ => None,
        });
        Ok(Self { accounts, shared: shared.collect() })
    }

    fn is_shared(&self, account: &SourceAccount) -> bool {
        keys(account).iter().any(|key| self.shared.contains(key))
    }
}

/// The order in which accounts with the same email or username get it: the one that logged in last, then the newest,
/// then the one with the largest key.
fn preference(account: &SourceAccount) -> impl Ord + use<> {
    (Reverse(account.last_login_at), Reverse(account.created_at), Reverse((account.id.len(), account.id.clone())))
}

impl Import {
    /// Opens the source's file and creates the report.
    pub fn open_files(&mut self) -> Result<(), String> {
        let open = |path: &Path| File::open(path).map_err(|cause| format!("{} can't be read: {cause}", path.display()));
        let source = self.from.file().map(open).transpose()?;
        self.files = Some(Files { source, report: Report::create(&self.from.common().report)? });
        Ok(())
    }

    /// Imports the accounts and prints a summary.
    pub async fn run(&mut self, config: &Config) -> Result<(), Failure> {
        let Files { source: file, report } = self.files.take().ok_or("the files were not opened".to_owned())?;
        // Read first, so that a source that can't be read opens no database.
        let survey = Survey::of(self.from.open(file.as_ref()).await?).await?;
        let source = self.from.open(file.as_ref()).await?;
        let target = Target::open(config).await?;
        let common = self.from.common();
        let mut run = Run {
            target,
            source: common.source.clone().unwrap_or_else(|| self.from.kind().to_owned()),
            options: self.from.options(),
            report,
            expected: survey.accounts,
            progress: io::stderr().is_terminal(),
        };
        let done = run.import(source, &survey).await;
        let Run { target, mut report, .. } = run;
        target.close().await;
        report.flush()?;
        done?;
        print_text(&report.summary(common.dry_run))?;
        match report.skipped() {
            0 => Ok(()),
            skipped => Err(Failure::Partial(format!("accounts that were skipped: {skipped}"))),
        }
    }
}

/// An import in progress.
struct Run {
    target: Target,
    source: String,
    options: ImportOptions,
    report: Report,
    expected: u64,
    /// Whether the progress is shown.
    progress: bool,
}

impl Run {
    async fn import(&mut self, mut source: Source, survey: &Survey) -> Result<(), Failure> {
        let (mut batch, mut held) = (Vec::new(), Vec::new());
        loop {
            let page = source.next_page().await?;
            if page.is_empty() {
                break;
            }
            for row in page {
                match row {
                    Ok(account) if survey.is_shared(&account) && held.len() < MAX_HELD => held.push(account),
                    Ok(account) => batch.push(account),
                    Err(skipped) => self.report.add(&skipped)?,
                }
                if batch.len() == BATCH {
                    self.send(std::mem::take(&mut batch)).await?;
                }
            }
        }
        source.close().await;
        self.send(batch).await?;
        held.sort_by_cached_key(preference);
        // A dry run rolls each batch back, so accounts that share an email must be in one.
        let most = if self.options.dry_run { DRY_BATCH } else { BATCH };
        for batch in held.chunks(most) {
            self.send(batch.to_vec()).await?;
        }
        if self.progress {
            drop(writeln!(io::stderr()));
        }
        Ok(())
    }

    /// Sends a batch, and adds its accounts to the report.
    async fn send(&mut self, accounts: Vec<SourceAccount>) -> Result<(), Failure> {
        if accounts.is_empty() {
            return Ok(());
        }
        let (source, options) = (self.source.clone(), self.options.clone());
        let rows: Vec<ImportedRow> = match self.target.ask(&Command::Import { source, options, accounts }).await? {
            Reply::Imported { rows } => rows,
            other => return Err(explain(other)),
        };
        for row in &rows {
            self.report.add(row)?;
        }
        if self.progress {
            drop(write!(io::stderr(), "\r{} of {} accounts", self.report.total(), self.expected));
        }
        Ok(())
    }
}
