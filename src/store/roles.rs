//! Roles of operators. There is always an enabled admin, unless the command line forces otherwise.

use super::{
    Authority, Error, MailKind, NewMail, Store,
    access::{end_other_sessions, revoke_access_tokens},
    authority::lock_authorized,
    begin::DURABLE,
    events::{Event, record},
    mail::{enqueue_mail, enqueue_mail_about},
    tx::{Conn, Tx, values},
};
use crate::domain::{
    event::{Details, EventName, Stamp},
    role::Role,
};

/// A change of an account's role.
#[derive(Clone, Debug)]
pub struct RoleChange {
    /// Who changes which account.
    pub authority: Authority,
    /// `None` takes the role away.
    pub role: Option<Role>,
    /// Whether the change may leave the server without an enabled admin.
    pub force: bool,
}

/// The result of changing a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleOutcome {
    /// The account has the role, and this many of its sessions ended.
    Changed(u64),
    /// The account had the role already.
    Unchanged,
    /// The account is the last admin.
    LastAdmin,
    /// The account's email is not confirmed.
    Unconfirmed,
    /// There is no such account.
    Missing,
}

/// Whether a locked account is the only enabled admin. Locks all admins if it is an enabled admin, so that two of them
/// can't be removed at once. Nobody who holds that lock waits for an account, so this can't cause a deadlock.
pub(super) async fn is_last_admin(tx: &mut Tx<'_>, user: &str) -> Result<bool, Error> {
    let sql = "SELECT id FROM users WHERE id = $1 AND role = 'admin' AND disabled_at IS NULL";
    if !tx.exists(sql, values![user]).await? {
        return Ok(false);
    }
    tx.lock_admins().await?;
    Ok(other_admins(tx, user).await?.is_empty())
}

/// The identifiers of all enabled admins except one account.
async fn other_admins(conn: &mut Conn<'_>, user: &str) -> Result<Vec<String>, Error> {
    let sql = "SELECT id FROM users WHERE role = 'admin' AND disabled_at IS NULL AND id <> $1 ORDER BY id";
    conn.fetch_column(sql, values![user]).await
}

/// Sets the role of a locked account, ends its sessions and revokes its access tokens, so that no token gains or keeps
/// rights (ASVS 8.3.2). Enqueues mails, which `new_mail` creates, to the owner, and to all other admins of a new one. A new
/// admin also voids the link by which the first one is made. Returns how many sessions ended.
pub(super) async fn assign_role(
    tx: &mut Tx<'_>,
    user: &str,
    (before, role): (Option<Role>, Option<Role>),
    new_mail: &impl Fn(MailKind) -> Option<NewMail>,
    stamp: &Stamp,
) -> Result<u64, Error> {
    // A role implies the approval: an admin who can't log in would count as one.
    let sql = "UPDATE users SET role = $2, pending_since = NULL WHERE id = $1";
    tx.execute(sql, values![user, role.map(Role::name)]).await?;
    // A mail shows the role at the time when it is sent, so one is enough.
    tx.execute("DELETE FROM mails WHERE user_id = $1 AND kind = 'role_changed'", values![user]).await?;
    if let Some(mail) = new_mail(MailKind::RoleChanged) {
        enqueue_mail(tx, &mail, Some(user), "").await?;
    }
    if role == Some(Role::Admin) {
        tx.lock_admins().await?;
        tx.execute("DELETE FROM setup_links", &[]).await?;
        for admin in other_admins(tx, user).await? {
            if let Some(mail) = new_mail(MailKind::AdminAdded) {
                enqueue_mail_about(tx, &mail, &admin, user).await?;
            }
        }
    }
    revoke_access_tokens(tx, user).await?;
    let ended = end_other_sessions(tx, user, "").await?;
    let details = Details { old_role: before, new_role: role, sessions_ended: Some(ended), ..Details::default() };
    record(tx, stamp, Event::of(EventName::RoleChange, user).with(details)).await?;
    Ok(ended)
}

impl Store {
    /// Changes an account's role, ends its sessions and revokes its access tokens. Enqueues mails, which `new_mail`
    /// creates, to the owner, and to all other admins of a new one.
    pub async fn set_role(
        &self,
        change: RoleChange,
        stamp: Stamp,
        new_mail: impl Fn(MailKind) -> Option<NewMail> + Send + Sync + 'static,
    ) -> Result<RoleOutcome, Error> {
        let set = self.change(DURABLE, move |tx| {
            Box::pin(async move {
                let RoleChange { authority, role, force } = &change;
                let (user, name) = (authority.user(), role.map(Role::name));
                lock_authorized(tx, authority).await?;
                let sql = "SELECT role, email_verified_at FROM users WHERE id = $1";
                let found: Option<(Option<String>, Option<i64>)> = tx.fetch_optional(sql, values![user]).await?;
                let Some((before, verified)) = found else { return Ok(RoleOutcome::Missing) };
                if before.as_deref() == name {
                    return Ok(RoleOutcome::Unchanged);
                }
                // Somebody else may own the mailbox, and could take the account over.
                if role.is_some() && verified.is_none() {
                    return Ok(RoleOutcome::Unconfirmed);
                }
                if !force && is_last_admin(tx, user).await? {
                    return Ok(RoleOutcome::LastAdmin);
                }
                let before = before.as_deref().and_then(Role::named);
                assign_role(tx, user, (before, *role), &new_mail, &stamp).await.map(RoleOutcome::Changed)
            })
        });
        set.await
    }
}
