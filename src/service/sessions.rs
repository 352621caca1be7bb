//! Authenticating session tokens, and logging out.

use std::{sync::Arc, time::Duration};

use super::{Error, Principal, Service};
use crate::{
    domain::{
        time::CLOCK_TOLERANCE,
        token::{Token, TokenKind},
    },
    error::AppError,
    store::Session,
};

/// The shortest interval between two updates of a session's last use.
const SEEN_INTERVAL: Duration = Duration::from_mins(1);

impl Service {
    /// Authenticates a session token. A valid personal access token is rejected with [`AppError::SessionRequired`].
    pub async fn authenticate(&self, token: &Token) -> Result<Arc<Session>, Error> {
        if token.kind() == TokenKind::Personal {
            return Err(Box::pin(self.refuse_access(token)).await);
        }
        let hash = token.hash();
        self.allow_call(&hash)?;
        let session = self.store.find_session(&hash).await?.ok_or(AppError::SessionEnded)?;
        let now = self.clock.now();
        self.calls.remember(&hash, now);
        let unused = now.since(session.last_seen_at);
        if now >= session.expires_at || unused >= self.policy.session_idle {
            // Deleted, so that it stays expired even if the clock is set back. The response is the same if that fails.
            if let Err(cause) = Box::pin(self.store.end_session(&session)).await {
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

    /// Ends a session, or revokes a personal access token that may write. When this returns, no server accepts the
    /// token any more.
    pub async fn log_out(&self, token: &Token) -> Result<(), Error> {
        let asking = self.authenticate_for_write(token).await?;
        match &asking {
            Principal::Session(session) => self.store.end_session(session).await?,
            Principal::Access(access) => self.store.revoke_access_token(&access.id).await?,
        }
        tracing::info!(user = %asking.user().id, "logged out");
        Ok(())
    }
}
