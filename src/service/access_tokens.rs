//! Personal access tokens. They let an owner's programs authenticate without the password.

use std::{sync::Arc, time::Duration};

use uuid::Uuid;

use super::{
    Caller, Error, Service,
    entropy::{new_id, new_token},
    reauth::{self, Proven},
};
use crate::{
    domain::{
        account::AccessTokenLine,
        requests::TokenRequest,
        time::{CLOCK_TOLERANCE, Timestamp},
        token::{Token, TokenKind},
        token_scope::TokenScope,
    },
    error::{AppError, Field, Problem},
    store::{
        AccessToken, AccessTokenRecord, CheckedToken, IssueOutcome, LimitedAction, MailKind, NewAccessToken, Session,
        User,
    },
};

/// Valid tokens per account.
const MAX_TOKENS: u32 = 50;
/// The shortest interval between two updates of a token's last use.
const USED_INTERVAL: Duration = Duration::from_mins(1);

/// A token that was just created. It is shown only once.
#[derive(Debug)]
#[expect(missing_docs, reason = "the field's name describes it")]
pub struct NewToken {
    pub token: Token,
    /// The token's entry in its owner's list.
    pub line: AccessTokenLine,
}

/// An authenticated user, by the kind of bearer token.
#[derive(Clone, Debug)]
pub enum Principal {
    /// A session token.
    Session(Arc<Session>),
    /// A personal access token.
    Access(Box<AccessToken>),
}

impl Principal {
    /// Returns the token's user.
    #[must_use]
    pub fn user(&self) -> &User {
        match self {
            Self::Session(session) => &session.user,
            Self::Access(token) => &token.user,
        }
    }

    /// Identifies the token to the store, which checks it again in the transaction.
    pub(super) fn checked_token(&self) -> CheckedToken {
        match self {
            Self::Session(session) => reauth::checked_token(session),
            Self::Access(token) => {
                let AccessToken { user, id, token_hash, .. } = &**token;
                CheckedToken { user: user.id.clone(), id: id.clone(), token_hash: *token_hash }
            }
        }
    }
}

/// A principal that may change things. Only [`Service::authenticate_for_write`] creates it.
#[derive(Debug)]
pub struct Writer(Principal);

impl Writer {
    /// Returns the principal.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.0
    }
}

impl Service {
    /// Authenticates a bearer token of either kind, for operations that only read.
    pub async fn authenticate_any(&self, token: &Token) -> Result<Principal, Error> {
        match token.kind() {
            TokenKind::Personal | TokenKind::Django => {
                Ok(Principal::Access(Box::new(Box::pin(self.access(token)).await?)))
            }
            TokenKind::Session | TokenKind::Link | TokenKind::Invitation => {
                Ok(Principal::Session(self.authenticate(token).await?))
            }
        }
    }

    /// Authenticates a bearer token of either kind, for operations that write. A personal access token with the scope
    /// `read` is rejected with [`AppError::ReadOnly`].
    ///
    /// Operations that require the password need a session instead: [`Service::require_reauth`].
    pub async fn authenticate_for_write(&self, token: &Token) -> Result<Writer, Error> {
        match self.authenticate_any(token).await? {
            Principal::Access(token) if token.scope == TokenScope::Read => Err(AppError::ReadOnly.into()),
            principal => Ok(Writer(principal)),
        }
    }

    /// Creates a personal access token and notifies the owner by mail.
    ///
    /// Returns [`AppError::Invalid`] if the account already has the maximum number of tokens.
    pub async fn issue_access_token(
        &self,
        caller: &Caller,
        proven: &Proven,
        request: TokenRequest,
    ) -> Result<NewToken, Error> {
        let user = &proven.session().user;
        if self.store.list_access_tokens(&user.id, self.clock.now()).await?.len() >= MAX_TOKENS as usize {
            return Err(Error::invalid(Field::Name, Problem::TooManyTokens));
        }
        self.rate_limits.take_action(LimitedAction::Tokens, &user.id).await?;
        let (token, now) = (new_token(&*self.entropy, TokenKind::Personal), self.clock.now());
        let new = NewAccessToken {
            id: new_id(&*self.entropy, now),
            token_hash: token.hash(),
            name: request.name,
            scope: request.scope,
            created_at: now,
            expires_at: now.plus(request.lifetime),
        };
        let line = AccessTokenLine {
            id: new.id.clone(),
            name: new.name.as_str().to_owned(),
            scope: new.scope.name().to_owned(),
            created_at: now.to_rfc3339(),
            last_used_at: None,
            expires_at: new.expires_at.to_rfc3339(),
        };
        let notice = self.outbox.notice(MailKind::AccessTokenCreated);
        let stamp = self.stamp(caller.acting_as(proven.actor()));
        match self.store.add_access_token(&proven.checked_token(), new, MAX_TOKENS, notice.as_ref(), &stamp).await? {
            IssueOutcome::Done => {}
            IssueOutcome::TooMany => return Err(Error::invalid(Field::Name, Problem::TooManyTokens)),
            IssueOutcome::SessionEnded => return Err(AppError::SessionEnded.into()),
        }
        self.outbox.notify_worker();
        tracing::info!(user = %user.id, token = line.id, scope = line.scope, "access token created");
        Ok(NewToken { token, line })
    }

    /// Lists the user's personal access tokens, the newest first.
    pub async fn list_access_tokens(&self, principal: &Principal) -> Result<Vec<AccessTokenLine>, Error> {
        let records = self.store.list_access_tokens(&principal.user().id, self.clock.now()).await?;
        Ok(records.into_iter().map(AccessTokenLine::from).collect())
    }

    /// Revokes one of the user's personal access tokens. When this returns, no server accepts it any more.
    ///
    /// Returns [`AppError::NotFound`] if the user has no such token, even if another user has it.
    pub async fn revoke_access_token(&self, caller: &Caller, writer: &Writer, id: &str) -> Result<(), Error> {
        let principal = writer.principal();
        let id = Uuid::parse_str(id).map_err(|_| AppError::NotFound)?.to_string();
        // A request that changes nothing must not take the database writer.
        let records = self.store.list_access_tokens(&principal.user().id, Timestamp::from_millis(i64::MIN)).await?;
        if !records.iter().any(|token| token.id == id) {
            return Err(AppError::NotFound.into());
        }
        let stamp = self.stamp(caller.acting_as(principal.actor()));
        let revoked = self.store.revoke_access_token_of(&principal.checked_token(), &id, &stamp).await?;
        if !revoked.ok_or(AppError::SessionEnded)? {
            return Err(AppError::NotFound.into());
        }
        tracing::info!(user = %principal.user().id, token = id, "access token revoked");
        Ok(())
    }

    /// Returns the error for a personal access token where a session is required.
    pub(super) async fn refuse_access(&self, token: &Token) -> Error {
        self.access(token).await.map_or_else(|error| error, |_| AppError::SessionRequired.into())
    }

    async fn access(&self, token: &Token) -> Result<AccessToken, Error> {
        let (hash, now) = (token.hash(), self.clock.now());
        // These have no checksum. Where none was imported, they cost no query of their own.
        if token.kind() == TokenKind::Django && !self.import_facts.accepts_django_tokens(now).await? {
            return Err(AppError::SessionEnded.into());
        }
        self.rate_limits.take_call(&hash)?;
        let access = self.store.find_access_token(&hash).await?.ok_or(AppError::SessionEnded)?;
        self.rate_limits.remember_token(&hash, now);
        if now >= access.expires_at {
            // Deleted, so that it stays expired even if the clock is set back.
            if let Err(cause) = self.store.delete_expired_access_token(&access.id).await {
                tracing::warn!(%cause, "an expired access token could not be deleted");
            }
            return Err(AppError::SessionEnded.into());
        }
        // The clock was set back, and the token would stay valid for too long.
        if access.begun_at > now.plus(CLOCK_TOLERANCE) {
            return Err(AppError::SessionEnded.into());
        }
        if access.last_used_at.is_none_or(|last| now.since(last) >= USED_INTERVAL) {
            // As for a session, the request doesn't wait for this.
            self.seen.try_send((hash, now)).ok();
        }
        Ok(access)
    }
}

impl From<AccessTokenRecord> for AccessTokenLine {
    fn from(record: AccessTokenRecord) -> Self {
        let rfc3339 = |millis| Timestamp::from_millis(millis).to_rfc3339();
        Self {
            id: record.id,
            name: record.name,
            scope: record.scope,
            created_at: rfc3339(record.created_at),
            last_used_at: record.last_used_at.map(rfc3339),
            expires_at: rfc3339(record.expires_at),
        }
    }
}
