//! What people do with accounts of their own.

use super::{DURABLE, Error, Store, lock::LockUser, on_read, on_write};
use crate::domain::{time::Timestamp, token::TokenHash, username::Username};

/// A session in a list of its owner's.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct KeptSession {
    /// A UUID, version 7.
    pub id: String,
    /// The client's own name for itself.
    pub name: String,
    /// The network that it began from; empty if it isn't known.
    pub network: String,
    /// When it began, in milliseconds since 1970.
    pub created_at: i64,
    /// When it was last used, to the minute.
    pub last_seen_at: i64,
    /// When it ends at the latest.
    pub expires_at: i64,
    /// When somebody logged in for the last time before it, if ever.
    pub previous_login_at: Option<i64>,
    /// When the password was last proven in it.
    pub proven_at: i64,
}

impl Store {
    /// The sessions of an account that had not ended before `unused_since` and `now`, the last used first.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn list_sessions(
        &self,
        user: &str,
        unused_since: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<KeptSession>, Error> {
        let sql = "SELECT id, name, network, created_at, last_seen_at, expires_at, previous_login_at, proven_at \
                   FROM sessions WHERE user_id = $1 AND last_seen_at > $2 AND expires_at > $3 ORDER BY last_seen_at DESC, id DESC";
        Ok(on_read!(self, conn => sqlx::query_as(sql)
            .bind(user)
            .bind(unused_since.as_millis())
            .bind(now.as_millis())
            .fetch_all(&mut *conn)
            .await?))
    }

    /// When somebody logged in to an account for the last time, if ever.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn last_login(&self, user: &str) -> Result<Option<Timestamp>, Error> {
        let sql = "SELECT last_login_at FROM users WHERE id = $1";
        let at: Option<Option<i64>> =
            on_read!(self, conn => sqlx::query_scalar(sql).bind(user).fetch_optional(&mut *conn).await?);
        Ok(at.flatten().map(Timestamp::from_millis))
    }

    /// Gives an account another username. `false`, and nothing is changed, if somebody has it.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn rename_user(&self, user: &str, username: &Username) -> Result<bool, Error> {
        let (store, user, username) = (self.clone(), user.to_owned(), username.clone());
        let renamed = self.uncancelled(async move {
            let _forgotten = store.forget_user_afterwards(&user);
            on_write!(store, DURABLE, tx => {
                let sql = "UPDATE users SET username = $2, username_key = $3 WHERE id = $1";
                sqlx::query(sql).bind(&user).bind(username.as_str()).bind(username.key()).execute(&mut *tx).await?;
            });
            Ok(())
        });
        match renamed.await {
            Ok(()) => Ok(true),
            // The database's own uniqueness decides, so that two at once can't both have it.
            Err(Error::Fault(sqlx::Error::Database(e))) if e.is_unique_violation() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes an account with its sessions and its count of failed logins. Its email and username are free again.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn delete_user(&self, user: &str) -> Result<(), Error> {
        let (store, user) = (self.clone(), user.to_owned());
        self.uncancelled(async move {
            let _ended = store.forget_user_afterwards(&user);
            on_write!(store, DURABLE, tx => {
                sqlx::query("DELETE FROM users WHERE id = $1").bind(&user).execute(&mut *tx).await?;
                sqlx::query("DELETE FROM account_throttles WHERE key = $1").bind(&user).execute(&mut *tx).await?;
            });
            Ok(())
        })
        .await
    }

    /// Ends one session of an account. `false` if the account has none of this name.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn end_session_of(&self, user: &str, session: &str) -> Result<bool, Error> {
        let (store, user, session) = (self.clone(), user.to_owned(), session.to_owned());
        self.uncancelled(async move {
            let (ended, _forgotten) = on_write!(store, DURABLE, tx => {
                let sql = "DELETE FROM sessions WHERE id = $1 AND user_id = $2 RETURNING token_hash";
                let ended: Vec<Vec<u8>> =
                    sqlx::query_scalar(sql).bind(&session).bind(&user).fetch_all(&mut *tx).await?;
                (!ended.is_empty(), store.forget_afterwards(&ended))
            });
            Ok(ended)
        })
        .await
    }

    /// Ends every session of an account but one. Returns how many there were.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn end_other_sessions(&self, user: &str, kept: &str) -> Result<u64, Error> {
        let (store, user, kept) = (self.clone(), user.to_owned(), kept.to_owned());
        self.uncancelled(async move {
            let _ended = store.forget_user_afterwards(&user);
            Ok(on_write!(store, DURABLE, tx => {
                // Before the deletion, so that a login under way can't slip in behind it.
                tx.lock_user(&user).await?;
                let sql = "DELETE FROM sessions WHERE user_id = $1 AND id <> $2";
                sqlx::query(sql).bind(&user).bind(&kept).execute(&mut *tx).await?.rows_affected()
            }))
        })
        .await
    }

    /// Notes that a session's user has proven the password whose hash is given, and forgets the account's failed logins.
    /// `false` if the session has ended, or the password is another by now.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn note_proof(&self, session: &TokenHash, password_hash: &str, now: Timestamp) -> Result<bool, Error> {
        let (store, session, password_hash) = (self.clone(), *session, password_hash.to_owned());
        self.uncancelled(async move {
            let _forgotten = store.forget_afterwards(&[session.as_bytes().to_vec()]);
            let user: Option<String> = on_write!(store, DURABLE, tx => {
                let sql = "UPDATE sessions SET proven_at = $3 WHERE token_hash = $1 AND user_id IN \
                           (SELECT id FROM users WHERE password_hash = $2 AND disabled_at IS NULL) RETURNING user_id";
                let user: Option<String> = sqlx::query_scalar(sql)
                    .bind(session.as_bytes().as_slice())
                    .bind(&password_hash)
                    .bind(now.as_millis())
                    .fetch_optional(&mut *tx)
                    .await?;
                if let Some(user) = &user {
                    let sql = "DELETE FROM account_throttles WHERE key = $1";
                    sqlx::query(sql).bind(user).execute(&mut *tx).await?;
                }
                user
            });
            Ok(user.is_some())
        })
        .await
    }

    /// Replaces a password's hash by another's, ends every session but one, in which the password counts as proven now, and
    /// forgets the account's failed logins, in one transaction. Returns how many sessions ended; `None`, and nothing is
    /// changed, if the password is another by now.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn change_password(
        &self,
        user: &str,
        (old, new): (&str, &str),
        kept: &str,
        now: Timestamp,
    ) -> Result<Option<u64>, Error> {
        let (store, user, kept) = (self.clone(), user.to_owned(), kept.to_owned());
        let (old, new) = (old.to_owned(), new.to_owned());
        self.uncancelled(async move {
            let _ended = store.forget_user_afterwards(&user);
            Ok(on_write!(store, DURABLE, tx => {
                let sql = "UPDATE users SET password_hash = $3 \
                           WHERE id = $1 AND password_hash = $2 AND disabled_at IS NULL";
                let changed =
                    sqlx::query(sql).bind(&user).bind(&old).bind(&new).execute(&mut *tx).await?.rows_affected();
                if changed == 0 {
                    None
                } else {
                    let sql = "UPDATE sessions SET proven_at = $2 WHERE id = $1";
                    sqlx::query(sql).bind(&kept).bind(now.as_millis()).execute(&mut *tx).await?;
                    let sql = "DELETE FROM account_throttles WHERE key = $1";
                    sqlx::query(sql).bind(&user).execute(&mut *tx).await?;
                    let sql = "DELETE FROM sessions WHERE user_id = $1 AND id <> $2";
                    Some(sqlx::query(sql).bind(&user).bind(&kept).execute(&mut *tx).await?.rows_affected())
                }
            }))
        })
        .await
    }
}
