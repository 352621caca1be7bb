//! Sessions: authenticating their tokens, listing and ending them.

use std::{sync::Arc, time::Duration};

use uuid::Uuid;

use super::{Caller, Error, Principal, Proven, Service, Writer};
use crate::{
    domain::{
        account::SessionLine,
        time::{CLOCK_TOLERANCE, Timestamp},
        token::{Token, TokenKind},
        user_agent,
    },
    error::AppError,
    store::{ActiveSessions, CheckedToken, Session, SessionRecord},
};

/// The shortest interval between two updates of a session's last use.
const SEEN_INTERVAL: Duration = Duration::from_mins(1);

impl Service {
    /// Authenticates a session token. A valid personal access token is rejected with [`AppError::SessionRequired`].
    pub async fn authenticate(&self, token: &Token) -> Result<Arc<Session>, Error> {
        if matches!(token.kind(), TokenKind::Personal | TokenKind::Django) {
            return Err(Box::pin(self.refuse_access(token)).await);
        }
        let hash = token.hash();
        self.rate_limits.take_call(&hash)?;
        let session = self.store.find_session(&hash).await?.ok_or(AppError::SessionEnded)?;
        let now = self.clock.now();
        self.rate_limits.remember_token(&hash, now);
        let unused = now.since(session.last_seen_at);
        if now >= session.expires_at || unused >= self.policy.session_idle {
            // Deleted, so that it stays expired even if the clock is set back. The response is the same if that fails.
            if let Err(cause) = Box::pin(self.store.end_expired_session(&session)).await {
                tracing::warn!(%cause, "an expired session could not be deleted");
            }
            return Err(AppError::SessionEnded.into());
        }
        // The clock was set back, and the session would stay valid for too long.
        if session.created_at > now.plus(CLOCK_TOLERANCE) {
            return Err(AppError::SessionEnded.into());
        }
        if unused >= SEEN_INTERVAL && self.seen.try_send((hash, now)).is_ok() {
            self.store.note_seen(&hash, now);
        }
        Ok(session)
    }

    /// Ends the caller's session, or revokes the caller's personal access token. When this returns, no server accepts
    /// the token any more.
    pub async fn log_out(&self, caller: &Caller, writer: &Writer) -> Result<(), Error> {
        let principal = writer.principal();
        let stamp = self.stamp(caller.acting_as(principal.actor()));
        match principal {
            Principal::Session(session) => self.store.end_session(session, stamp).await?,
            Principal::Access(access) => self.store.revoke_access_token(access, &stamp).await?,
        }
        tracing::info!(user = %principal.user().id, "logged out");
        Ok(())
    }

    /// Lists the user's sessions: the current one, then the others by their last use, the latest first.
    pub async fn list_sessions(&self, principal: &Principal) -> Result<Vec<SessionLine>, Error> {
        let now = self.clock.now();
        let unused_since = now.minus(self.policy.session_idle);
        let active = ActiveSessions { unused_since, now, created_until: now.plus(CLOCK_TOLERANCE) };
        let records = self.store.list_sessions(&principal.user().id, active).await?;
        let own = match principal {
            Principal::Session(session) => Some(session.id.as_str()),
            Principal::Access(_) => None,
        };
        let mut lines: Vec<SessionLine> = records.into_iter().map(|session| session_line(session, own)).collect();
        lines.sort_by_key(|line| !line.current);
        Ok(lines)
    }

    /// Ends one of the user's sessions. When this returns, no server accepts its token any more.
    ///
    /// Returns [`AppError::NotFound`] if the user has no such session, even if another user has it.
    pub async fn end_session(&self, caller: &Caller, proven: &Proven, session: &str) -> Result<(), Error> {
        let id = Uuid::parse_str(session).map_err(|_| AppError::NotFound)?.to_string();
        let user = &proven.session().user;
        // A request that changes nothing must not take the database writer: the wait would reveal other users'
        // activity.
        if !self.store.has_session(&user.id, &id).await? {
            self.require_active(&proven.checked_token()).await?;
            return Err(AppError::NotFound.into());
        }
        let stamp = self.stamp(caller.acting_as(proven.actor()));
        if !self.store.end_session_of(proven.checked_token(), &id, stamp).await?.ok_or(AppError::SessionEnded)? {
            return Err(AppError::NotFound.into());
        }
        tracing::info!(user = %user.id, "session ended");
        Ok(())
    }

    pub(super) async fn require_active(&self, token: &CheckedToken) -> Result<(), Error> {
        if self.store.is_token_active(token).await? { Ok(()) } else { Err(AppError::SessionEnded.into()) }
    }

    /// Ends all of the user's sessions except the current one. Returns how many ended.
    pub async fn end_other_sessions(&self, caller: &Caller, proven: &Proven) -> Result<u64, Error> {
        let Session { user, id, .. } = proven.session();
        if !self.store.has_other_sessions(&user.id, id).await? {
            self.require_active(&proven.checked_token()).await?;
            return Ok(0);
        }
        let stamp = self.stamp(caller.acting_as(proven.actor()));
        let sessions =
            self.store.end_other_sessions(proven.checked_token(), stamp).await?.ok_or(AppError::SessionEnded)?;
        tracing::info!(user = %user.id, sessions, "all other sessions ended");
        Ok(sessions)
    }
}

pub(super) fn session_line(session: SessionRecord, own: Option<&str>) -> SessionLine {
    let time = |millis| Timestamp::from_millis(millis).to_rfc3339();
    SessionLine {
        current: own == Some(session.id.as_str()),
        id: session.id,
        client: user_agent::describe(&session.name),
        network: session.network,
        created_at: time(session.created_at),
        last_seen_at: time(session.last_seen_at),
        expires_at: time(session.expires_at),
    }
}
