//! Changing usernames and deleting accounts.

use super::{
    Authority, DURABLE, Error, Inherit, Store,
    authority::lock_authorized,
    lock::Locks,
    on_write,
    rate_limits::{forget_counts, inherit_failures},
};
use crate::domain::username::Username;

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

impl Store {
    /// Changes an account's username, for its owner or the operator. Strangers' failures with the new username apply
    /// to the account (`held`). They also remain with the previous username (`left`).
    pub async fn rename_user(
        &self,
        authority: Authority,
        username: &Username,
        (held, left): (Inherit, Inherit),
    ) -> Result<RenameOutcome, Error> {
        let (store, username) = (self.clone(), username.clone());
        let renamed = self.uncancelled(async move {
            let _forgotten = store.forget_user_afterwards(authority.user());
            Ok(on_write!(store, DURABLE, tx => {
                let active = lock_authorized!(tx, &authority);
                if active {
                    let sql = "UPDATE users SET username = $2, username_key = $3 WHERE id = $1";
                    sqlx::query(sql).bind(authority.user()).bind(username.as_str()).bind(username.key()).execute(&mut *tx).await?;
                    inherit_failures!(tx, &held);
                    inherit_failures!(tx, &left);
                }
                active
            }))
        });
        match renamed.await {
            Ok(true) => Ok(RenameOutcome::Done),
            Ok(false) => Ok(RenameOutcome::SessionEnded),
            // The unique constraint decides, so that two concurrent requests can't both get it.
            Err(Error::Fault(sqlx::Error::Database(e))) if e.is_unique_violation() => Ok(RenameOutcome::Taken),
            Err(error) => Err(error),
        }
    }

    /// Deletes an account with its sessions and counters, for its owner or the operator. Its email and username
    /// become available again. Strangers' failures remain with its email, and with its username (`left`). Returns
    /// `None`, and changes nothing, if the requesting session has ended.
    pub async fn delete_user(&self, authority: Authority, left: Inherit) -> Result<Option<()>, Error> {
        let store = self.clone();
        self.uncancelled(async move {
            let user = authority.user();
            let _ended = store.forget_user_afterwards(user);
            let deleted = on_write!(store, DURABLE, tx => {
                let active = lock_authorized!(tx, &authority);
                if active {
                    let sql = "DELETE FROM mails WHERE user_id IS NULL \
                               AND LOWER(address) = (SELECT email_key FROM users WHERE id = $1)";
                    sqlx::query(sql).bind(user).execute(&mut *tx).await?;
                    forget_counts!(tx, user);
                    inherit_failures!(tx, &left);
                    sqlx::query("DELETE FROM users WHERE id = $1").bind(user).execute(&mut *tx).await?;
                    tx.note_remains().await?;
                }
                active.then_some(())
            });
            store.empty_log().await;
            Ok(deleted)
        })
        .await
    }
}
