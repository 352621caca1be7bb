//! Sessions: one row for each login, found by the hash of the token.

use std::sync::{Arc, OnceLock};

use super::{
    Authority, CheckedToken, Error, Store, User, UserRow,
    access::{end_access, end_other_sessions, revoke_links},
    authority::{lock_active, lock_authorized},
    begin::{DURABLE, RELAXED},
    events::{Event, record},
    failed_logins::{LoginCounter, settle_right},
    known_networks::know_network,
    tx::{Tx, values},
    users::select_users,
};
use crate::domain::{
    account::CurrentSession,
    event::{Details, EventName, Stamp},
    time::Timestamp,
    token::TokenHash,
};

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
    pub created_until: Timestamp,
}

/// The counter and network of the login that creates a session.
#[derive(Clone, Debug)]
pub struct LoginRecord {
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
    FROM users WHERE id = $2 AND password_hash = $7 AND disabled_at IS NULL AND pending_since IS NULL \
    RETURNING (SELECT COUNT(*) FROM sessions WHERE user_id = $2 AND id <> $1), previous_login_at";

/// $1 the user, $2 the new session, $3 how many others may stay, $4 the last use at or before which sessions have
/// expired, $5 now, $6 the latest creation time. Never deletes the new session, since another server's clock may be
/// slightly ahead.
const EVICT: &str = "DELETE FROM sessions WHERE user_id = $1 AND id <> $2 AND id NOT IN \
    (SELECT id FROM sessions WHERE user_id = $1 AND id <> $2 AND last_seen_at > $4 AND expires_at > $5 AND created_at <= $6 \
    ORDER BY created_at DESC, id DESC LIMIT $3) RETURNING token_hash";

/// Deletes a session of a locked account by its id, since a concurrent renewal changes the token. Returns whether it
/// existed.
async fn end_session(tx: &mut Tx<'_>, user: &str, session: &str) -> Result<bool, Error> {
    let sql = "DELETE FROM sessions WHERE id = $1 AND user_id = $2 RETURNING token_hash";
    let ended = tx.fetch_column(sql, values![session, user]).await?;
    tx.invalidate_sessions(&ended);
    Ok(!ended.is_empty())
}

/// Adds the event of an ended session.
async fn record_end(tx: &mut Tx<'_>, stamp: &Stamp, user: &str, session: String) -> Result<(), Error> {
    let details = Details { session: Some(session), ..Details::default() };
    record(tx, stamp, Event::of(EventName::SessionEnd, user).with(details)).await
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
    pub created_until: Timestamp,
}

impl ActiveSessions {
    /// All stored sessions, including expired ones.
    pub const ALL: Self = Self {
        unused_since: Timestamp::from_millis(i64::MIN),
        now: Timestamp::from_millis(i64::MIN),
        created_until: Timestamp::from_millis(i64::MAX),
    };
}

/// Locks the account and gives a session a new token. Returns whether the session still had the token of the request,
/// and the password still has the given hash. Also stores the use of the session, since a pending update of its last
/// use refers to the old token.
pub(super) async fn renew(
    tx: &mut Tx<'_>,
    checked: &CheckedToken,
    new: &TokenHash,
    password_hash: &str,
    now: Timestamp,
) -> Result<bool, Error> {
    tx.lock_user(&checked.user).await?;
    tx.invalidate_sessions(&[checked.token_hash.as_bytes().to_vec()]);
    let sql = "UPDATE sessions SET token_hash = $4, proven_at = $6, last_seen_at = $6 \
               WHERE id = $1 AND user_id = $2 AND token_hash = $3 \
               AND user_id IN (SELECT id FROM users WHERE id = $2 AND password_hash = $5 AND disabled_at IS NULL)";
    let values = values![&checked.id, &checked.user, &checked.token_hash, new, password_hash, now];
    Ok(tx.execute(sql, values).await? == 1)
}

/// Ends an account's oldest sessions beyond the cap. Returns how many ended.
async fn evict_sessions(tx: &mut Tx<'_>, new: &NewSession, cap: SessionCap) -> Result<u64, Error> {
    let most = i64::from(cap.most) - 1;
    let values = values![&new.user_id, &new.id, most, cap.unused_since, new.created_at, cap.created_until];
    let evicted = tx.fetch_column(EVICT, values).await?;
    tx.invalidate_sessions(&evicted);
    Ok(evicted.len() as u64)
}

impl Store {
    /// Creates a session, settles the login, and ends the account's oldest sessions beyond the cap, in one
    /// transaction. Returns `None` if the account is disabled, waits for approval, or the password has changed since it was checked. The
    /// commit doesn't wait for the disk: a user who loses a session in a power failure logs in again.
    pub async fn begin_session(
        &self,
        new: NewSession,
        password_hash: String,
        cap: SessionCap,
        login: LoginRecord,
        stamp: Stamp,
    ) -> Result<Option<SessionStart>, Error> {
        let begun = self.change(RELAXED, move |tx| {
            Box::pin(async move {
                tx.lock_user(&new.user_id).await?;
                let values = values![
                    &new.id,
                    &new.user_id,
                    &new.token_hash,
                    &new.name,
                    new.created_at,
                    new.expires_at,
                    &password_hash,
                    &new.network,
                ];
                let added: Option<(i64, Option<i64>)> = tx.fetch_optional(ADD, values).await?;
                let Some((others, previous_login_at)) = added else { return Ok(None) };
                if let Some(counter) = &login.counter {
                    settle_right(tx, counter).await?;
                }
                if let Some(network) = &login.network {
                    know_network(tx, &new.user_id, network, new.created_at).await?;
                }
                let sql = "UPDATE users SET last_login_at = $2, kept_until = NULL WHERE id = $1";
                tx.execute(sql, values![&new.user_id, new.created_at]).await?;
                let mut details = Details::default();
                if others >= i64::from(cap.most) {
                    details.sessions_ended = Some(evict_sessions(tx, &new, cap).await?);
                }
                let event = Event::of(EventName::SessionStart, &new.user_id).with(details);
                record(tx, &stamp, event).await?;
                Ok(Some(SessionStart { previous_login_at: previous_login_at.map(Timestamp::from_millis) }))
            })
        });
        begun.await
    }

    /// The session for a token. On SQLite it comes from memory, because this is the only process that writes.
    pub async fn find_session(&self, hash: &TokenHash) -> Result<Option<Arc<Session>>, Error> {
        // The query's state takes kilobytes. It is boxed, so that checks from memory don't carry it.
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
        let sql = select_users!(
            ", sessions.id AS session_id, sessions.created_at AS session_created_at, last_seen_at, expires_at, \
             previous_login_at, proven_at",
            "JOIN sessions ON user_id = users.id WHERE token_hash = $1 AND disabled_at IS NULL"
        );
        let row: Option<SessionRow> = self.read(async |conn| conn.fetch_optional(sql, values![hash]).await).await?;
        Ok(row.map(|row| Arc::new(row.into_session(*hash))))
    }

    /// Ends one session, even if it was renewed since it was read.
    pub async fn end_session(&self, session: &Session, stamp: Stamp) -> Result<(), Error> {
        self.delete_session(session, Some(stamp)).await
    }

    /// Deletes a session that has expired, which is no event.
    pub async fn end_expired_session(&self, session: &Session) -> Result<(), Error> {
        self.delete_session(session, None).await
    }

    async fn delete_session(&self, session: &Session, stamp: Option<Stamp>) -> Result<(), Error> {
        let (user, id, hash) = (session.user.id.clone(), session.id.clone(), session.token_hash);
        let ended = self.change(DURABLE, move |tx| {
            Box::pin(async move {
                tx.invalidate_sessions(&[hash.as_bytes().to_vec()]);
                tx.lock_user(&user).await?;
                let ended = end_session(tx, &user, &id).await?;
                match stamp {
                    Some(stamp) if ended => record_end(tx, &stamp, &user, id).await,
                    _ => Ok(()),
                }
            })
        });
        ended.await
    }

    /// Ends every session of an account, revokes its personal access tokens, and forgets its known networks. Returns
    /// how many sessions ended.
    pub async fn end_sessions_of(&self, authority: Authority, stamp: Stamp) -> Result<u64, Error> {
        let ended = self.change(DURABLE, move |tx| {
            Box::pin(async move {
                // Before the deletion, so that a concurrent login can't create a session after it.
                lock_authorized(tx, &authority).await?;
                let user = authority.user();
                let ended = end_access(tx, user).await?;
                let details = Details { sessions_ended: Some(ended), ..Details::default() };
                record(tx, &stamp, Event::of(EventName::SessionEndAll, user).with(details)).await?;
                Ok(ended)
            })
        });
        ended.await
    }

    /// Stores when sessions and personal access tokens were last used, in one transaction.
    pub async fn touch_tokens(&self, seen: &[(TokenHash, Timestamp)]) -> Result<(), Error> {
        self.write(RELAXED, async |tx| {
            let [session, access_token] = tx.touch_statements();
            for (hash, at) in seen {
                if tx.execute(session, values![hash, *at]).await? == 0 {
                    tx.execute(access_token, values![hash, *at]).await?;
                }
            }
            Ok(())
        })
        .await
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
        let values = values![user, active.unused_since, active.now, active.created_until];
        self.read(async |conn| conn.fetch_all(sql, values).await).await
    }

    /// Whether an account has a session with this id.
    pub async fn has_session(&self, user: &str, session: &str) -> Result<bool, Error> {
        let sql = "SELECT id FROM sessions WHERE id = $1 AND user_id = $2";
        self.read(async |conn| conn.exists(sql, values![session, user]).await).await
    }

    /// Ends one session of an account. Returns `false` if the account has no session with this id, or `None` if the
    /// requesting session has ended.
    pub async fn end_session_of(
        &self,
        checked: CheckedToken,
        session: &str,
        stamp: Stamp,
    ) -> Result<Option<bool>, Error> {
        let session = session.to_owned();
        let ended = self.change(DURABLE, move |tx| {
            Box::pin(async move {
                if !lock_active(tx, &checked).await? {
                    return Ok(None);
                }
                let ended = end_session(tx, &checked.user, &session).await?;
                if ended {
                    record_end(tx, &stamp, &checked.user, session).await?;
                }
                Ok(Some(ended))
            })
        });
        ended.await
    }

    /// Whether [`Store::end_other_sessions`] would change anything.
    pub async fn has_other_sessions(&self, user: &str, session: &str) -> Result<bool, Error> {
        let sql = "SELECT id FROM users WHERE id = $1 AND \
                   (EXISTS (SELECT 1 FROM sessions WHERE user_id = $1 AND id <> $2) \
                    OR EXISTS (SELECT 1 FROM links WHERE user_id = $1 AND kind IN ('reset', 'change_email')) \
                    OR EXISTS (SELECT 1 FROM mails WHERE user_id = $1 AND kind = 'change_email'))";
        self.read(async |conn| conn.exists(sql, values![user, session]).await).await
    }

    /// Ends every session of an account except the requesting one, and revokes links that reset the password or
    /// change the email. Returns how many sessions ended, or `None` if the requesting session has ended.
    pub async fn end_other_sessions(&self, checked: CheckedToken, stamp: Stamp) -> Result<Option<u64>, Error> {
        let ended = self.change(DURABLE, move |tx| {
            Box::pin(async move {
                if !lock_active(tx, &checked).await? {
                    return Ok(None);
                }
                revoke_links(tx, &checked.user).await?;
                let ended = end_other_sessions(tx, &checked.user, &checked.id).await?;
                let details = Details { sessions_ended: Some(ended), ..Details::default() };
                record(tx, &stamp, Event::of(EventName::SessionEndOthers, &checked.user).with(details)).await?;
                Ok(Some(ended))
            })
        });
        ended.await
    }

    /// Stores that a session's user has entered the password with the given hash, and gives the session a new token.
    /// Returns `false` if the session has ended, or the password no longer has that hash.
    pub async fn renew_session(
        &self,
        checked: CheckedToken,
        new: &TokenHash,
        password_hash: &str,
        stamp: Stamp,
    ) -> Result<bool, Error> {
        let (new, password_hash) = (*new, password_hash.to_owned());
        let renewed = self.change(DURABLE, move |tx| {
            Box::pin(async move {
                let renewed = renew(tx, &checked, &new, &password_hash, stamp.at).await?;
                if renewed {
                    record(tx, &stamp, Event::of(EventName::SessionReauth, &checked.user)).await?;
                }
                Ok(renewed)
            })
        });
        renewed.await
    }
}
