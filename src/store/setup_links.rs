//! The link by which the first admin is made. It works once, and only while there is no enabled admin.

use std::time::Duration;

use super::{
    CheckedToken, Error, MailKind, NewMail, NewUser, Store,
    access::confirm_email,
    authority::lock_active,
    begin::{DURABLE, RELAXED},
    events::{Event, record},
    roles::assign_role,
    tx::{Conn, Tx, values},
    users::insert,
};
use crate::domain::{
    event::{EventName, Stamp, Subject},
    role::Role,
    time::{CLOCK_TOLERANCE, Timestamp},
    token::TokenHash,
};

/// How long a link is valid.
const LIFETIME: Duration = Duration::from_hours(1);

/// The result of using the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetupOutcome {
    /// The account is an admin now.
    Done,
    /// The link was used, replaced or has expired, or there is an admin.
    LinkInvalid,
    /// The email or the username is taken.
    Taken,
    /// The requesting session has ended, or the password has changed since it was compared.
    Conflict,
}

async fn has_admin(conn: &mut Conn<'_>) -> Result<bool, Error> {
    let sql = "SELECT id FROM users WHERE role = 'admin' AND disabled_at IS NULL LIMIT 1";
    conn.exists(sql, &[]).await
}

/// Whether a link is valid. One that seems to be valid for longer than its lifetime was created before the clock was put
/// back, and is invalid.
async fn is_valid(conn: &mut Conn<'_>, link: &TokenHash, now: Timestamp) -> Result<bool, Error> {
    let sql = "SELECT expires_at FROM setup_links WHERE token_hash = $1 AND expires_at > $2 AND expires_at <= $3";
    let latest_end = now.plus(LIFETIME).plus(CLOCK_TOLERANCE);
    let found: Option<(i64,)> = conn.fetch_optional(sql, values![link, now, latest_end]).await?;
    Ok(found.is_some() && !has_admin(conn).await?)
}

/// Locks the admins, so that only one account becomes the first of them. Returns whether the link is valid.
async fn lock_link(tx: &mut Tx<'_>, link: &TokenHash, now: Timestamp) -> Result<bool, Error> {
    tx.lock_admins().await?;
    is_valid(tx, link, now).await
}

impl Store {
    /// Whether there is an enabled admin.
    pub async fn has_admin(&self) -> Result<bool, Error> {
        self.read(async |conn| has_admin(conn).await).await
    }

    /// Creates the link and revokes an older one. Returns `false`, and changes nothing, if there is an enabled admin.
    pub async fn create_setup_link(&self, link: &TokenHash, stamp: &Stamp) -> Result<bool, Error> {
        self.write(DURABLE, async |tx| {
            tx.lock_admins().await?;
            if has_admin(tx).await? {
                return Ok(false);
            }
            tx.execute("DELETE FROM setup_links", &[]).await?;
            let sql = "INSERT INTO setup_links (token_hash, expires_at) VALUES ($1, $2)";
            tx.execute(sql, values![link, stamp.at.plus(LIFETIME)]).await?;
            record(tx, stamp, Event::done(EventName::OperatorLink, Subject::Server)).await?;
            Ok(true)
        })
        .await
    }

    /// Whether a link is valid, and there is no enabled admin.
    pub async fn is_setup_link_valid(&self, link: &TokenHash, now: Timestamp) -> Result<bool, Error> {
        self.read(async |conn| is_valid(conn, link, now).await).await
    }

    /// Deletes the link if it has expired, so that it stays expired even if the clock is set back.
    pub async fn sweep_setup_link(&self, now: Timestamp) -> Result<(), Error> {
        let sql = "DELETE FROM setup_links WHERE expires_at <= $1";
        self.write(RELAXED, async |tx| tx.execute(sql, values![now]).await.map(drop)).await
    }

    /// Creates the first admin through the link, and enqueues the mail about the role.
    pub async fn insert_first_admin(
        &self,
        link: &TokenHash,
        new: NewUser<'_>,
        new_mail: impl Fn(MailKind) -> Option<NewMail>,
        stamp: &Stamp,
    ) -> Result<SetupOutcome, Error> {
        self.write(DURABLE, async |tx| {
            if !lock_link(tx, link, new.created_at).await? {
                return Ok(SetupOutcome::LinkInvalid);
            }
            if !insert(tx, &new).await? {
                return Ok(SetupOutcome::Taken);
            }
            record(tx, stamp, Event::of(EventName::AccountRegister, &new.id)).await?;
            assign_role(tx, &new.id, (None, Some(Role::Admin)), &new_mail, &stamp.numbered(1)).await?;
            Ok(SetupOutcome::Done)
        })
        .await
    }

    /// Makes the account of a session the first admin through the link, if the password still has the given hash. Also
    /// confirms the account's email, ends its sessions and revokes its access tokens.
    pub async fn make_first_admin(
        &self,
        link: TokenHash,
        checked: CheckedToken,
        required_hash: String,
        new_mail: impl Fn(MailKind) -> Option<NewMail> + Send + Sync + 'static,
        stamp: Stamp,
    ) -> Result<SetupOutcome, Error> {
        let made = self.change(DURABLE, move |tx| {
            Box::pin(async move {
                let (user, now) = (&checked.user, stamp.at);
                let sql = "SELECT id FROM users WHERE id = $1 AND password_hash = $2";
                if !lock_active(tx, &checked).await? || !tx.exists(sql, values![user, &required_hash]).await? {
                    return Ok(SetupOutcome::Conflict);
                }
                if !lock_link(tx, &link, now).await? {
                    return Ok(SetupOutcome::LinkInvalid);
                }
                confirm_email(tx, user, now).await?;
                let before: (Option<String>,) =
                    tx.fetch_one("SELECT role FROM users WHERE id = $1", values![user]).await?;
                let before = before.0.as_deref().and_then(Role::named);
                assign_role(tx, user, (before, Some(Role::Admin)), &new_mail, &stamp).await?;
                Ok(SetupOutcome::Done)
            })
        });
        made.await
    }
}
