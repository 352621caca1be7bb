//! Who is behind a token, and ending that.

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

/// How often it is noted at the most that a session is in use.
const SEEN_INTERVAL: Duration = Duration::from_mins(1);

impl Service {
    /// The session behind a token.
    ///
    /// # Errors
    /// [`AppError::SessionEnded`] when there is none or it is over; [`AppError::SessionRequired`] for a personal access token,
    /// which is none; [`AppError::Unavailable`].
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
            // Ended for good: no clock that is put back brings it to life again. The answer is the same if the
            // database can't note it now.
            if let Err(cause) = Box::pin(self.store.end_session(&session)).await {
                tracing::warn!(%cause, "an expired session could not be deleted");
            }
            return Err(AppError::SessionEnded.into());
        }
        // The clock was put back, and the session would outlive its time.
        if session.created_at > now.plus(CLOCK_TOLERANCE) {
            return Err(AppError::SessionEnded.into());
        }
        if unused >= SEEN_INTERVAL && self.seen.try_send((hash, now)).is_ok() {
            self.store.note_seen(&hash, now);
        }
        Ok(session)
    }

    /// Ends the session behind a token; or a personal access token, if it may change anything. When this returns, no server lets
    /// the token in any more.
    ///
    /// # Errors
    /// As [`Service::authenticate_for_write`].
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
