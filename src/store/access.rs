//! Statements that several operations share: setting a password or an email, and revoking access to an account.

use super::{
    Error, InheritFailures,
    failed_logins::inherit_failures,
    known_networks::forget_networks,
    tx::{Tx, values},
};
use crate::domain::{email::Email, time::Timestamp};

/// Sets an account's password.
pub(super) async fn set_password_hash(tx: &mut Tx<'_>, user: &str, hash: &str) -> Result<(), Error> {
    tx.execute("UPDATE users SET password_hash = $2 WHERE id = $1", values![user, hash]).await.map(drop)
}

/// Marks an account's email as confirmed, and revokes the links that would confirm it.
pub(super) async fn confirm_email(tx: &mut Tx<'_>, user: &str, now: Timestamp) -> Result<(), Error> {
    tx.invalidate_user(user);
    let sql = "UPDATE users SET email_verified_at = COALESCE(email_verified_at, $2), \
               kept_until = CASE WHEN pending_since IS NOT NULL THEN kept_until END WHERE id = $1";
    tx.execute(sql, values![user, now]).await?;
    revoke_verify_links(tx, user).await
}

/// Sets an account's email, which was confirmed just now, and revokes the links that would confirm the previous one.
/// Strangers' failed logins are copied to the key of the new email (`held`), so that a rate-limited username stays
/// rate-limited.
pub(super) async fn set_email(
    tx: &mut Tx<'_>,
    user: &str,
    email: &Email,
    held: &InheritFailures,
    now: Timestamp,
) -> Result<(), Error> {
    tx.invalidate_user(user);
    inherit_failures(tx, held).await?;
    let sql = "UPDATE users SET email = $2, email_key = $3, email_verified_at = $4 WHERE id = $1";
    tx.execute(sql, values![user, email.as_str(), email.key(), now]).await?;
    revoke_verify_links(tx, user).await
}

async fn revoke_verify_links(tx: &mut Tx<'_>, user: &str) -> Result<(), Error> {
    tx.execute("DELETE FROM links WHERE user_id = $1 AND kind = 'verify'", values![user]).await.map(drop)
}

/// Revokes links that reset the password or change the email. Someone who knew the old password or read an old mail
/// could still use them to take over the account.
pub(super) async fn revoke_links(tx: &mut Tx<'_>, user: &str) -> Result<(), Error> {
    tx.execute("DELETE FROM links WHERE user_id = $1 AND kind = 'reset'", values![user]).await?;
    revoke_email_change(tx, user).await.map(drop)
}

/// Revokes the link that changes the email, and deletes the queued mail that would contain one. Returns whether there
/// was one.
pub(super) async fn revoke_email_change(tx: &mut Tx<'_>, user: &str) -> Result<bool, Error> {
    let links = tx.execute("DELETE FROM links WHERE user_id = $1 AND kind = 'change_email'", values![user]).await?;
    let mails = tx.execute("DELETE FROM mails WHERE user_id = $1 AND kind = 'change_email'", values![user]).await?;
    Ok(links + mails > 0)
}

/// Revokes every token of an account. Returns how many. Used when its password is set without the old one.
pub(super) async fn revoke_access_tokens(tx: &mut Tx<'_>, user: &str) -> Result<u64, Error> {
    tx.execute("DELETE FROM access_tokens WHERE user_id = $1", values![user]).await
}

/// Revokes all access that someone else may have gained to an account. This covers sessions, personal access tokens,
/// known networks, and links that reset the password or change the email. Returns how many sessions ended.
pub(super) async fn end_access(tx: &mut Tx<'_>, user: &str) -> Result<u64, Error> {
    revoke_links(tx, user).await?;
    revoke_access_tokens(tx, user).await?;
    forget_networks(tx, user).await?;
    end_other_sessions(tx, user, "").await
}

/// Ends every session of an account except one. Returns how many ended.
pub(super) async fn end_other_sessions(tx: &mut Tx<'_>, user: &str, except: &str) -> Result<u64, Error> {
    tx.invalidate_user(user);
    tx.execute("DELETE FROM sessions WHERE user_id = $1 AND id <> $2", values![user, except]).await
}
