//! Confirming the password again. Sensitive operations require that it was entered recently (ASVS 7.5.1 and 7.5.3).

use std::sync::Arc;

use super::{Caller, Error, Service, entropy::new_token, events::actor_in, passwords::KnownBy};
use crate::{
    domain::{
        time::{CLOCK_TOLERANCE, Timestamp},
        token::{Token, TokenKind},
    },
    error::AppError,
    store::{CheckedToken, Session},
};

/// A session in which the password was entered recently.
///
/// Only [`Service::require_reauth`] creates it, and sensitive operations take no other type. No entry point and no
/// later change can therefore skip the check.
#[derive(Debug)]
pub struct Proven(Arc<Session>);

impl Proven {
    /// Returns the session.
    pub fn session(&self) -> &Session {
        &self.0
    }

    /// Identifies the session to the store.
    pub(super) fn checked_token(&self) -> CheckedToken {
        checked_token(&self.0)
    }
}

/// Identifies a checked session to the store, which checks it again in the transaction of the operation.
pub(super) fn checked_token(session: &Session) -> CheckedToken {
    CheckedToken { user: session.user.id.clone(), id: session.id.clone(), token_hash: session.token_hash }
}

/// A session with a new token. A stolen copy of the old token must not benefit from the confirmation.
#[derive(Debug)]
pub struct Renewed {
    /// The new token.
    pub token: Token,
    /// When the confirmation expires.
    pub until: Timestamp,
}

impl Service {
    /// Authenticates a session token. Returns [`AppError::ReauthRequired`] if the password was not entered recently.
    pub async fn require_reauth(&self, token: &Token) -> Result<Proven, Error> {
        let session = self.authenticate(token).await?;
        let now = self.clock.now();
        // A time in the future means that the clock was set back. The confirmation would be valid for too long.
        if now.since(session.proven_at) >= self.policy.reauth_after || session.proven_at > now.plus(CLOCK_TOLERANCE) {
            return Err(AppError::ReauthRequired.into());
        }
        Ok(Proven(session))
    }

    /// Confirms the password in a session, which gets a new token.
    pub async fn confirm_password(&self, caller: &Caller, session: &Session, password: &str) -> Result<Renewed, Error> {
        let (hash, _slot) =
            self.passwords.verify_current(caller, &session.user, KnownBy::Session(session), password).await?;
        let new = new_token(&*self.entropy, TokenKind::Session);
        let stamp = self.stamp(caller.acting_as(actor_in(session)));
        let now = stamp.at;
        if !self.store.renew_session(checked_token(session), &new.hash(), &hash, stamp).await? {
            return Err(self.conflict_reason(session).await);
        }
        tracing::info!(user = %session.user.id, "password confirmed");
        Ok(Renewed { token: new, until: now.plus(self.policy.reauth_after) })
    }

    /// Returns why a password that was right a moment ago was rejected: the session has ended, or a concurrent login
    /// rehashed the password.
    pub(super) async fn conflict_reason(&self, session: &Session) -> Error {
        match self.store.is_token_active(&checked_token(session)).await {
            Ok(true) => AppError::Unavailable { retry_after: 1 }.into(),
            Ok(false) => AppError::SessionEnded.into(),
            Err(error) => error.into(),
        }
    }
}
