//! Sessions: one row for each login, found by the hash of its token.

use std::sync::{Arc, OnceLock};

use super::{
    DURABLE, Error, RELAXED, Store, User, UserRow,
    links::end_access,
    lock::Locks,
    on_read, on_write,
    rate_limits::{LoginCounter, know_network, settle_right},
};
use crate::domain::{account::Identity, time::Timestamp, token::TokenHash};

/// A session to be made.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// A UUID, version 7.
    pub id: String,
    /// Whose it is.
    pub user_id: String,
    /// What its token hashes to.
    pub token_hash: TokenHash,
    /// What its owner will know it by: the client's own name for itself.
    pub name: String,
    /// Now.
    pub created_at: Timestamp,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
    /// The network that it begins from.
    pub network: String,
}

/// How many sessions an account may have.
#[derive(Clone, Copy, Debug)]
pub struct SessionCap {
    /// So many, the new one among them.
    pub most: u32,
    /// Those last used at this time or before have ended, and take nobody's place.
    pub unused_since: Timestamp,
    /// Nor do those that begin after this, which the clock has yet to reach.
    pub begun_until: Timestamp,
}

/// What the login by which a session begins was counted under.
#[derive(Clone, Debug)]
pub struct LoginMade {
    /// The count that it settles. A registration has none: no password was compared.
    pub counter: Option<LoginCounter>,
    /// The network that the account knows from now on, where that was not noted lately.
    pub network: Option<String>,
}

/// A session as it is kept, with its user.
#[derive(Clone, Debug)]
pub struct Session {
    /// A UUID, version 7.
    pub id: String,
    /// Whose it is. Never a disabled account.
    pub user: User,
    /// What its token hashes to, until it is renewed.
    pub token_hash: TokenHash,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_seen_at: Timestamp,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
    /// When somebody logged in to the account for the last time before this session, if ever.
    pub previous_login_at: Option<Timestamp>,
    /// When its user last proved the password in it: at the login, or since.
    pub proven_at: Timestamp,
    /// What its owner is told, put together when it is first asked for.
    pub(super) identity: OnceLock<Identity>,
}

impl Session {
    /// What its owner is told.
    pub fn identity(&self) -> &Identity {
        self.identity.get_or_init(|| Identity {
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
            identity: OnceLock::new(),
        }
    }
}

/// What is known once a session has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionStart {
    /// When somebody logged in to the account for the last time before, if ever.
    pub previous_login_at: Option<Timestamp>,
}

/// $1 the session, $2 the user, $3 the token's hash, $4 the name, $5 now, $6 the end, $7 the password's hash, $8 the
/// network. Tells how many sessions the user has beside it: whether a statement sees its own row is for each database to
/// say.
const ADD: &str = "INSERT INTO sessions \
    (id, user_id, token_hash, name, created_at, last_seen_at, proven_at, expires_at, network, previous_login_at) \
    SELECT $1, id, $3, $4, $5, $5, $5, $6, $8, last_login_at \
    FROM users WHERE id = $2 AND password_hash = $7 AND disabled_at IS NULL \
    RETURNING (SELECT COUNT(*) FROM sessions WHERE user_id = $2 AND id <> $1), previous_login_at";

/// $1 the user, $2 the new session, $3 how many others may stay, $4 the last use up to which they have ended, $5 now, $6 the
/// latest beginning. Never the new one: another server's clock may be a little ahead.
const EVICT: &str = "DELETE FROM sessions WHERE user_id = $1 AND id <> $2 AND id NOT IN \
    (SELECT id FROM sessions WHERE user_id = $1 AND id <> $2 AND last_seen_at > $4 AND expires_at > $5 AND created_at <= $6 \
    ORDER BY created_at DESC, id DESC LIMIT $3) RETURNING token_hash";

/// Ends a session of an account that is locked. By its identifier, for a renewal under way changes its token. Gives the hash of the
/// token that it had, if it was there.
macro_rules! end_session {
    ($tx:ident, $user:expr, $session:expr) => {{
        let sql = "DELETE FROM sessions WHERE id = $1 AND user_id = $2 RETURNING token_hash";
        let ended: Vec<Vec<u8>> = sqlx::query_scalar(sql).bind($session).bind($user).fetch_all(&mut *$tx).await?;
        ended
    }};
}

pub(super) use end_session;

impl Store {
    /// Begins a session: adds it, settles the login, and ends the account's oldest sessions past the cap. All
    /// in one transaction, and only while the account is open and the password is still the one that was checked.
    /// `None` if it isn't. Its commit waits for no disk: whom a loss of power costs a session logs in again.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
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

    /// The session behind a token, from memory where this process is the only one that writes.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn find_session(&self, hash: &TokenHash) -> Result<Option<Arc<Session>>, Error> {
        // A statement's state takes kilobytes, which every check would carry if they weren't boxed.
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

    /// Ends one session, also if it was renewed since it was read.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
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

    /// Ends every session of an account and its personal access tokens, and forgets its known networks. Returns how many sessions there were.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn end_sessions_of(&self, user: &str) -> Result<u64, Error> {
        let (store, user) = (self.clone(), user.to_owned());
        self.uncancelled(async move {
            let _ended = store.forget_user_afterwards(&user);
            Ok(on_write!(store, DURABLE, tx => {
                // Before the deletion, so that a login under way can't slip in behind it.
                tx.lock_user(&user).await?;
                end_access!(tx, &user)
            }))
        })
        .await
    }

    /// Notes when sessions and personal access tokens were last used, in one transaction for all.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn touch_tokens(&self, seen: &[(TokenHash, Timestamp)]) -> Result<(), Error> {
        on_write!(self, RELAXED, tx => {
            let [session, access_token] = tx.noting_a_use();
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

    /// Notes in memory when a session was last used, so that the next check knows.
    pub fn note_seen(&self, hash: &TokenHash, at: Timestamp) {
        if let Some(cache) = &self.inner.cache {
            cache.note_seen(hash, at);
        }
    }
}
