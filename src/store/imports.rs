//! Imported accounts.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use super::{
    Error, MailKind, NewAccessToken, NewMail, Store,
    access::{confirm_email, end_access},
    begin::DURABLE,
    events::{Event, record},
    mail::{LONGEST_WAIT, enqueue_mail},
    tx::{Conn, Tx, values},
};
use crate::domain::{
    email::Email,
    event::{EventName, Stamp, Subject},
    group_name::GroupName,
    stored_hash::{ForeignHash, NO_PASSWORD, OWN_PREFIX, StoredHash},
    time::Timestamp,
    username::Username,
};

/// What is known about imported accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportFacts {
    /// The most expensive hashes of other systems that accounts may still have, without salts and outputs.
    pub foreign: Vec<ForeignHash>,
    /// Until when imported tokens of Django REST framework may be valid, if there were some.
    pub django_tokens_until: Option<Timestamp>,
}

/// An account to import.
#[derive(Debug)]
#[expect(missing_docs, reason = "some fields need no more than their name")]
pub struct ImportedAccount {
    /// The account's key in the other system.
    pub source_id: String,
    /// The digest of everything that is imported.
    pub digest: [u8; 32],
    /// The account's id if it is new: a UUID, version 7.
    pub new_id: String,
    pub email: Email,
    /// The usernames that it may have, the preferred one first.
    pub usernames: Vec<Username>,
    /// `None` imports the account without a password.
    pub password: Option<ForeignHash>,
    pub created_at: Timestamp,
    pub verified: bool,
    pub disabled: bool,
    /// With the ids that new groups would get.
    pub groups: Vec<(GroupName, String)>,
    /// A token of Django REST framework.
    pub token: Option<NewAccessToken>,
    /// The mail with a link to choose a password, if the account is new and has none.
    pub link: Option<NewMail>,
}

/// A batch of accounts of one system.
#[derive(Debug)]
#[expect(missing_docs, reason = "most fields need no more than their name")]
pub struct ImportBatch {
    /// The name of the system.
    pub source: String,
    /// An id of this batch.
    pub id: String,
    pub accounts: Vec<ImportedAccount>,
    /// Whether the transaction is rolled back.
    pub dry_run: bool,
    /// The stamp of the events. Each account and each new group has a number of its own.
    pub stamp: Stamp,
}

/// What happened to an account of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportOutcome {
    /// A new account has this username.
    Imported(String),
    /// The account was imported before, and was changed.
    Updated,
    /// The account was imported before, and its owner has logged in since. Only groups were added.
    Kept,
    /// Nothing has changed since the last import.
    Unchanged,
    /// Another account of the same system has the email.
    EmailTaken,
    /// An account that was not imported from this system has the email.
    Exists,
    /// None of the usernames is free.
    UsernameTaken,
}

/// The fact that names the hashes. The first line is the id of the latest batch with one of them.
const FOREIGN_HASHES: &str = "foreign_hashes";
const DJANGO_TOKENS: &str = "django_tokens_until";
const SELECT_FACT: &str = "SELECT value FROM server_facts WHERE name = $1";
const SET_FACT: &str = "INSERT INTO server_facts (name, value) VALUES ($1, $2) \
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";
const SELECT_FOREIGN: &str = "SELECT id FROM users \
    WHERE password_hash <> '!' AND password_hash NOT LIKE '$argon2id$%' LIMIT 1";

/// The interval between two mails with links, in milliseconds. Mail servers limit new senders.
const LINK_INTERVAL: i64 = 2000;

/// An account that was imported before.
#[derive(sqlx::FromRow)]
struct Known {
    user_id: String,
    hash_seen: Vec<u8>,
    disabled_seen: bool,
    token_seen: Vec<u8>,
    password_hash: String,
    last_login_at: Option<i64>,
    email_verified_at: Option<i64>,
    disabled_at: Option<i64>,
    role: Option<String>,
}

impl Known {
    /// Whether the account is used here, so that an import must not change it.
    fn is_in_use(&self) -> bool {
        self.last_login_at.is_some() || self.role.is_some()
    }
}

async fn fact(conn: &mut Conn<'_>, name: &str) -> Result<Option<String>, Error> {
    let found: Option<(String,)> = conn.fetch_optional(SELECT_FACT, values![name]).await?;
    Ok(found.map(|(value,)| value))
}

/// The hashes in the fact [`FOREIGN_HASHES`].
fn hashes_of(fact: &str) -> impl Iterator<Item = ForeignHash> {
    fact.lines().skip(1).filter_map(|line| match StoredHash::parse(line) {
        Some(StoredHash::Foreign(hash)) => Some(hash),
        _ => None,
    })
}

/// Notes that there are hashes of other systems. The new id of the batch keeps another server from deleting the fact.
async fn note_foreign_hashes(tx: &mut Tx<'_>, batch: &ImportBatch) -> Result<(), Error> {
    let new: Vec<ForeignHash> = batch.accounts.iter().filter_map(|account| account.password.clone()).collect();
    if new.is_empty() {
        return Ok(());
    }
    let before = fact(tx, FOREIGN_HASHES).await?.unwrap_or_default();
    let mut text = batch.id.clone();
    for hash in ForeignHash::most_expensive(hashes_of(&before).chain(new)) {
        text.push('\n');
        text.push_str(&hash.to_string());
    }
    tx.execute(SET_FACT, values![FOREIGN_HASHES, &text]).await.map(drop)
}

async fn note_django_tokens(tx: &mut Tx<'_>, batch: &ImportBatch) -> Result<(), Error> {
    let ends = batch.accounts.iter().filter_map(|account| account.token.as_ref()).map(|token| token.expires_at);
    let last = ends.max();
    let before = fact(tx, DJANGO_TOKENS).await?.and_then(|text| text.parse().ok()).map(Timestamp::from_millis);
    if let Some(until) = last.filter(|until| before.is_none_or(|before| before < *until)) {
        tx.execute(SET_FACT, values![DJANGO_TOKENS, &until.as_millis().to_string()]).await?;
    }
    Ok(())
}

/// Finds the groups of a batch, and creates those that are missing, in the order of their names. Another batch then
/// locks them in the same order. Returns their ids by their keys.
async fn ensure_groups(tx: &mut Tx<'_>, batch: &ImportBatch) -> Result<BTreeMap<String, String>, Error> {
    let wanted = batch.accounts.iter().flat_map(|account| &account.groups);
    let wanted: BTreeMap<&str, &(GroupName, String)> = wanted.map(|group| (group.0.key(), group)).collect();
    let mut ids = BTreeMap::new();
    for (key, (name, new_id)) in wanted {
        let id = if let Some((id, _)) = tx.lock_group(key).await? {
            id
        } else {
            let sql = "INSERT INTO groups (id, name, name_key, created_at) VALUES ($1, $2, $3, $4) \
                       ON CONFLICT (name_key) DO UPDATE SET name_key = excluded.name_key RETURNING id";
            let (id,): (String,) = tx.fetch_one(sql, values![new_id, name.as_str(), key, batch.stamp.at]).await?;
            if id == *new_id {
                let stamp = batch.stamp.numbered(number(batch.accounts.len() + ids.len()));
                record(tx, &stamp, Event::done(EventName::GroupCreate, Subject::Group(&id))).await?;
            }
            id
        };
        ids.insert(key.to_owned(), id);
    }
    Ok(ids)
}

async fn join_groups(
    tx: &mut Tx<'_>,
    user: &str,
    account: &ImportedAccount,
    groups: &BTreeMap<String, String>,
) -> Result<(), Error> {
    let sql = "INSERT INTO group_members (group_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    for group in account.groups.iter().filter_map(|(name, _)| groups.get(name.key())) {
        tx.execute(sql, values![group, user]).await?;
    }
    Ok(())
}

/// Gives an account its token of Django REST framework in place of the one that it was imported with.
async fn replace_token(tx: &mut Tx<'_>, user: &str, account: &ImportedAccount, seen: &[u8]) -> Result<(), Error> {
    let token = account.token.as_ref();
    let hash: &[u8] = token.map_or(&[], |token| token.token_hash.as_bytes());
    // A token that was imported before may have been revoked here since.
    if hash == seen {
        return Ok(());
    }
    tx.execute("DELETE FROM access_tokens WHERE user_id = $1 AND token_hash = $2", values![user, seen]).await?;
    let Some(token) = token.filter(|_| !account.disabled) else { return Ok(()) };
    let sql = "INSERT INTO access_tokens (id, user_id, token_hash, name, scope, created_at, expires_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
    let (name, scope) = (token.name.as_str(), token.scope.name());
    let values = values![&token.id, user, &token.token_hash, name, scope, token.created_at, token.expires_at];
    tx.execute(sql, values).await.map(drop)
}

/// Notes what was imported.
async fn remember(tx: &mut Tx<'_>, batch: &ImportBatch, account: &ImportedAccount, user: &str) -> Result<(), Error> {
    let sql = "INSERT INTO imports (source, source_id, user_id, hash_seen, disabled_seen, token_seen, imported_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (source, source_id) DO UPDATE SET \
               hash_seen = excluded.hash_seen, disabled_seen = excluded.disabled_seen, \
               token_seen = excluded.token_seen, imported_at = excluded.imported_at";
    let token: &[u8] = account.token.as_ref().map_or(&[], |token| token.token_hash.as_bytes());
    let (source, id, disabled) = (&batch.source, &account.source_id, account.disabled);
    tx.execute(sql, values![source, id, user, &account.digest[..], disabled, token, batch.stamp.at]).await.map(drop)
}

fn stored(account: &ImportedAccount) -> String {
    account.password.as_ref().map_or_else(|| NO_PASSWORD.to_owned(), ToString::to_string)
}

/// Brings an account up to date that was imported before.
async fn update(
    tx: &mut Tx<'_>,
    batch: &ImportBatch,
    account: &ImportedAccount,
    known: &Known,
    groups: &BTreeMap<String, String>,
) -> Result<ImportOutcome, Error> {
    let user = &known.user_id;
    tx.invalidate_user(user);
    join_groups(tx, user, account, groups).await?;
    remember(tx, batch, account, user).await?;
    if known.is_in_use() {
        return Ok(ImportOutcome::Kept);
    }
    // The owner may have set a password by a link, without a login.
    if !known.password_hash.starts_with(OWN_PREFIX) {
        tx.execute("UPDATE users SET password_hash = $2 WHERE id = $1", values![user, &stored(account)]).await?;
    }
    if account.verified && known.email_verified_at.is_none() {
        confirm_email(tx, user, batch.stamp.at).await?;
    }
    if account.disabled && known.disabled_at.is_none() {
        tx.execute("UPDATE users SET disabled_at = $2 WHERE id = $1", values![user, batch.stamp.at]).await?;
        end_access(tx, user).await?;
    } else if !account.disabled && known.disabled_seen {
        tx.execute("UPDATE users SET disabled_at = NULL WHERE id = $1", values![user]).await?;
    }
    replace_token(tx, user, account, &known.token_seen).await?;
    Ok(ImportOutcome::Updated)
}

/// Adds an account that is new, with the first username that is free.
async fn insert(tx: &mut Tx<'_>, batch: &ImportBatch, account: &ImportedAccount) -> Result<ImportOutcome, Error> {
    let sql = "INSERT INTO users (id, email, email_key, username, username_key, password_hash, created_at, \
               email_verified_at, disabled_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
    let owner = "SELECT users.id, imports.source_id FROM users LEFT JOIN imports \
                 ON imports.user_id = users.id AND imports.source = $2 WHERE users.email_key = $1";
    let (stored, email) = (stored(account), &account.email);
    for username in &account.usernames {
        let values = values![
            &account.new_id,
            email.as_str(),
            email.key(),
            username.as_str(),
            username.key(),
            &stored,
            account.created_at,
            account.verified.then_some(batch.stamp.at),
            account.disabled.then_some(batch.stamp.at),
        ];
        if tx.execute(sql, values).await? == 1 {
            return Ok(ImportOutcome::Imported(username.as_str().to_owned()));
        }
        let owner: Option<(String, Option<String>)> =
            tx.fetch_optional(owner, values![email.key(), &batch.source]).await?;
        match owner {
            Some((_, Some(_))) => return Ok(ImportOutcome::EmailTaken),
            Some((_, None)) => return Ok(ImportOutcome::Exists),
            None => {}
        }
    }
    Ok(ImportOutcome::UsernameTaken)
}

/// Enqueues the mail with a link, some time after the previous one.
async fn enqueue_link(tx: &mut Tx<'_>, link: &NewMail, user: &str, now: Timestamp) -> Result<(), Error> {
    let sql = "SELECT MAX(due_at) FROM mails WHERE kind = $1";
    let (last,): (Option<i64>,) = tx.fetch_one(sql, values![MailKind::Imported.name()]).await?;
    let due = last.map_or(now, |last| Timestamp::from_millis(last.saturating_add(LINK_INTERVAL)));
    let link = NewMail { due_at: due.max(now).min(now.plus(LONGEST_WAIT)), ..link.clone() };
    enqueue_mail(tx, &link, Some(user), "").await
}

async fn import(
    tx: &mut Tx<'_>,
    batch: &ImportBatch,
    account: &ImportedAccount,
    groups: &BTreeMap<String, String>,
    stamp: &Stamp,
) -> Result<ImportOutcome, Error> {
    let sql = "SELECT user_id, hash_seen, disabled_seen, token_seen, password_hash, last_login_at, \
               email_verified_at, disabled_at, role FROM imports JOIN users ON users.id = user_id \
               WHERE source = $1 AND source_id = $2";
    let values = values![&batch.source, &account.source_id];
    let known: Option<Known> = tx.fetch_optional(sql, values).await?;
    if let Some(known) = known {
        if known.hash_seen == account.digest {
            return Ok(ImportOutcome::Unchanged);
        }
        tx.lock_user(&known.user_id).await?;
        // Read again under the lock, because the owner may have logged in meanwhile.
        let known: Option<Known> = tx.fetch_optional(sql, values).await?;
        if let Some(known) = known {
            record(tx, stamp, Event::of(EventName::AccountImport, &known.user_id)).await?;
            return update(tx, batch, account, &known, groups).await;
        }
    }
    let outcome = insert(tx, batch, account).await?;
    if let ImportOutcome::Imported(_) = outcome {
        let user = &account.new_id;
        remember(tx, batch, account, user).await?;
        join_groups(tx, user, account, groups).await?;
        replace_token(tx, user, account, &[]).await?;
        record(tx, stamp, Event::of(EventName::AccountImport, user)).await?;
        if let Some(link) = &account.link {
            enqueue_link(tx, link, user, batch.stamp.at).await?;
        }
    }
    Ok(outcome)
}

/// The number of an event in a batch.
fn number(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

async fn import_all(tx: &mut Tx<'_>, batch: &ImportBatch) -> Result<Vec<ImportOutcome>, Error> {
    let groups = ensure_groups(tx, batch).await?;
    let mut outcomes = Vec::with_capacity(batch.accounts.len());
    for (at, account) in batch.accounts.iter().enumerate() {
        let stamp = batch.stamp.numbered(number(at));
        outcomes.push(import(tx, batch, account, &groups, &stamp).await?);
    }
    note_foreign_hashes(tx, batch).await?;
    note_django_tokens(tx, batch).await?;
    Ok(outcomes)
}

impl Store {
    /// Imports a batch of accounts in one transaction. Returns what happened to each. A dry run rolls it back.
    pub async fn import(&self, batch: ImportBatch) -> Result<Vec<ImportOutcome>, Error> {
        let tried = Arc::new(OnceLock::new());
        let dry = Arc::clone(&tried);
        let imported = self.change(DURABLE, move |tx| {
            Box::pin(async move {
                let outcomes = import_all(tx, &batch).await?;
                if !batch.dry_run {
                    return Ok(outcomes);
                }
                // Any error rolls the transaction back.
                let _ = dry.set(outcomes);
                Err(Error::Refused("a dry run".to_owned()))
            })
        });
        let imported = imported.await;
        tried.get().map_or(imported, |outcomes| Ok(outcomes.clone()))
    }

    /// What is known about imported accounts.
    pub async fn import_facts(&self) -> Result<ImportFacts, Error> {
        self.read(async |conn| {
            let foreign = fact(conn, FOREIGN_HASHES).await?;
            let tokens = fact(conn, DJANGO_TOKENS).await?;
            Ok(ImportFacts {
                foreign: foreign.as_deref().map(hashes_of).into_iter().flatten().collect(),
                django_tokens_until: tokens.and_then(|text| text.parse().ok()).map(Timestamp::from_millis),
            })
        })
        .await
    }

    /// Forgets that there are hashes of other systems once there are none. Returns whether it did.
    pub async fn forget_foreign_hashes(&self) -> Result<bool, Error> {
        let Some(noted) = self.read(async |conn| fact(conn, FOREIGN_HASHES).await).await? else { return Ok(false) };
        if self.search(async |conn| conn.exists(SELECT_FOREIGN, &[]).await).await? {
            return Ok(false);
        }
        // Another server may have imported accounts meanwhile, which changed the value.
        let sql = "DELETE FROM server_facts WHERE name = $1 AND value = $2";
        self.write(DURABLE, async |tx| Ok(tx.execute(sql, values![FOREIGN_HASHES, &noted]).await? == 1)).await
    }

    /// The systems that an account was imported from, with its keys there, and when.
    pub async fn imports_of(&self, user: &str) -> Result<Vec<(String, String, i64)>, Error> {
        let sql = "SELECT source, source_id, imported_at FROM imports WHERE user_id = $1 ORDER BY source, source_id";
        self.read(async |conn| conn.fetch_all(sql, values![user]).await).await
    }
}
