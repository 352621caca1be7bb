//! Operations on accounts by their owners. Each one requires that its session or access token is still valid and that
//! its account is enabled. The transaction itself checks this again.

use super::{
    Asking, Authority, DURABLE, Error, Inherit, NewMail, Store,
    access_tokens::revoke_access_tokens,
    authority::{is_active, lock_active, lock_authorized},
    links::revoke_links,
    lock::Locks,
    mail::enqueue_mail,
    on_read, on_write,
    rate_limits::{forget_counts, forget_networks, inherit_failures, own_counts, welcome},
    sessions::end_session,
};
use crate::domain::{time::Timestamp, token::TokenHash, username::Username};

/// A stored session in a list for its owner. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
#[expect(missing_docs, reason = "the fields are columns of the table")]
pub struct SessionRecord {
    /// A UUID, version 7.
    pub id: String,
    /// The client's name, from its `User-Agent`.
    pub name: String,
    /// The network of the login. Empty if unknown.
    pub network: String,
    pub created_at: i64,
    /// Accurate to the minute.
    pub last_seen_at: i64,
    /// The end of the maximum lifetime.
    pub expires_at: i64,
    /// The account's last login before this session, if any.
    pub previous_login_at: Option<i64>,
    /// When the user last entered the password in this session.
    pub proven_at: i64,
}

/// A filter for active sessions.
#[derive(Clone, Copy, Debug)]
pub struct ActiveSessions {
    /// Sessions last used at or before this have expired.
    pub unused_since: Timestamp,
    /// Sessions whose maximum lifetime ends at or before this have expired.
    pub now: Timestamp,
    /// Sessions created after this are invalid: the clock was put back.
    pub begun_until: Timestamp,
}

impl ActiveSessions {
    /// All stored sessions, including expired ones.
    pub const ALL: Self = Self {
        unused_since: Timestamp::from_millis(i64::MIN),
        now: Timestamp::from_millis(i64::MIN),
        begun_until: Timestamp::from_millis(i64::MAX),
    };
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

/// $1 the session, $2 the user, $3 the token's hash, $4 the new token's hash, $5 the password's hash, $6 now. Also
/// stores the use of the session, since a pending update of its last use refers to the old token.
const RENEW: &str = "UPDATE sessions SET token_hash = $4, proven_at = $6, last_seen_at = $6 \
    WHERE id = $1 AND user_id = $2 AND token_hash = $3 \
    AND user_id IN (SELECT id FROM users WHERE id = $2 AND password_hash = $5 AND disabled_at IS NULL)";

/// Locks the account and gives a session a new token. Returns whether the session still had the token of the request.
macro_rules! renew {
    ($tx:ident, $asking:expr, $new:expr, $password_hash:expr, $now:expr) => {{
        let (asking, now): (&Asking, Timestamp) = ($asking, $now);
        $tx.lock_user(&asking.user).await?;
        let query = sqlx::query(RENEW).bind(&asking.id).bind(&asking.user);
        let query = query.bind(asking.token_hash.as_bytes().as_slice()).bind($new).bind($password_hash);
        query.bind(now.as_millis()).execute(&mut *$tx).await?.rows_affected() == 1
    }};
}

impl Store {
    /// An account's sessions, the most recently used first.
    pub async fn list_sessions(&self, user: &str, active: ActiveSessions) -> Result<Vec<SessionRecord>, Error> {
        let sql = "SELECT id, name, network, created_at, last_seen_at, expires_at, previous_login_at, proven_at \
                   FROM sessions WHERE user_id = $1 AND last_seen_at > $2 AND expires_at > $3 AND created_at <= $4 \
                   ORDER BY last_seen_at DESC, id DESC";
        Ok(on_read!(self, conn => sqlx::query_as(sql)
            .bind(user)
            .bind(active.unused_since.as_millis())
            .bind(active.now.as_millis())
            .bind(active.begun_until.as_millis())
            .fetch_all(&mut *conn)
            .await?))
    }

    /// An account's last login, if any, with the number of remembered failed logins and the time of the last one. The
    /// failures include those of strangers, counted under the key `strangers`. Times are milliseconds since 1970.
    /// [`Error::Unavailable`].
    pub async fn attempts_of(&self, user: &str, strangers: &str) -> Result<(Option<i64>, Option<(i64, i64)>), Error> {
        Ok(on_read!(self, conn => {
            let sql = "SELECT last_login_at FROM users WHERE id = $1";
            let last: Option<Option<i64>> = sqlx::query_scalar(sql).bind(user).fetch_optional(&mut *conn).await?;
            let sql = concat!(
                "SELECT CAST(SUM(failures) AS BIGINT), MAX(last_at) FROM account_throttles WHERE failures > 0 AND \
                 ((key = $2 AND EXISTS (SELECT id FROM users WHERE id = $1)) OR key IN (",
                own_counts!(),
                "))"
            );
            let failed: (Option<i64>, Option<i64>) =
                sqlx::query_as(sql).bind(user).bind(strangers).fetch_one(&mut *conn).await?;
            (last.flatten(), failed.0.zip(failed.1))
        }))
    }

    /// The last login from each network that an account knows, the latest first. Times are milliseconds since 1970.
    pub async fn known_networks_of(&self, user: &str) -> Result<Vec<i64>, Error> {
        let sql = "SELECT seen_at FROM known_networks WHERE user_id = $1 ORDER BY seen_at DESC";
        Ok(on_read!(self, conn => sqlx::query_scalar(sql).bind(user).fetch_all(&mut *conn).await?))
    }

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

    /// Enqueues a mail about an account to another address. Returns `None`, and changes nothing, if the requesting
    /// session has ended.
    pub async fn enqueue_mail_for(&self, mail: &NewMail, asking: &Asking, address: &str) -> Result<Option<()>, Error> {
        Ok(on_write!(self, DURABLE, tx => {
            let active = lock_active!(tx, asking);
            if active {
                enqueue_mail!(tx, mail, Some(&asking.user), address);
            }
            active.then_some(())
        }))
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

    /// Whether an account has a session with this id.
    pub async fn has_session(&self, user: &str, session: &str) -> Result<bool, Error> {
        let sql = "SELECT id FROM sessions WHERE id = $1 AND user_id = $2";
        let found: Option<String> =
            on_read!(self, conn => sqlx::query_scalar(sql).bind(session).bind(user).fetch_optional(&mut *conn).await?);
        Ok(found.is_some())
    }

    /// Whether the session or access token still has the same token, and its account is enabled.
    pub async fn still_asks(&self, asking: &Asking) -> Result<bool, Error> {
        Ok(on_read!(self, conn => is_active!(conn, asking)))
    }

    /// Ends one session of an account. Returns `false` if the account has no session with this id, or `None` if the
    /// requesting session has ended.
    pub async fn end_session_of(&self, asking: Asking, session: &str) -> Result<Option<bool>, Error> {
        let (store, session) = (self.clone(), session.to_owned());
        self.uncancelled(async move {
            let (ended, _forgotten) = on_write!(store, DURABLE, tx => {
                let active = lock_active!(tx, &asking);
                let ended = if active { end_session!(tx, &asking.user, &session) } else { Vec::new() };
                (active.then_some(!ended.is_empty()), store.forget_afterwards(&ended))
            });
            Ok(ended)
        })
        .await
    }

    /// Whether [`Store::end_other_sessions`] would change anything.
    pub async fn has_other_sessions(&self, user: &str, asking: &str) -> Result<bool, Error> {
        let sql = "SELECT id FROM users WHERE id = $1 AND \
                   (EXISTS (SELECT 1 FROM sessions WHERE user_id = $1 AND id <> $2) \
                    OR EXISTS (SELECT 1 FROM links WHERE user_id = $1 AND kind IN ('reset', 'change_email')) \
                    OR EXISTS (SELECT 1 FROM mails WHERE user_id = $1 AND kind = 'change_email'))";
        let found: Option<String> =
            on_read!(self, conn => sqlx::query_scalar(sql).bind(user).bind(asking).fetch_optional(&mut *conn).await?);
        Ok(found.is_some())
    }

    /// Ends every session of an account except the requesting one, and revokes links that reset the password or
    /// change the email. Returns how many sessions ended, or `None` if the requesting session has ended.
    pub async fn end_other_sessions(&self, asking: Asking) -> Result<Option<u64>, Error> {
        let store = self.clone();
        self.uncancelled(async move {
            let _ended = store.forget_user_afterwards(&asking.user);
            Ok(on_write!(store, DURABLE, tx => {
                if lock_active!(tx, &asking) {
                    revoke_links!(tx, &asking.user);
                    let sql = "DELETE FROM sessions WHERE user_id = $1 AND id <> $2";
                    let query = sqlx::query(sql).bind(&asking.user).bind(&asking.id);
                    Some(query.execute(&mut *tx).await?.rows_affected())
                } else {
                    None
                }
            }))
        })
        .await
    }

    /// Stores that a session's user has entered the password with the given hash, and gives the session a new token.
    /// Returns `false` if the session has ended, or the password no longer has that hash.
    pub async fn renew_session(
        &self,
        asking: Asking,
        new: &TokenHash,
        password_hash: &str,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let (store, new, password_hash) = (self.clone(), new.as_bytes().to_vec(), password_hash.to_owned());
        self.uncancelled(async move {
            let _forgotten = store.forget_afterwards(&[asking.token_hash.as_bytes().to_vec()]);
            Ok(on_write!(store, DURABLE, tx => renew!(tx, &asking, &new, &password_hash, now)))
        })
        .await
    }

    /// Like [`Store::renew_session`], but also changes the password. Ends every other session, revokes links that
    /// reset the password or change the email, and enqueues `notice` for the owner. Makes `network` the only known
    /// one. With `revoke_tokens` it also revokes every personal access token. Returns how many sessions ended.
    /// Returns `None`, and changes nothing, if the session has ended or the password no longer has the old hash.
    pub async fn change_password(
        &self,
        asking: Asking,
        (new, network): (&TokenHash, &str),
        (old_password, new_password): (&str, &str),
        now: Timestamp,
        notice: Option<&NewMail>,
        revoke_tokens: bool,
    ) -> Result<Option<u64>, Error> {
        let (store, new) = (self.clone(), new.as_bytes().to_vec());
        let (old_password, new_password) = (old_password.to_owned(), new_password.to_owned());
        let (network, notice) = (network.to_owned(), notice.cloned());
        self.uncancelled(async move {
            let user = &asking.user;
            let _ended = store.forget_user_afterwards(user);
            Ok(on_write!(store, DURABLE, tx => {
                if renew!(tx, &asking, &new, &old_password, now) {
                    let sql = "UPDATE users SET password_hash = $2 WHERE id = $1";
                    sqlx::query(sql).bind(user).bind(&new_password).execute(&mut *tx).await?;
                    revoke_links!(tx, user);
                    forget_networks!(tx, user);
                    welcome!(tx, user, &network, now);
                    if revoke_tokens {
                        revoke_access_tokens!(tx, user);
                    }
                    if let Some(notice) = &notice {
                        enqueue_mail!(tx, notice, Some(user), "");
                    }
                    let sql = "DELETE FROM sessions WHERE user_id = $1 AND id <> $2";
                    Some(sqlx::query(sql).bind(user).bind(&asking.id).execute(&mut *tx).await?.rows_affected())
                } else {
                    None
                }
            }))
        })
        .await
    }
}
