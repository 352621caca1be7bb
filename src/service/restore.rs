//! Restores a backup without restoring what was revoked since it was made.

use std::{
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Service,
    entropy::{Entropy, new_uuid, nonce},
};
use crate::{
    domain::{
        event::{Initiator, Stamp},
        role::Role,
        time::Timestamp,
    },
    store::{Error, Prepared, Revocation, Revoked, Since, Store, User, Withdrawn},
};

/// Queued mail older than this is deleted, because most of it was sent after the backup.
const MAX_MAIL_AGE: Duration = Duration::from_hours(1);

/// The operator's options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestoreOptions {
    /// Whether the backup's personal access tokens stay valid.
    pub keep_access_tokens: bool,
    /// Whether accounts stay enabled that, since the backup, were disabled, deleted or claimed, or changed their email.
    pub trust_backup: bool,
}

/// The result of a restore.
#[derive(Debug)]
#[expect(missing_docs, reason = "the field's name describes it")]
pub struct Report {
    pub database: PathBuf,
    /// The files of the previous database.
    pub kept: Vec<PathBuf>,
    /// When the backup's newest row was created, as readable text.
    pub newest: Option<String>,
    /// What was revoked.
    pub revoked: Revoked,
    /// Whether there are operators, but no enabled admin.
    pub without_admin: bool,
    /// What has changed since the backup, if the previous database could be read.
    pub since: Option<Since>,
}

/// Replaces a SQLite file with a copy. If this is interrupted, there is still a complete database: the previous one
/// or the copy.
///
/// Fails while a server has the database open, or if the copy can't be used.
pub async fn restore(
    database: &Path,
    source: File,
    options: RestoreOptions,
    now: Timestamp,
    entropy: &dyn Entropy,
    by: Initiator,
) -> Result<Report, Error> {
    let prepared = Prepared::new(database, &source, nonce(entropy)).await?;
    let newest = prepared.store.newest().await?.map(Timestamp::in_words);
    let since = prepared.since().await;
    let withdrawn = match &since {
        Some(since) if !options.trust_backup => Withdrawn {
            accounts: [&since.deleted, &since.disabled, &since.emails, &since.claimed].into_iter().flatten().collect(),
            roles: &since.roles,
            memberships: &since.memberships,
        },
        _ => Withdrawn::default(),
    };
    let stamp = Stamp { id: new_uuid(entropy, now), at: now, by };
    let keep_links = since.as_ref().map_or(&[][..], |since| &since.undo_links);
    let revoked = revoke(&prepared.store, options, stamp, (withdrawn, keep_links)).await?;
    let operators = prepared.store.list_operators().await?;
    let is_admin = |user: &User| user.role == Some(Role::Admin) && user.disabled_at.is_none();
    let lost_roles = since.as_ref().is_some_and(|since| !since.roles.is_empty());
    let without_admin =
        (lost_roles || !operators.is_empty()) && !operators.iter().any(|operator| is_admin(&operator.user));
    let kept = prepared.put_in_place(now).await?;
    Ok(Report { database: database.to_owned(), kept, newest, revoked, without_admin, since })
}

async fn revoke(
    store: &Store,
    options: RestoreOptions,
    stamp: Stamp,
    (withdrawn, keep_links): (Withdrawn<'_>, &[Vec<u8>]),
) -> Result<Revoked, Error> {
    let mails_before = stamp.at.minus(MAX_MAIL_AGE);
    let keep_access_tokens = options.keep_access_tokens;
    store.revoke_after_restore(Revocation { stamp, mails_before, keep_access_tokens, withdrawn, keep_links }).await
}

impl Service {
    /// Revokes what was restored by other means than [`restore`].
    pub async fn revoke_after_restore(&self, by: Initiator, options: RestoreOptions) -> Result<Revoked, Error> {
        let revoked = revoke(&self.store, options, self.stamp(by), (Withdrawn::default(), &[])).await?;
        self.store.raise_use_count().await?;
        Ok(revoked)
    }
}
