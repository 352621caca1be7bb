//! What people do with accounts of their own. Each act is done only while the session that asks for it lives and its account
//! is open, which is looked at again in the transaction itself.

use super::{
    DURABLE, Error, Inherit, NewMail, Store,
    access_tokens::revoke_access_tokens,
    links::revoke_links,
    lock::Locks,
    mail::enqueue_mail,
    on_read, on_write,
    rate_limits::{forget_counts, forget_networks, inherit_failures, own_counts, welcome},
    sessions::end_session,
};
use crate::domain::{time::Timestamp, token::TokenHash, username::Username};

/// A session in a list of its owner's. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct SessionRecord {
    /// A UUID, version 7.
    pub id: String,
    /// The client's own name for itself.
    pub name: String,
    /// The network that it began from; empty if it isn't known.
    pub network: String,
    /// When it began.
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

/// Which sessions still live.
#[derive(Clone, Copy, Debug)]
pub struct ActiveSessions {
    /// Those last used at this time or before have ended.
    pub unused_since: Timestamp,
    /// So have those that end now or ended before.
    pub now: Timestamp,
    /// And those that begin after this, which the clock has yet to reach.
    pub begun_until: Timestamp,
}

impl ActiveSessions {
    /// All that are kept, even if they have ended.
    pub const ALL: Self = Self {
        unused_since: Timestamp::from_millis(i64::MIN),
        now: Timestamp::from_millis(i64::MIN),
        begun_until: Timestamp::from_millis(i64::MAX),
    };
}

/// What came of a wish for another username.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenameOutcome {
    /// It is theirs.
    Done,
    /// Somebody has it.
    Taken,
    /// The session that asked has ended.
    SessionEnded,
}

/// What asks for an act: a session or a personal access token, as it was when it was checked.
#[derive(Clone, Debug)]
pub struct Asking {
    /// Whose it is.
    pub user: String,
    /// Its identifier, which a renewal leaves.
    pub id: String,
    /// What its token hashed to, which a renewal changes.
    pub token_hash: TokenHash,
}

/// $1 the session or access token, $2 the user, $3 the token's hash.
pub(super) const LIVING: &str = "SELECT id FROM users WHERE id = $2 AND disabled_at IS NULL AND \
    (EXISTS (SELECT 1 FROM sessions WHERE id = $1 AND user_id = $2 AND token_hash = $3) \
     OR EXISTS (SELECT 1 FROM access_tokens WHERE id = $1 AND user_id = $2 AND token_hash = $3))";

/// Whether what asks still has the token that it asked with, and its account is open.
macro_rules! finds {
    ($conn:ident, $asking:expr) => {{
        let asking: &$crate::store::Asking = $asking;
        let query = sqlx::query_scalar($crate::store::own::LIVING).bind(&asking.id).bind(&asking.user);
        let found: Option<String> =
            query.bind(asking.token_hash.as_bytes().as_slice()).fetch_optional(&mut *$conn).await?;
        found.is_some()
    }};
}

pub(super) use finds;

/// Locks an account. Then tells whether it is open, and whether what asks still has the token that it asked with. A session that
/// was renewed since the check has another, and the old token may do nothing any more.
macro_rules! lock_active {
    ($tx:ident, $asking:expr) => {{
        let asking: &$crate::store::Asking = $asking;
        $tx.lock_user(&asking.user).await?;
        $crate::store::own::finds!($tx, asking)
    }};
}

pub(super) use lock_active;

/// By what right an account is changed.
#[derive(Clone, Debug)]
pub enum Authority {
    /// Its owner, by a session.
    Asking(Asking),
    /// The operator, whom no session names.
    Operator {
        /// The account.
        user: String,
    },
}

impl Authority {
    fn user(&self) -> &str {
        match self {
            Self::Asking(asking) => &asking.user,
            Self::Operator { user } => user,
        }
    }
}

/// Locks an account, and tells whether it may be changed by this right.
macro_rules! allowed {
    ($tx:ident, $authority:expr) => {{
        let authority: &Authority = $authority;
        match authority {
            Authority::Asking(asking) => lock_active!($tx, asking),
            Authority::Operator { user } => {
                $tx.lock_user(user).await?;
                true
            }
        }
    }};
}

/// $1 the session, $2 the user, $3 the token's hash, $4 the next one's, $5 the password's hash, $6 now.
/// It is a use of the session, noted here: what waits to be noted knows the token until now.
const RENEW: &str = "UPDATE sessions SET token_hash = $4, proven_at = $6, last_seen_at = $6 \
    WHERE id = $1 AND user_id = $2 AND token_hash = $3 \
    AND user_id IN (SELECT id FROM users WHERE id = $2 AND password_hash = $5 AND disabled_at IS NULL)";

/// Gives a session another token, with its account locked. Tells whether the session still had the one that it asked with.
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
    /// An account's sessions, the last used first.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn list_sessions(&self, user: &str, living: ActiveSessions) -> Result<Vec<SessionRecord>, Error> {
        let sql = "SELECT id, name, network, created_at, last_seen_at, expires_at, previous_login_at, proven_at \
                   FROM sessions WHERE user_id = $1 AND last_seen_at > $2 AND expires_at > $3 AND created_at <= $4 \
                   ORDER BY last_seen_at DESC, id DESC";
        Ok(on_read!(self, conn => sqlx::query_as(sql)
            .bind(user)
            .bind(living.unused_since.as_millis())
            .bind(living.now.as_millis())
            .bind(living.begun_until.as_millis())
            .fetch_all(&mut *conn)
            .await?))
    }

    /// When somebody logged in to an account for the last time, if ever; and how many failed logins are remembered, of those
    /// whom it knows and of strangers, under a key of their own, and when the last one was. Times are milliseconds since 1970.
    ///
    /// # Errors
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

    /// When somebody logged in to an account from each of the networks that it knows, the latest first. Times are milliseconds
    /// since 1970.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn known_networks_of(&self, user: &str) -> Result<Vec<i64>, Error> {
        let sql = "SELECT seen_at FROM known_networks WHERE user_id = $1 ORDER BY seen_at DESC";
        Ok(on_read!(self, conn => sqlx::query_scalar(sql).bind(user).fetch_all(&mut *conn).await?))
    }

    /// Gives an account another username. Without a session it is the operator who asks. Strangers' failures with
    /// that username become the account's, `held`, and stay with the username until now, `left`.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
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
                let living = allowed!(tx, &authority);
                if living {
                    let sql = "UPDATE users SET username = $2, username_key = $3 WHERE id = $1";
                    sqlx::query(sql).bind(authority.user()).bind(username.as_str()).bind(username.key()).execute(&mut *tx).await?;
                    inherit_failures!(tx, &held);
                    inherit_failures!(tx, &left);
                }
                living
            }))
        });
        match renamed.await {
            Ok(true) => Ok(RenameOutcome::Done),
            Ok(false) => Ok(RenameOutcome::SessionEnded),
            // The database's own uniqueness decides, so that two at once can't both have it.
            Err(Error::Fault(sqlx::Error::Database(e))) if e.is_unique_violation() => Ok(RenameOutcome::Taken),
            Err(error) => Err(error),
        }
    }

    /// Puts a mail about an account into the queue, to another address. `None`, and nothing is changed, if the session that asks
    /// has ended.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn enqueue_mail_for(&self, mail: &NewMail, asking: &Asking, address: &str) -> Result<Option<()>, Error> {
        Ok(on_write!(self, DURABLE, tx => {
            let living = lock_active!(tx, asking);
            if living {
                enqueue_mail!(tx, mail, Some(&asking.user), address);
            }
            living.then_some(())
        }))
    }

    /// Removes an account with its sessions and whatever was counted of it. Its email and username are free again. `None`,
    /// and nothing is changed, if the session that asks has ended. Without a session it is the operator who asks. Strangers'
    /// failures stay with its username, `left`, as they stay with its email.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn delete_user(&self, authority: Authority, left: Inherit) -> Result<Option<()>, Error> {
        let store = self.clone();
        self.uncancelled(async move {
            let user = authority.user();
            let _ended = store.forget_user_afterwards(user);
            let deleted = on_write!(store, DURABLE, tx => {
                let living = allowed!(tx, &authority);
                if living {
                    let sql = "DELETE FROM mails WHERE user_id IS NULL \
                               AND LOWER(address) = (SELECT email_key FROM users WHERE id = $1)";
                    sqlx::query(sql).bind(user).execute(&mut *tx).await?;
                    forget_counts!(tx, user);
                    inherit_failures!(tx, &left);
                    sqlx::query("DELETE FROM users WHERE id = $1").bind(user).execute(&mut *tx).await?;
                    tx.note_remains().await?;
                }
                living.then_some(())
            });
            store.empty_log().await;
            Ok(deleted)
        })
        .await
    }

    /// Whether an account has a session of this name.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn has_session(&self, user: &str, session: &str) -> Result<bool, Error> {
        let sql = "SELECT id FROM sessions WHERE id = $1 AND user_id = $2";
        let found: Option<String> =
            on_read!(self, conn => sqlx::query_scalar(sql).bind(session).bind(user).fetch_optional(&mut *conn).await?);
        Ok(found.is_some())
    }

    /// Whether what asks still has the token that it asked with.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn still_asks(&self, asking: &Asking) -> Result<bool, Error> {
        Ok(on_read!(self, conn => finds!(conn, asking)))
    }

    /// Ends one session of an account. `false` if the account has none of this name; `None` if the session that asks has
    /// ended.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn end_session_of(&self, asking: Asking, session: &str) -> Result<Option<bool>, Error> {
        let (store, session) = (self.clone(), session.to_owned());
        self.uncancelled(async move {
            let (ended, _forgotten) = on_write!(store, DURABLE, tx => {
                let living = lock_active!(tx, &asking);
                let ended = if living { end_session!(tx, &asking.user, &session) } else { Vec::new() };
                (living.then_some(!ended.is_empty()), store.forget_afterwards(&ended))
            });
            Ok(ended)
        })
        .await
    }

    /// Whether [`Store::end_other_sessions`] would change anything.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn has_other_sessions(&self, user: &str, asking: &str) -> Result<bool, Error> {
        let sql = "SELECT id FROM users WHERE id = $1 AND \
                   (EXISTS (SELECT 1 FROM sessions WHERE user_id = $1 AND id <> $2) \
                    OR EXISTS (SELECT 1 FROM links WHERE user_id = $1 AND kind IN ('reset', 'change_email')) \
                    OR EXISTS (SELECT 1 FROM mails WHERE user_id = $1 AND kind = 'change_email'))";
        let found: Option<String> =
            on_read!(self, conn => sqlx::query_scalar(sql).bind(user).bind(asking).fetch_optional(&mut *conn).await?);
        Ok(found.is_some())
    }

    /// Ends every session of an account but the one that asks. Returns how many there were; `None` if that one has ended.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
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

    /// Notes that a session's user has proven the password whose hash is given, and gives the session another token. `false`
    /// if the session has ended, or the password is another by now.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
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

    /// As [`Store::renew_session`]; beyond that it replaces the password's hash by another's, ends every other session of the
    /// account, voids links to a new password, and posts what the owner is to be told. The account knows `network` and no other
    /// from now on. With `revoke_tokens` it revokes every personal access token too. Returns how many sessions ended; `None`, and
    /// nothing is changed, if the session has ended or the password is another by now.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn change_password(
        &self,
        asking: Asking,
        (new, network): (&TokenHash, &str),
        (old_password, new_password): (&str, &str),
        now: Timestamp,
        told: Option<&NewMail>,
        revoke_tokens: bool,
    ) -> Result<Option<u64>, Error> {
        let (store, new) = (self.clone(), new.as_bytes().to_vec());
        let (old_password, new_password) = (old_password.to_owned(), new_password.to_owned());
        let (network, told) = (network.to_owned(), told.cloned());
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
                    if let Some(told) = &told {
                        enqueue_mail!(tx, told, Some(user), "");
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
