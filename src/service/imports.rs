//! Importing accounts from another system.
//!
//! The command line reads the other system and sends its accounts in batches. Each batch is checked here and stored in
//! one transaction.

mod facts;
mod names;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(super) use self::facts::FactsCache;
use super::{Error, Service, entropy::new_id};
use crate::{
    domain::{
        email::Email,
        event::Initiator,
        group_name::GroupName,
        source_account::SourceAccount,
        stored_hash::{ForeignHash, StoredHash},
        time::Timestamp,
        token::Token,
        token_name::TokenName,
        token_scope::TokenScope,
    },
    error::AppError,
    store::{ImportBatch, ImportOutcome, ImportedAccount, MailKind, NewAccessToken},
};

/// The most accounts in a batch. The number is small, so that a transaction is short on a distant database too.
pub const BATCH: usize = 100;
/// The most accounts of a dry run in one transaction. It is rolled back, so it waits for no disk.
pub const DRY_BATCH: usize = 1000;
/// The longest name of a system, in bytes.
const MAX_SOURCE: usize = 64;

/// How accounts are imported.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ImportOptions {
    /// Change nothing, and report the same.
    pub dry_run: bool,
    /// Send a link to choose a password to each new account without one.
    pub send_links: bool,
    /// How many days imported tokens are valid. Without a number, they are left out.
    pub token_days: Option<u32>,
    /// Treat all emails as confirmed.
    pub confirmed: bool,
}

/// What happened to an account of the other system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedRow {
    /// The account's key there.
    pub source_id: String,
    /// The email there.
    pub email: String,
    /// What was done.
    pub outcome: RowOutcome,
    /// The username here, if the account is new.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub username: Option<String>,
    /// What is different here, and why.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub notes: Vec<Note>,
}

/// What was done with an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowOutcome {
    /// It is new.
    Imported,
    /// It was imported before, and was brought up to date.
    Updated,
    /// It was imported before, and its owner has logged in since. Only groups were added.
    Kept,
    /// Nothing has changed since the last import.
    Unchanged,
    /// It was left out. The notes say why.
    Skipped,
}

impl RowOutcome {
    /// All of them, in the order of the summary.
    pub const ALL: [Self; 5] = [Self::Imported, Self::Updated, Self::Kept, Self::Unchanged, Self::Skipped];

    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Imported => "imported",
            Self::Updated => "updated",
            Self::Kept => "kept",
            Self::Unchanged => "unchanged",
            Self::Skipped => "skipped",
        }
    }
}

/// What is different about an imported account, or why it was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields' names describe them")]
pub enum Note {
    /// It has no email.
    NoEmail,
    /// Its email is not valid here.
    EmailInvalid { problem: String },
    /// Another account of the same system has the email, in another spelling perhaps.
    EmailTaken,
    /// An account that was not imported from that system has the email.
    Exists,
    /// No username for it is free.
    UsernameTaken,
    /// It belongs to a program.
    ServiceAccount,
    /// It was created without an email or a login.
    Anonymous,
    /// It was deleted there.
    Deleted,
    /// The source has no complete account here.
    Unreadable { reason: String },
    /// Its username is another one here.
    Renamed { from: String },
    /// It has no password here.
    NoPassword { reason: String },
    /// It is disabled, as it was there.
    Disabled,
    /// It could administer that system. It has no role here.
    WasStaff,
    /// It doesn't belong to a group here, because the name is not valid.
    GroupLeftOut { name: String },
    /// Its token was left out, because it is not one of Django REST framework.
    TokenLeftOut,
}

impl Note {
    /// The name in reports.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NoEmail => "no_email",
            Self::EmailInvalid { .. } => "email_invalid",
            Self::EmailTaken => "email_taken",
            Self::Exists => "exists",
            Self::UsernameTaken => "username_taken",
            Self::ServiceAccount => "service_account",
            Self::Anonymous => "anonymous",
            Self::Deleted => "deleted",
            Self::Unreadable { .. } => "unreadable",
            Self::Renamed { .. } => "renamed",
            Self::NoPassword { .. } => "no_password",
            Self::Disabled => "disabled",
            Self::WasStaff => "was_staff",
            Self::GroupLeftOut { .. } => "group_left_out",
            Self::TokenLeftOut => "token_left_out",
        }
    }
}

impl ImportedRow {
    /// An account that was left out.
    #[must_use]
    pub fn skipped(source_id: String, email: String, note: Note) -> Self {
        Self { source_id, email, outcome: RowOutcome::Skipped, username: None, notes: vec![note] }
    }
}

/// The part of an account that was checked, and the notes about it.
struct Planned {
    source: SourceAccount,
    notes: Vec<Note>,
}

impl Service {
    /// Imports a batch of accounts of one system, and reports what happened to each. Returns [`AppError::BadRequest`] for
    /// a batch that is too large, or for a system without a valid name.
    pub(super) async fn import_accounts(
        &self,
        by: Initiator,
        source: &str,
        options: &ImportOptions,
        accounts: Vec<SourceAccount>,
    ) -> Result<Vec<ImportedRow>, Error> {
        let most = if options.dry_run { DRY_BATCH } else { BATCH };
        if source.is_empty() || source.len() > MAX_SOURCE || accounts.len() > most {
            return Err(AppError::BadRequest.into());
        }
        let stamp = self.stamp(by);
        let now = stamp.at;
        let (mut rows, mut planned, mut batch) = (Vec::new(), Vec::new(), Vec::new());
        for account in accounts {
            let mut notes = Vec::new();
            match self.plan(options, &account, now, &mut notes) {
                Ok(plan) => {
                    batch.push(plan);
                    planned.push(Planned { source: account, notes });
                }
                Err(note) => rows.push(ImportedRow::skipped(account.id, account.email, note)),
            }
        }
        let (id, dry_run) = (new_id(&*self.entropy, now), options.dry_run);
        let batch = ImportBatch { source: source.to_owned(), id, accounts: batch, dry_run, stamp };
        let outcomes = self.store.import(batch).await?;
        if !dry_run {
            self.import_facts.forget();
            self.outbox.notify_worker();
        }
        rows.extend(planned.into_iter().zip(outcomes).map(|(planned, outcome)| report(planned, outcome)));
        let imported = rows.iter().filter(|row| row.outcome == RowOutcome::Imported).count();
        tracing::info!(source, dry_run, accounts = rows.len(), imported, "accounts imported by operator");
        Ok(rows)
    }

    /// Checks an account against the rules of this server. An error is the reason to leave it out.
    fn plan(
        &self,
        options: &ImportOptions,
        source: &SourceAccount,
        now: Timestamp,
        notes: &mut Vec<Note>,
    ) -> Result<ImportedAccount, Note> {
        if source.email.trim().is_empty() {
            return Err(Note::NoEmail);
        }
        let email =
            Email::parse(&source.email).map_err(|problem| Note::EmailInvalid { problem: problem.to_string() })?;
        let usernames = names::candidates(source);
        let password = match StoredHash::import(&source.password) {
            Ok(hash) => Some(hash),
            Err(reason) => {
                notes.push(Note::NoPassword { reason: reason.name().to_owned() });
                None
            }
        };
        if source.disabled {
            notes.push(Note::Disabled);
        }
        if source.staff {
            notes.push(Note::WasStaff);
        }
        let mut groups = Vec::new();
        for name in &source.groups {
            match GroupName::parse(name) {
                Ok(group) => groups.push((group, new_id(&*self.entropy, now))),
                Err(_) => notes.push(Note::GroupLeftOut { name: name.clone() }),
            }
        }
        // Identifiers sort by age, so an account has its place among those of this server. No account is from the future.
        let created_at = source.created_at.map_or(now, Timestamp::from_millis).min(now).max(Timestamp::from_millis(0));
        let verified = source.email_verified || options.confirmed;
        // With other options, more may be imported.
        let token = options.token_days.and(source.token.clone());
        let digest = SourceAccount { token, email_verified: verified, ..source.clone() }.digest();
        let token = self.plan_token(options, source, now, notes);
        let link = self.plan_link(options, source, password.as_ref(), now);
        Ok(ImportedAccount {
            source_id: source.id.clone(),
            digest,
            new_id: new_id(&*self.entropy, created_at),
            email,
            usernames,
            password,
            created_at,
            verified,
            disabled: source.disabled,
            groups,
            token,
            link,
        })
    }

    /// Makes a personal access token of a token of Django REST framework, which has the rights of its owner.
    fn plan_token(
        &self,
        options: &ImportOptions,
        source: &SourceAccount,
        now: Timestamp,
        notes: &mut Vec<Note>,
    ) -> Option<NewAccessToken> {
        let (key, days) = (source.token.as_deref()?, options.token_days?);
        let (Some(token), Ok(name)) = (Token::parse_django(key), TokenName::parse("From Django")) else {
            notes.push(Note::TokenLeftOut);
            return None;
        };
        Some(NewAccessToken {
            id: new_id(&*self.entropy, now),
            token_hash: token.hash(),
            name,
            scope: TokenScope::Full,
            created_at: now,
            expires_at: now.plus(Duration::from_hours(24) * days),
        })
    }

    fn plan_link(
        &self,
        options: &ImportOptions,
        source: &SourceAccount,
        password: Option<&ForeignHash>,
        now: Timestamp,
    ) -> Option<crate::store::NewMail> {
        let wanted = options.send_links && password.is_none() && !source.disabled;
        wanted.then(|| self.outbox.notice_at(MailKind::Imported, now)).flatten()
    }
}

fn report(planned: Planned, outcome: ImportOutcome) -> ImportedRow {
    let Planned { source: SourceAccount { id: source_id, email, username: before, .. }, mut notes } = planned;
    let (outcome, username, note) = match outcome {
        ImportOutcome::Imported(name) => {
            let renamed = !before.is_empty() && before.trim() != name;
            (RowOutcome::Imported, Some(name), renamed.then_some(Note::Renamed { from: before }))
        }
        ImportOutcome::Updated => (RowOutcome::Updated, None, None),
        ImportOutcome::Kept => (RowOutcome::Kept, None, None),
        ImportOutcome::Unchanged => (RowOutcome::Unchanged, None, None),
        ImportOutcome::EmailTaken => (RowOutcome::Skipped, None, Some(Note::EmailTaken)),
        ImportOutcome::Exists => (RowOutcome::Skipped, None, Some(Note::Exists)),
        ImportOutcome::UsernameTaken => (RowOutcome::Skipped, None, Some(Note::UsernameTaken)),
    };
    if outcome == RowOutcome::Skipped {
        notes.clear();
    }
    notes.splice(0..0, note);
    ImportedRow { source_id, email, outcome, username, notes }
}
