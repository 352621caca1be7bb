//! Invitations to register.

use std::time::Duration;

use super::{
    Error, Mandate, NewMail, Store,
    authority::lock_mandated,
    begin::{DURABLE, RELAXED},
    events::{Event, record},
    group_names::split_names,
    mail::enqueue_mail,
    tx::{Conn, Tx, values},
};
use crate::domain::{
    email::Email,
    event::{EventName, Stamp, Subject},
    group_name::GroupName,
    time::{CLOCK_TOLERANCE, Timestamp},
    token::TokenHash,
};

/// The longest time that an invitation can be valid.
pub const LONGEST_INVITATION: Duration = Duration::from_hours(24 * 90);
/// How long an invitation stays in the list after it has expired.
const KEPT_FOR: Duration = Duration::from_hours(24 * 30);

/// An invitation to create.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "most fields are columns of the table")]
pub struct NewInvitation {
    /// A UUID, version 7.
    pub id: String,
    pub token_hash: TokenHash,
    /// The only email that can register with it, if it is bound to one.
    pub email: Option<Email>,
    /// The mail that sends the link to the email. Without it, the link is shown.
    pub mail: Option<NewMail>,
    pub note: String,
    /// How many accounts can register with it.
    pub uses: u32,
    /// The groups that a new account joins.
    pub groups: Vec<GroupName>,
    pub expires_at: Timestamp,
}

/// The result of creating an invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InviteOutcome {
    /// It was created.
    Done,
    /// The email has an account.
    EmailTaken,
    /// There is no group of one of the names.
    NoSuchGroup,
}

/// A new link of an invitation, which is sent to its email.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are columns of the table")]
pub struct NewInvitationLink {
    pub token_hash: TokenHash,
    pub mail: NewMail,
    pub expires_at: Timestamp,
}

/// The result of sending an invitation again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// The mail is in the queue.
    Done,
    /// The email has an account.
    EmailTaken,
    /// There is no such invitation, or it is for any email, used or revoked.
    Missing,
}

/// A stored invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "most fields are columns of the table")]
pub struct Invitation {
    pub id: String,
    /// The only email that can register with it, if it is bound to one.
    pub email: Option<String>,
    /// Whether the link is sent to the email, so that its use confirms the email.
    pub mailed: bool,
    pub note: String,
    /// How many accounts can register with it.
    pub uses: i64,
    /// How many can still register.
    pub uses_left: i64,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
    /// The names of the groups that a new account joins, in alphabetical order.
    pub groups: Vec<String>,
}

impl Invitation {
    /// Whether an account with an email can register with it.
    #[must_use]
    pub fn admits(&self, email: &Email) -> bool {
        let Some(bound) = &self.email else { return true };
        Email::parse(bound).is_ok_and(|bound| bound.key() == email.key())
    }

    /// Whether an account can register with it. An invitation that seems to be valid for longer than any can be was
    /// created before the clock was put back, and is invalid.
    #[must_use]
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.uses_left > 0 && now < self.expires_at && self.expires_at <= latest_end(now)
    }
}

fn latest_end(now: Timestamp) -> Timestamp {
    now.plus(LONGEST_INVITATION).plus(CLOCK_TOLERANCE)
}

#[derive(sqlx::FromRow)]
struct InvitationRow {
    id: String,
    email: Option<String>,
    mailed: bool,
    note: String,
    uses: i64,
    uses_left: i64,
    created_at: i64,
    expires_at: i64,
    revoked_at: Option<i64>,
    groups: Option<String>,
}

impl From<InvitationRow> for Invitation {
    fn from(row: InvitationRow) -> Self {
        Self {
            id: row.id,
            email: row.email,
            mailed: row.mailed,
            note: row.note,
            uses: row.uses,
            uses_left: row.uses_left,
            created_at: Timestamp::from_millis(row.created_at),
            expires_at: Timestamp::from_millis(row.expires_at),
            revoked_at: row.revoked_at.map(Timestamp::from_millis),
            groups: row.groups.as_deref().map(split_names).unwrap_or_default(),
        }
    }
}

/// Selects invitations by the clauses.
macro_rules! select_invitations {
    ($clauses:literal) => {
        concat!(
            "SELECT id, email, mailed, note, uses, uses_left, created_at, expires_at, revoked_at, \
             (SELECT STRING_AGG(groups.name, ',') FROM invitation_groups \
              JOIN groups ON groups.id = invitation_groups.group_id \
              WHERE invitation_groups.invitation_id = invitations.id) AS groups \
             FROM invitations ",
            $clauses
        )
    };
}

/// One use of an invitation, for an account that is created in the same transaction.
#[derive(Clone, Debug)]
pub struct InvitationUse {
    /// The hash of the invitation's token.
    pub token_hash: TokenHash,
    /// The current time.
    pub now: Timestamp,
}

/// Takes one use of an invitation. Returns its identifier, or `None` if it is invalid or bound to another email.
pub(super) async fn redeem(tx: &mut Tx<'_>, used: &InvitationUse, email: &Email) -> Result<Option<String>, Error> {
    let sql = "UPDATE invitations SET uses_left = uses_left - 1 \
               WHERE token_hash = $1 AND uses_left > 0 AND revoked_at IS NULL AND expires_at > $2 AND expires_at <= $3 \
               AND (email_key IS NULL OR email_key = $4) RETURNING id";
    let InvitationUse { token_hash, now } = used;
    let found: Option<(String,)> =
        tx.fetch_optional(sql, values![token_hash, *now, latest_end(*now), email.key()]).await?;
    Ok(found.map(|(id,)| id))
}

/// Returns a use of an invitation for which no account was created.
pub(super) async fn return_use(tx: &mut Tx<'_>, invitation: &str) -> Result<(), Error> {
    let sql = "UPDATE invitations SET uses_left = uses_left + 1 WHERE id = $1";
    tx.execute(sql, values![invitation]).await.map(drop)
}

/// Adds an account to the groups of its invitation. An invitation for one email is deleted with the account.
pub(super) async fn join_groups_of(tx: &mut Tx<'_>, invitation: &str, user: &str) -> Result<(), Error> {
    let sql = "UPDATE invitations SET user_id = $2 WHERE id = $1 AND email IS NOT NULL";
    tx.execute(sql, values![invitation, user]).await?;
    let sql = "INSERT INTO group_members (group_id, user_id) \
               SELECT group_id, $2 FROM invitation_groups WHERE invitation_id = $1 ON CONFLICT DO NOTHING";
    tx.execute(sql, values![invitation, user]).await.map(drop)
}

async fn email_has_account(conn: &mut Conn<'_>, email: &Email) -> Result<bool, Error> {
    conn.exists("SELECT id FROM users WHERE email_key = $1", values![email.key()]).await
}

impl Store {
    /// Creates an invitation and enqueues its mail.
    pub async fn add_invitation(
        &self,
        mandate: Mandate,
        new: NewInvitation,
        stamp: Stamp,
    ) -> Result<InviteOutcome, Error> {
        let created = self.change(DURABLE, move |tx| {
            Box::pin(async move {
                lock_mandated(tx, &mandate).await?;
                if let Some(email) = &new.email
                    && email_has_account(tx, email).await?
                {
                    return Ok(InviteOutcome::EmailTaken);
                }
                let mut groups = Vec::new();
                for name in &new.groups {
                    let Some((id, _)) = tx.lock_group(name.key()).await? else {
                        return Ok(InviteOutcome::NoSuchGroup);
                    };
                    groups.push(id);
                }
                insert_invitation(tx, &new, stamp.at).await?;
                for group in groups {
                    let sql = "INSERT INTO invitation_groups (invitation_id, group_id) VALUES ($1, $2) \
                               ON CONFLICT DO NOTHING";
                    tx.execute(sql, values![&new.id, &group]).await?;
                }
                if let (Some(mail), Some(email)) = (&new.mail, &new.email) {
                    enqueue_invitation(tx, mail, &new.id, email.as_str()).await?;
                }
                record(tx, &stamp, Event::done(EventName::InvitationCreate, Subject::Invitation(&new.id))).await?;
                Ok(InviteOutcome::Done)
            })
        });
        created.await
    }

    /// The invitation with this token.
    pub async fn find_invitation(&self, token: &TokenHash) -> Result<Option<Invitation>, Error> {
        let sql = select_invitations!("WHERE token_hash = $1");
        let row: Option<InvitationRow> = self.read(async |conn| conn.fetch_optional(sql, values![token]).await).await?;
        Ok(row.map(Invitation::from))
    }

    /// The invitation with this identifier.
    pub async fn invitation(&self, id: &str) -> Result<Option<Invitation>, Error> {
        let sql = select_invitations!("WHERE id = $1");
        let row: Option<InvitationRow> = self.read(async |conn| conn.fetch_optional(sql, values![id]).await).await?;
        Ok(row.map(Invitation::from))
    }

    /// Invitations in the order of their creation, starting after the invitation `after`.
    pub async fn list_invitations(&self, after: &str, limit: u32) -> Result<Vec<Invitation>, Error> {
        let sql = select_invitations!("WHERE id > $1 ORDER BY id LIMIT $2");
        let rows: Vec<InvitationRow> = self.read(async |conn| conn.fetch_all(sql, values![after, limit]).await).await?;
        Ok(rows.into_iter().map(Invitation::from).collect())
    }

    /// Revokes an invitation. Returns `false` if there is none with this identifier that is not revoked.
    pub async fn revoke_invitation(&self, mandate: &Mandate, id: &str, stamp: &Stamp) -> Result<bool, Error> {
        let sql = "UPDATE invitations SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
        self.write(DURABLE, async |tx| {
            lock_mandated(tx, mandate).await?;
            if tx.execute(sql, values![id, stamp.at]).await? == 0 {
                return Ok(false);
            }
            tx.execute("DELETE FROM mails WHERE invitation_id = $1", values![id]).await?;
            record(tx, stamp, Event::done(EventName::InvitationRevoke, Subject::Invitation(id))).await?;
            Ok(true)
        })
        .await
    }

    /// Sends an invitation to its email once more, with a new link. The old link is no longer valid, and a mail that still
    /// waits is deleted.
    pub async fn send_invitation(
        &self,
        mandate: Mandate,
        id: &str,
        link: NewInvitationLink,
        stamp: Stamp,
    ) -> Result<SendOutcome, Error> {
        let id = id.to_owned();
        let sent = self.change(DURABLE, move |tx| {
            Box::pin(async move {
                lock_mandated(tx, &mandate).await?;
                let sql = "SELECT email FROM invitations WHERE id = $1 AND email IS NOT NULL AND uses_left > 0 \
                           AND revoked_at IS NULL";
                let Some((email,)) = tx.fetch_optional::<(String,)>(sql, values![&id]).await? else {
                    return Ok(SendOutcome::Missing);
                };
                if let Ok(parsed) = Email::parse(&email)
                    && email_has_account(tx, &parsed).await?
                {
                    return Ok(SendOutcome::EmailTaken);
                }
                let sql = "UPDATE invitations SET token_hash = $2, expires_at = $3, mailed = TRUE \
                           WHERE id = $1 AND uses_left > 0 AND revoked_at IS NULL";
                // Somebody may have used or revoked it meanwhile.
                if tx.execute(sql, values![&id, &link.token_hash, link.expires_at]).await? == 0 {
                    return Ok(SendOutcome::Missing);
                }
                tx.execute("DELETE FROM mails WHERE invitation_id = $1", values![&id]).await?;
                enqueue_invitation(tx, &link.mail, &id, &email).await?;
                record(tx, &stamp, Event::done(EventName::InvitationSend, Subject::Invitation(&id))).await?;
                Ok(SendOutcome::Done)
            })
        });
        sent.await
    }

    /// Gives an invitation a new token, so that the link in an earlier mail is no longer valid. Returns `false`, and
    /// changes nothing, if the mail was deleted from the queue or the invitation can't be used any more.
    pub async fn renew_invitation(
        &self,
        mail: &str,
        id: &str,
        token: &TokenHash,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let sql = "UPDATE invitations SET token_hash = $3 \
                   WHERE id = $2 AND uses_left > 0 AND revoked_at IS NULL AND expires_at > $4 \
                   AND EXISTS (SELECT 1 FROM mails WHERE mails.id = $1)";
        self.write(DURABLE, async |tx| Ok(tx.execute(sql, values![mail, id, token, now]).await? == 1)).await
    }

    /// Deletes invitations that expired a month ago.
    pub async fn sweep_invitations(&self, now: Timestamp) -> Result<u64, Error> {
        let sql = "DELETE FROM invitations WHERE expires_at <= $1";
        self.write(RELAXED, async |tx| tx.execute(sql, values![now.minus(KEPT_FOR)]).await).await
    }
}

async fn insert_invitation(tx: &mut Tx<'_>, new: &NewInvitation, now: Timestamp) -> Result<(), Error> {
    let sql = "INSERT INTO invitations \
               (id, token_hash, email, email_key, mailed, note, uses, uses_left, created_at, expires_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9)";
    let values = values![
        &new.id,
        &new.token_hash,
        new.email.as_ref().map(Email::as_str),
        new.email.as_ref().map(Email::key),
        new.mail.is_some(),
        &new.note,
        new.uses,
        now,
        new.expires_at,
    ];
    tx.execute(sql, values).await.map(drop)
}

async fn enqueue_invitation(tx: &mut Tx<'_>, mail: &NewMail, invitation: &str, to: &str) -> Result<(), Error> {
    enqueue_mail(tx, mail, None, to).await?;
    let sql = "UPDATE mails SET invitation_id = $2 WHERE id = $1";
    tx.execute(sql, values![&mail.id, invitation]).await.map(drop)
}
