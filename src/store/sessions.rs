//! Sessions: one row for each login, found by the hash of the token.

use std::sync::{Arc, OnceLock};

use super::{
    Asking, DURABLE, Error, RELAXED, Store, User, UserRow,
    authority::lock_active,
    links::{end_access, revoke_links},
    lock::Locks,
    on_read, on_write,
    rate_limits::{LoginCounter, know_network, settle_right},
};
use crate::domain::{account::CurrentSession, time::Timestamp, token::TokenHash};

/// A session to create.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "most fields are columns of the table")]
pub struct NewSession {
    /// A UUID, version 7.
    pub id: String,
    pub user_id: String,
    pub token_hash: TokenHash,
    /// The client's name, from its `User-Agent`, by which the owner recognises the session.
    pub name: String,
    pub created_at: Timestamp,
    /// The end of the maximum lifetime.
    pub expires_at: Timestamp,
    /// The network of the login.
    pub network: String,
}

/// The maximum number of sessions of an account.
#[derive(Clone, Copy, Debug)]
pub struct SessionCap {
    /// The maximum, including the new session.
    pub most: u32,
    /// Sessions last used at or before this have expired and are not included.
    pub unused_since: Timestamp,
    /// Sessions created after this are not included either: the clock was put back.
    pub begun_until: Timestamp,
}

/// The counter and network of the login that creates a session.
#[derive(Clone, Debug)]
pub struct LoginMade {
    /// The counter to settle. `None` for a registration, where no password was compared.
    pub counter: Option<LoginCounter>,
    /// The network to store as known. `None` if it was stored recently.
    pub network: Option<String>,
}

/// A stored session with its user.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "most fields are columns of the table")]
pub struct Session {
    /// A UUID, version 7.
    pub id: String,
    /// The owner. Never a disabled account.
    pub user: User,
    /// The hash of the current token. Renewing the session replaces it.
    pub token_hash: TokenHash,
    pub created_at: Timestamp,
    /// Accurate to the minute.
    pub last_seen_at: Timestamp,
    /// The end of the maximum lifetime.
    pub expires_at: Timestamp,
    /// The account's last login before this session, if any.
    pub previous_login_at: Option<Timestamp>,
    /// When the user last entered the password: at login or later.
    pub proven_at: Timestamp,
    /// Computed on first use.
    pub(super) current: OnceLock<CurrentSession>,
}

impl Session {
    /// The account and session data for the owner.
    pub fn current(&self) -> &CurrentSession {
        self.current.get_or_init(|| CurrentSession {
            account: self.user.clone().into(),
            expires_at: self.expires_at.to_rfc3339(),
            previous_login_at: self.previous_login_at.map(Timestamp::to_rfc3339),
        })
    }
}

/// A row of `sessions` joined with `users`.
#[derive(Debug, sqlx::FromRow)]
pub struct SessionRow {
    session_id: String,
    session_created_at: i64,
    last_seen_at: i64,
    expires_at: i64,
    previous_login_at: Option<i64>,
    proven_at: i64,
    #[sqlx(flatten)]
    user: UserRow,
}

impl SessionRow {
    fn into_session(self, token_hash: TokenHash) -> Session {
        let row = self;
        Session {
            id: row.session_id,
            user: row.user.into(),
            token_hash,
            created_at: Timestamp::from_millis(row.session_created_at),
            last_seen_at: Timestamp::from_millis(row.last_seen_at),
            expires_at: Timestamp::from_millis(row.expires_at),
            previous_login_at: row.previous_login_at.map(Timestamp::from_millis),
            proven_at: Timestamp::from_millis(row.proven_at),
            current: OnceLock::new(),
        }
    }
}

/// The result of creating a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionStart {
    /// The account's last login before this one, if any.
    pub previous_login_at: Option<Timestamp>,
}

/// $1 the session, $2 the user, $3 the token's hash, $4 the name, $5 now, $6 the expiry, $7 the password's hash, $8
/// the network. Returns the number of the user's other sessions. The new row is excluded explicitly, since the
/// databases differ in whether a statement sees the row it inserts.
const ADD: &str = "INSERT INTO sessions \
    (id, user_id, token_hash, name, created_at, last_seen_at, proven_at, expires_at, network, previous_login_at) \
    SELECT $1, id, $3, $4, $5, $5, $5, $6, $8, last_login_at \
    FROM users WHERE id = $2 AND password_hash = $7 AND disabled_at IS NULL \
    RETURNING (SELECT COUNT(*) FROM sessions WHERE user_id = $2 AND id <> $1), previous_login_at";

/// $1 the user, $2 the new session, $3 how many others may stay, $4 the last use at or before which sessions have
/// expired, $5 now, $6 the latest creation time. Never deletes the new session, since another server's clock may be
/// slightly ahead.
const EVICT: &str = "DELETE FROM sessions WHERE user_id = $1 AND id <> $2 AND id NOT IN \
    (SELECT id FROM sessions WHERE user_id = $1 AND id <> $2 AND last_seen_at > $4 AND expires_at > $5 AND created_at <= $6 \
    ORDER BY created_at DESC, id DESC LIMIT $3) RETURNING token_hash";

/// Deletes a session of a locked account by its id, since a concurrent renewal changes the token. Returns the hash of
/// its token, if the session existed.
macro_rules! end_session {
    ($tx:ident, $user:expr, $session:expr) => {{
        let sql = "DELETE FROM sessions WHERE id = $1 AND user_id = $2 RETURNING token_hash";
        let ended: Vec<Vec<u8>> = sqlx::query_scalar(sql).bind($session).bind($user).fetch_all(&mut *$tx).await?;
        ended
    }};
}

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

/// $1 the session, $2 the user, $3 the token's hash, $4 the new token's hash, $5 the password's hash, $6 now. Also
/// stores the use of the session, since a pending update of its last use refers to the old token.
pub(super) const RENEW: &str = "UPDATE sessions SET token_hash = $4, proven_at = $6, last_seen_at = $6 \
    WHERE id = $1 AND user_id = $2 AND token_hash = $3 \
    AND user_id IN (SELECT id FROM users WHERE id = $2 AND password_hash = $5 AND disabled_at IS NULL)";

/// Locks the account and gives a session a new token. Returns whether the session still had the token of the request.
macro_rules! renew {
    ($tx:ident, $asking:expr, $new:expr, $password_hash:expr, $now:expr) => {{
        let (asking, now): (&Asking, Timestamp) = ($asking, $now);
        $tx.lock_user(&asking.user).await?;
        let query = sqlx::query($crate::store::sessions::RENEW).bind(&asking.id).bind(&asking.user);
        let query = query.bind(asking.token_hash.as_bytes().as_slice()).bind($new).bind($password_hash);
        query.bind(now.as_millis()).execute(&mut *$tx).await?.rows_affected() == 1
    }};
}

pub(super) use renew;

impl Store {
    /// Creates a session, settles the login, and ends the account's oldest sessions beyond the cap, in one
    /// transaction. Returns `None` if the account is disabled or the password has changed since it was checked. The
    /// commit doesn't wait for the disk: a user who loses a session in a power failure logs in again.
    pub async fn begin_session(
        &self,
        new: NewSession,
        password_hash: String,
        cap: SessionCap,
        login: LoginMade,
    ) -> Result<Option<SessionStart>, Error> {
        let (store, most) = (self.clone(), i64::from(cap.most));
        self.uncancelled(async move {
            let (begun, _evicted) = on_write!(store, RELAXED, tx => {
                tx.lock_user(&new.user_id).await?;
                let added: Option<(i64, Option<i64>)> = sqlx::query_as(ADD)
                    .bind(&new.id)
                    .bind(&new.user_id)
                    .bind(new.token_hash.as_bytes().as_slice())
                    .bind(&new.name)
                    .bind(new.created_at.as_millis())
                    .bind(new.expires_at.as_millis())
                    .bind(&password_hash)
                    .bind(&new.network)
                    .fetch_optional(&mut *tx)
                    .await?;
                if added.is_some() {
                    if let Some(counter) = &login.counter {
                        settle_right!(tx, counter);
                    }
                    if let Some(network) = &login.network {
                        know_network!(tx, &new.user_id, network, new.created_at);
                    }
                    let sql = "UPDATE users SET last_login_at = $2 WHERE id = $1";
                    sqlx::query(sql).bind(&new.user_id).bind(new.created_at.as_millis()).execute(&mut *tx).await?;
                }
                let mut evicted: Vec<Vec<u8>> = Vec::new();
                if added.is_some_and(|(others, _)| others >= most) {
                    evicted = sqlx::query_scalar(EVICT)
                        .bind(&new.user_id)
                        .bind(&new.id)
                        .bind(most - 1)
                        .bind(cap.unused_since.as_millis())
                        .bind(new.created_at.as_millis())
                        .bind(cap.begun_until.as_millis())
                        .fetch_all(&mut *tx)
                        .await?;
                }
                let begun =
                    added.map(|(_, last)| SessionStart { previous_login_at: last.map(Timestamp::from_millis) });
                (begun, store.forget_afterwards(&evicted))
            });
            Ok(begun)
        })
        .await
    }

    /// The session for a token. Comes from memory where this is the only process that writes.
    pub async fn find_session(&self, hash: &TokenHash) -> Result<Option<Arc<Session>>, Error> {
        // Boxed, since the query's state takes kilobytes, which every check would carry otherwise.
        let Some(cache) = &self.inner.cache else { return Box::pin(self.read_session(hash)).await };
        if let Some(session) = cache.get(hash) {
            return Ok(Some(session));
        }
        let generation = cache.generation();
        let session = Box::pin(self.read_session(hash)).await?;
        if let Some(session) = &session {
            cache.insert(*hash, Arc::clone(session), generation);
        }
        Ok(session)
    }

    async fn read_session(&self, hash: &TokenHash) -> Result<Option<Arc<Session>>, Error> {
        let sql = "SELECT s.id AS session_id, s.created_at AS session_created_at, s.last_seen_at, s.expires_at, \
                   s.previous_login_at, s.proven_at, u.id, u.email, u.username, u.created_at, u.disabled_at, \
                   u.email_verified_at \
                   FROM sessions s JOIN users u ON u.id = s.user_id \
                   WHERE s.token_hash = $1 AND u.disabled_at IS NULL";
        let row: Option<SessionRow> = on_read!(self, conn => {
            sqlx::query_as(sql).bind(hash.as_bytes().as_slice()).fetch_optional(&mut *conn).await?
        });
        Ok(row.map(|row| Arc::new(row.into_session(*hash))))
    }

    /// Ends one session, even if it was renewed since it was read.
    pub async fn end_session(&self, session: &Session) -> Result<(), Error> {
        let (store, user, id, hash) = (self.clone(), session.user.id.clone(), session.id.clone(), session.token_hash);
        self.uncancelled(async move {
            let _checked = store.forget_afterwards(&[hash.as_bytes().to_vec()]);
            let _ended = on_write!(store, DURABLE, tx => {
                tx.lock_user(&user).await?;
                store.forget_afterwards(&end_session!(tx, &user, &id))
            });
            Ok(())
        })
        .await
    }

    /// Ends every session of an account, revokes its personal access tokens, and forgets its known networks. Returns
    /// how many sessions ended.
    pub async fn end_sessions_of(&self, user: &str) -> Result<u64, Error> {
        let (store, user) = (self.clone(), user.to_owned());
        self.uncancelled(async move {
            let _ended = store.forget_user_afterwards(&user);
            Ok(on_write!(store, DURABLE, tx => {
                // Before the deletion, so that a concurrent login can't create a session after it.
                tx.lock_user(&user).await?;
                end_access!(tx, &user)
            }))
        })
        .await
    }

    /// Stores when sessions and personal access tokens were last used, in one transaction.
    pub async fn touch_tokens(&self, seen: &[(TokenHash, Timestamp)]) -> Result<(), Error> {
        on_write!(self, RELAXED, tx => {
            let [session, access_token] = tx.touch_statements();
            for (hash, at) in seen {
                let (hash, at) = (hash.as_bytes().as_slice(), at.as_millis());
                let noted = sqlx::query(session).bind(hash).bind(at).execute(&mut *tx).await?;
                if noted.rows_affected() == 0 {
                    sqlx::query(access_token).bind(hash).bind(at).execute(&mut *tx).await?;
                }
            }
        });
        Ok(())
    }

    /// Updates a session's last use in memory, so that the next check sees it.
    pub fn note_seen(&self, hash: &TokenHash, at: Timestamp) {
        if let Some(cache) = &self.inner.cache {
            cache.note_seen(hash, at);
        }
    }

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

    /// Whether an account has a session with this id.
    pub async fn has_session(&self, user: &str, session: &str) -> Result<bool, Error> {
        let sql = "SELECT id FROM sessions WHERE id = $1 AND user_id = $2";
        let found: Option<String> =
            on_read!(self, conn => sqlx::query_scalar(sql).bind(session).bind(user).fetch_optional(&mut *conn).await?);
        Ok(found.is_some())
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
}
