//! Proving the password again: what matters most wants that to have been done lately (ASVS 7.5.1 and 7.5.3).

use std::sync::Arc;

use super::{Caller, Error, Service, entropy::new_token, login::Prover};
use crate::{
    domain::{
        time::{CLOCK_TOLERANCE, Timestamp},
        token::{Token, TokenKind},
    },
    error::AppError,
    store::{Asking, Session},
};

/// A session in which the password was proven lately. Only [`Service::require_reauth`] makes one, and what matters takes nothing else:
/// no door and no later change can leave the question out.
#[derive(Debug)]
pub struct Proven(Arc<Session>);

impl Proven {
    /// The session.
    pub fn session(&self) -> &Session {
        &self.0
    }

    /// What asks.
    pub(super) fn asking(&self) -> Asking {
        asking(&self.0)
    }
}

/// A session as it was checked, for the act that it asks for.
pub(super) fn asking(session: &Session) -> Asking {
    Asking { user: session.user.id.clone(), id: session.id.clone(), token_hash: session.token_hash }
}

/// A session that goes on under another token, for a copy of the old one must not gain by what its owner proves.
#[derive(Debug)]
pub struct Renewed {
    /// The token from now on.
    pub token: Token,
    /// Until when the proof counts.
    pub until: Timestamp,
}

impl Service {
    /// The session behind a token, if its user has proven the password lately.
    ///
    /// # Errors
    /// [`AppError::ReauthRequired`] if not, and as [`Service::authenticate`].
    pub async fn require_reauth(&self, token: &Token) -> Result<Proven, Error> {
        let session = self.authenticate(token).await?;
        let now = self.clock.now();
        // A proof from a clock's future would count for too long.
        if now.since(session.proven_at) >= self.policy.reauth_after || session.proven_at > now.plus(CLOCK_TOLERANCE) {
            return Err(AppError::ReauthRequired.into());
        }
        Ok(Proven(session))
    }

    /// Proves the password again in the session behind a token, which then has another.
    ///
    /// # Errors
    /// [`AppError::WrongPassword`], [`AppError::RateLimited`], [`AppError::Unavailable`], and as
    /// [`Service::authenticate`].
    pub async fn confirm_password(&self, caller: &Caller, token: &Token, password: &str) -> Result<Renewed, Error> {
        let session = self.authenticate(token).await?;
        let (hash, _place) =
            self.verify_current_password(caller, (&session.user, Prover::Session(&session.id)), password).await?;
        let (new, now) = (new_token(&*self.entropy, TokenKind::Session), self.clock.now());
        if !self.store.renew_session(asking(&session), &new.hash(), &hash, now).await? {
            return Err(self.conflict_reason(token).await);
        }
        tracing::info!(user = %session.user.id, "password confirmed");
        Ok(Renewed { token: new, until: now.plus(self.policy.reauth_after) })
    }

    /// Why a password that was right a moment ago isn't any more: the session has ended, or a login beside this has renewed
    /// the password's hash.
    pub(super) async fn conflict_reason(&self, token: &Token) -> Error {
        match self.authenticate(token).await {
            Ok(_) => AppError::Unavailable { retry_after: 1 }.into(),
            Err(error) => error,
        }
    }
}
