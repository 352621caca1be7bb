//! Changing usernames and deleting accounts.

use super::{
    Authority, Error, InheritFailures, Store,
    authority::lock_authorized,
    begin::{DURABLE, uncancelled},
    events::{Event, record},
    failed_logins::{forget_counts, inherit_failures},
    roles::is_last_admin,
    tx::{Tx, values},
    users::is_name_taken,
};
use crate::domain::{
    event::{EventName, Stamp},
    username::Username,
};

/// A username that an account gets.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the other field is the username")]
pub struct UsernameChange {
    pub username: Username,
    /// Strangers' failures with the new username, which then apply to the account.
    pub held: InheritFailures,
    /// Strangers' failures that remain with the previous username.
    pub left: InheritFailures,
}

/// The result of changing a username.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenameOutcome {
    /// The account has the new username.
    Done,
    /// Another account has the username.
    Taken,
    /// The requesting session has ended.
    SessionEnded,
}

/// The result of deleting an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteOutcome {
    /// The account was deleted.
    Done,
    /// The account is the last admin.
    LastAdmin,
    /// The requesting session has ended.
    SessionEnded,
}

/// Deletes an account and its counters. Strangers' failures with its username remain (`left`), and so does its history, which
/// ends with the event `name`.
pub(super) async fn delete_account(
    tx: &mut Tx<'_>,
    user: &str,
    name: EventName,
    left: &InheritFailures,
    stamp: &Stamp,
) -> Result<(), Error> {
    tx.invalidate_user(user);
    forget_counts(tx, user).await?;
    inherit_failures(tx, left).await?;
    if tx.execute("DELETE FROM users WHERE id = $1", values![user]).await? == 1 {
        record(tx, stamp, Event::of(name, user)).await?;
    }
    tx.request_rewrite().await
}

/// Deletes the mails that were requested for an account's email.
pub(super) async fn delete_mails_to(tx: &mut Tx<'_>, user: &str) -> Result<(), Error> {
    let sql = "DELETE FROM mails WHERE user_id IS NULL \
               AND LOWER(address) = (SELECT email_key FROM users WHERE id = $1)";
    tx.execute(sql, values![user]).await.map(drop)
}

impl Store {
    /// Changes an account's username, for its owner or the operator.
    pub async fn rename_user(
        &self,
        authority: Authority,
        change: UsernameChange,
        stamp: Stamp,
    ) -> Result<RenameOutcome, Error> {
        let renamed = self.change(DURABLE, move |tx| {
            Box::pin(async move {
                let user = authority.user();
                let active = lock_authorized(tx, &authority).await?;
                if active {
                    tx.invalidate_user(user);
                    let sql = "UPDATE users SET username = $2, username_key = $3 WHERE id = $1";
                    tx.execute(sql, values![user, change.username.as_str(), change.username.key()]).await?;
                    inherit_failures(tx, &change.held).await?;
                    inherit_failures(tx, &change.left).await?;
                    record(tx, &stamp, Event::of(EventName::AccountRename, user)).await?;
                }
                Ok(active)
            })
        });
        match renamed.await {
            Ok(true) => Ok(RenameOutcome::Done),
            Ok(false) => Ok(RenameOutcome::SessionEnded),
            Err(error) if is_name_taken(&error) => Ok(RenameOutcome::Taken),
            Err(error) => Err(error),
        }
    }

    /// Deletes an account with its sessions and counters, for its owner or the operator. Its email and username
    /// become available again. Strangers' failures remain with its email, and with its username (`left`). The last
    /// admin is only deleted with `force`.
    pub async fn delete_user(
        &self,
        authority: Authority,
        force: bool,
        left: InheritFailures,
        stamp: Stamp,
    ) -> Result<DeleteOutcome, Error> {
        let store = self.clone();
        uncancelled(Box::pin(async move {
            let deleted = store.write(DURABLE, async |tx| {
                let user = authority.user();
                if !lock_authorized(tx, &authority).await? {
                    return Ok(DeleteOutcome::SessionEnded);
                }
                if !force && is_last_admin(tx, user).await? {
                    return Ok(DeleteOutcome::LastAdmin);
                }
                delete_mails_to(tx, user).await?;
                delete_account(tx, user, EventName::AccountDelete, &left, &stamp).await?;
                Ok(DeleteOutcome::Done)
            });
            let deleted = deleted.await?;
            store.empty_log().await;
            Ok(deleted)
        }))
        .await
    }
}
