//! Links sent in mails.

use std::time::Duration;

use strum::{EnumString, IntoStaticStr, VariantArray};

use super::{
    CheckedToken, Error, Store,
    access::revoke_email_change,
    authority::lock_active,
    begin::{DURABLE, RELAXED},
    events::{Event, record, record_limited},
    tx::values,
};
use crate::domain::{
    event::{EventName, Stamp},
    time::{CLOCK_TOLERANCE, Timestamp},
    token::TokenHash,
};

/// The kind of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum LinkKind {
    /// Confirms an account's email.
    Verify,
    /// Sets a new password.
    Reset,
    /// Changes an account's email.
    ChangeEmail,
    /// Restores the previous email.
    UndoEmail,
}

impl LinkKind {
    /// Its name in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// How long a link of this kind is valid.
    #[must_use]
    pub const fn lifetime(self) -> Duration {
        match self {
            Self::Verify | Self::ChangeEmail => Duration::from_hours(24),
            Self::Reset => Duration::from_mins(30),
            Self::UndoEmail => Duration::from_hours(72),
        }
    }
}

/// A stored link.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "most fields are columns of the table")]
pub struct Link {
    pub kind: LinkKind,
    pub user_id: String,
    /// The email that it confirms or restores.
    pub address: String,
    /// When its mail was enqueued. It defines the order of changes to undo.
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

impl Link {
    /// Whether it has not expired. A link that seems to be valid for longer than its kind allows was created before
    /// the clock was put back, and is invalid.
    #[must_use]
    pub fn is_valid(&self, now: Timestamp) -> bool {
        now < self.expires_at && self.expires_at <= now.plus(self.kind.lifetime()).plus(CLOCK_TOLERANCE)
    }
}

/// A link to create.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "most fields are columns of the table")]
pub struct NewLink<'a> {
    /// The mail that contains it. If the mail was deleted from the queue meanwhile, the link is not created.
    pub mail: &'a str,
    pub token_hash: TokenHash,
    pub kind: LinkKind,
    pub user_id: &'a str,
    /// The email that it confirms or restores.
    pub address: &'a str,
    /// When its mail was enqueued. It defines the order of changes to undo.
    pub created_at: Timestamp,
    /// The current time. The link is valid from now for the lifetime of its kind.
    pub now: Timestamp,
}

/// A link to store that nobody receives.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "most fields are columns of the table")]
pub struct Decoy<'a> {
    pub token_hash: TokenHash,
    /// The kind of the real link.
    pub kind: LinkKind,
    /// The key of the mailbox in the counters.
    pub mailbox: &'a str,
    /// The current time.
    pub created_at: Timestamp,
}

/// A stored link in a list for its owner. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
#[expect(missing_docs, reason = "the fields are columns of the table")]
pub struct LinkRecord {
    pub kind: String,
    /// The email that it confirms or restores.
    pub address: String,
    /// When its mail was requested.
    pub created_at: i64,
    pub expires_at: i64,
}

/// A change of an account's email that was requested and can still be confirmed.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct EmailChangeRecord {
    /// The new email.
    pub address: String,
    /// When it was requested, in milliseconds since 1970.
    pub created_at: i64,
}

#[derive(sqlx::FromRow)]
struct LinkRow {
    kind: String,
    user_id: String,
    address: String,
    created_at: i64,
    expires_at: i64,
}

impl Store {
    /// Creates a link and revokes older ones of the same kind. Links that restore an email are not revoked, since
    /// each was sent to a different address. Returns `false`, and changes nothing, if the mail is no longer needed.
    /// This is so if the mail was deleted from the queue or a newer link was sent first. It is also so if the account's
    /// email has changed or is already confirmed.
    ///
    /// `forgotten` is the stamp of a link that resets the password.
    pub async fn create_link(&self, link: NewLink<'_>, forgotten: Option<&Stamp>) -> Result<bool, Error> {
        let sql = "INSERT INTO links (token_hash, kind, user_id, address, created_at, expires_at) \
                   SELECT $1, $2, id, $4, $5, $6 FROM users WHERE id = $3 AND (email = $4 OR NOT $8) \
                   AND NOT ($2 = 'verify' AND email_verified_at IS NOT NULL) \
                   AND NOT ($9 AND EXISTS (SELECT 1 FROM links WHERE user_id = $3 AND kind = $2 \
                       AND created_at > $5 AND expires_at > $10 AND expires_at <= $11)) \
                   AND EXISTS (SELECT id FROM mails WHERE id = $7)";
        let kind = link.kind.name();
        let proves = matches!(link.kind, LinkKind::Verify | LinkKind::Reset);
        let revokes = link.kind != LinkKind::UndoEmail;
        let expires_at = link.now.plus(link.kind.lifetime());
        self.write(DURABLE, async |tx| {
            tx.lock_user(link.user_id).await?;
            let values = values![
                &link.token_hash,
                kind,
                link.user_id,
                link.address,
                link.created_at,
                expires_at,
                link.mail,
                proves,
                revokes,
                link.now,
                expires_at.plus(CLOCK_TOLERANCE),
            ];
            let made = tx.execute(sql, values).await? == 1;
            if made && revokes {
                let sql = "DELETE FROM links WHERE user_id = $1 AND kind = $2 AND token_hash <> $3";
                tx.execute(sql, values![link.user_id, kind, &link.token_hash]).await?;
            }
            if let Some(stamp) = forgotten
                && made
            {
                record_limited(tx, stamp, Event::of(EventName::PasswordResetRequest, link.user_id)).await?;
            }
            Ok(made)
        })
        .await
    }

    /// Stores a link that nobody receives, with as many statements and commits as [`Store::create_link`]. The time that
    /// a request occupies the database must not reveal whether an email has an account.
    pub async fn create_decoy(&self, decoy: Decoy<'_>, forgotten: Option<&Stamp>) -> Result<(), Error> {
        let (hash, kind, mailbox) = (&decoy.token_hash, decoy.kind.name(), decoy.mailbox);
        let expires_at = decoy.created_at.plus(decoy.kind.lifetime());
        self.write(DURABLE, async |tx| {
            tx.lock_user("").await?;
            let sql = "INSERT INTO decoy_links (token_hash, kind, mailbox, created_at, expires_at) \
                       VALUES ($1, $2, $3, $4, $5)";
            tx.execute(sql, values![hash, kind, mailbox, decoy.created_at, expires_at]).await?;
            let sql = "DELETE FROM decoy_links WHERE mailbox = $1 AND kind = $2 AND token_hash <> $3";
            tx.execute(sql, values![mailbox, kind, hash]).await?;
            if let Some(stamp) = forgotten {
                // Of no account, so that nothing is added.
                record_limited(tx, stamp, Event::of(EventName::PasswordResetRequest, "")).await?;
            }
            Ok(())
        })
        .await
    }

    /// The link for a token, even if it has expired.
    pub async fn find_link(&self, hash: &TokenHash) -> Result<Option<Link>, Error> {
        let sql = "SELECT kind, user_id, address, created_at, expires_at FROM links WHERE token_hash = $1";
        let row: Option<LinkRow> = self.read(async |conn| conn.fetch_optional(sql, values![hash]).await).await?;
        Ok(row.and_then(|row| {
            Some(Link {
                kind: row.kind.parse().ok()?,
                user_id: row.user_id,
                address: row.address,
                created_at: Timestamp::from_millis(row.created_at),
                expires_at: Timestamp::from_millis(row.expires_at),
            })
        }))
    }

    /// Deletes an expired link, unless [`Store::enable_user`] has extended it meanwhile.
    pub async fn void_link(&self, hash: &TokenHash, now: Timestamp) -> Result<(), Error> {
        let sql = "DELETE FROM links WHERE token_hash = $1 AND expires_at <= $2";
        self.write(RELAXED, async |tx| tx.execute(sql, values![hash, now]).await.map(drop)).await
    }

    /// The latest requested change of an account's email: its mail is queued, or its link is valid. Whether the new
    /// email has an account makes no difference, because a link is stored in both cases.
    pub async fn pending_email_change(&self, user: &str, now: Timestamp) -> Result<Option<EmailChangeRecord>, Error> {
        let sql = "SELECT address, created_at FROM mails WHERE user_id = $1 AND kind = 'change_email' \
                   UNION ALL SELECT address, created_at FROM links WHERE user_id = $1 AND kind = 'change_email' \
                       AND expires_at > $2 AND expires_at <= $3 \
                   ORDER BY created_at DESC LIMIT 1";
        let latest_end = now.plus(LinkKind::ChangeEmail.lifetime()).plus(CLOCK_TOLERANCE);
        self.read(async |conn| conn.fetch_optional(sql, values![user, now, latest_end]).await).await
    }

    /// Whether [`Store::cancel_email_change`] would change anything. A link that is not valid now may become valid
    /// after a correction of the clock.
    pub async fn has_email_change(&self, user: &str) -> Result<bool, Error> {
        let sql = "SELECT id FROM users WHERE id = $1 AND \
                   (EXISTS (SELECT 1 FROM links WHERE user_id = $1 AND kind = 'change_email') \
                    OR EXISTS (SELECT 1 FROM mails WHERE user_id = $1 AND kind = 'change_email'))";
        self.read(async |conn| conn.exists(sql, values![user]).await).await
    }

    /// Revokes the requested change of an account's email. Returns whether there was one, or `None`, and changes
    /// nothing, if the requesting session or token is no longer active.
    pub async fn cancel_email_change(&self, checked: &CheckedToken, stamp: &Stamp) -> Result<Option<bool>, Error> {
        self.write(DURABLE, async |tx| {
            if !lock_active(tx, checked).await? {
                return Ok(None);
            }
            let cancelled = revoke_email_change(tx, &checked.user).await?;
            if cancelled {
                record(tx, stamp, Event::of(EventName::EmailChangeCancel, &checked.user)).await?;
            }
            Ok(Some(cancelled))
        })
        .await
    }

    /// Every stored link of an account.
    pub async fn links_of(&self, user: &str) -> Result<Vec<LinkRecord>, Error> {
        let sql = "SELECT kind, address, created_at, expires_at FROM links WHERE user_id = $1 ORDER BY created_at";
        self.read(async |conn| conn.fetch_all(sql, values![user]).await).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_valid_until_its_end_and_at_most_its_lifetime_r55_r99() {
        let made = Timestamp::from_millis(1_795_348_800_000);
        let moment = Duration::from_millis(1);
        for &kind in LinkKind::VARIANTS {
            let (user_id, address, expires_at) = (String::new(), String::new(), made.plus(kind.lifetime()));
            let link = Link { kind, user_id, address, created_at: made, expires_at };
            assert!(link.is_valid(made) && link.is_valid(expires_at.minus(moment)), "{kind:?}");
            assert!(!link.is_valid(expires_at), "{kind:?}");
            assert!(link.is_valid(made.minus(CLOCK_TOLERANCE)), "{kind:?}");
            assert!(!link.is_valid(made.minus(CLOCK_TOLERANCE).minus(moment)), "{kind:?}");
        }
    }
}
