//! Personal access tokens: for programs of one's own, so that none of them needs the password.

use std::{sync::Arc, time::Duration};

use uuid::Uuid;

use super::{
    Error, Service,
    entropy::new_token,
    reauth::{self, Proven},
    registration::{collected, invalid},
};
use crate::{
    domain::{
        account::AccessTokenLine,
        time::{CLOCK_TOLERANCE, Timestamp},
        token::{Token, TokenKind},
        token_name::TokenName,
        token_scope::TokenScope,
    },
    error::{AppError, Field, Problem},
    store::{
        AccessToken, AccessTokenRecord, Asking, IssueOutcome, LimitedAction, MailKind, NewAccessToken, Session, User,
    },
};

/// Tokens of one account.
const MOST: u32 = 50;
/// Days that a token may last at the most.
const MOST_DAYS: i64 = 366;
/// How often it is noted at the most that a token is in use.
const USED_INTERVAL: Duration = Duration::from_mins(1);

/// What somebody wants a token for, each field checked.
#[derive(Debug)]
pub struct NewTokenRequest {
    name: TokenName,
    scope: TokenScope,
    lasts: Duration,
}

impl NewTokenRequest {
    /// Reads the fields; a missing one is `None`.
    ///
    /// # Errors
    /// [`AppError::Invalid`] with what is wrong with every field.
    pub fn parse(name: Option<&str>, scope: Option<&str>, days: Option<i64>) -> Result<Self, AppError> {
        let name = name.ok_or(Problem::Missing).and_then(TokenName::parse);
        let scope = scope.ok_or(Problem::Missing).and_then(|text| TokenScope::named(text).ok_or(Problem::UnknownScope));
        let days = days.ok_or(Problem::Missing).and_then(|days| match days {
            1..=MOST_DAYS => Ok(days.unsigned_abs()),
            _ => Err(Problem::TokenDays),
        });
        match (name, scope, days) {
            (Ok(name), Ok(scope), Ok(days)) => Ok(Self { name, scope, lasts: Duration::from_hours(24 * days) }),
            (name, scope, days) => {
                Err(collected([(Field::Name, name.err()), (Field::TokenScope, scope.err()), (Field::Days, days.err())]))
            }
        }
    }
}

/// A token that was made. It is shown this once.
#[derive(Debug)]
pub struct NewToken {
    /// The token.
    pub token: Token,
    /// What its owner will see of it.
    pub line: AccessTokenLine,
}

/// Who is behind a bearer token, and by which kind of it.
#[derive(Clone, Debug)]
pub enum Principal {
    /// A session's.
    Session(Arc<Session>),
    /// A personal access token.
    Access(AccessToken),
}

impl Principal {
    /// Whose it is.
    #[must_use]
    pub fn user(&self) -> &User {
        match self {
            Self::Session(session) => &session.user,
            Self::Access(token) => &token.user,
        }
    }

    /// What asks.
    pub(super) fn asking(&self) -> Asking {
        match self {
            Self::Session(session) => reauth::asking(session),
            Self::Access(AccessToken { user, id, token_hash, .. }) => {
                Asking { user: user.id.clone(), id: id.clone(), token_hash: *token_hash }
            }
        }
    }
}

impl Service {
    /// Who is behind a bearer token of either kind. What only tells takes this.
    ///
    /// # Errors
    /// [`AppError::SessionEnded`] if nobody is, [`AppError::Unavailable`].
    pub async fn authenticate_any(&self, token: &Token) -> Result<Principal, Error> {
        match token.kind() {
            TokenKind::Personal => Ok(Principal::Access(Box::pin(self.access(token)).await?)),
            TokenKind::Session | TokenKind::Link => Ok(Principal::Session(self.authenticate(token).await?)),
        }
    }

    /// Who is behind a bearer token of either kind that may change something. What wants the password takes a session instead:
    /// [`Service::require_reauth`].
    ///
    /// # Errors
    /// [`AppError::ReadOnly`], and as [`Service::authenticate_any`].
    pub async fn authenticate_for_write(&self, token: &Token) -> Result<Principal, Error> {
        match self.authenticate_any(token).await? {
            Principal::Access(AccessToken { scope: TokenScope::Read, .. }) => Err(AppError::ReadOnly.into()),
            bearing => Ok(bearing),
        }
    }

    /// Gives whoever is logged in a personal access token. They are told by mail.
    ///
    /// # Errors
    /// [`AppError::Invalid`] if they have as many as they may, [`AppError::RateLimited`], [`AppError::SessionEnded`],
    /// [`AppError::Unavailable`].
    pub async fn issue_access_token(&self, asking: &Proven, wish: NewTokenRequest) -> Result<NewToken, Error> {
        let user = &asking.session().user;
        if self.store.list_access_tokens(&user.id, self.clock.now()).await?.len() >= MOST as usize {
            return Err(invalid(Field::Name, Problem::TooManyTokens));
        }
        self.check_action_limit(LimitedAction::Tokens, &user.id).await?;
        let (token, now) = (new_token(&*self.entropy, TokenKind::Personal), self.clock.now());
        let new = NewAccessToken {
            id: self.new_id(),
            token_hash: token.hash(),
            name: wish.name,
            scope: wish.scope,
            created_at: now,
            expires_at: now.plus(wish.lasts),
        };
        let line = AccessTokenLine {
            id: new.id.clone(),
            name: new.name.as_str().to_owned(),
            scope: new.scope.name().to_owned(),
            created_at: now.to_rfc3339(),
            last_used_at: None,
            expires_at: new.expires_at.to_rfc3339(),
        };
        let told = self.mail_of(MailKind::TokenMade);
        match self.store.add_access_token(&asking.asking(), new, MOST, told.as_ref()).await? {
            IssueOutcome::Done => {}
            IssueOutcome::TooMany => return Err(invalid(Field::Name, Problem::TooManyTokens)),
            IssueOutcome::SessionEnded => return Err(AppError::SessionEnded.into()),
        }
        self.notify_worker();
        tracing::info!(user = %user.id, token = line.id, scope = line.scope, "access token made");
        Ok(NewToken { token, line })
    }

    /// The personal access tokens of whoever is behind a bearer token, the youngest first.
    ///
    /// # Errors
    /// As [`Service::authenticate_any`].
    pub async fn list_access_tokens(&self, token: &Token) -> Result<Vec<AccessTokenLine>, Error> {
        let asking = self.authenticate_any(token).await?;
        let kept = self.store.list_access_tokens(&asking.user().id, self.clock.now()).await?;
        Ok(kept.into_iter().map(AccessTokenLine::from).collect())
    }

    /// Revokes one of their personal access tokens. When this returns, no server takes it any more.
    ///
    /// # Errors
    /// [`AppError::NotFound`] if they have none of that name, whoever else has; and as [`Service::authenticate_for_write`].
    pub async fn revoke_access_token(&self, token: &Token, id: &str) -> Result<(), Error> {
        let asking = self.authenticate_for_write(token).await?;
        let id = Uuid::parse_str(id).map_err(|_| AppError::NotFound)?.to_string();
        // What changes nothing must not take the writer.
        let kept = self.store.list_access_tokens(&asking.user().id, Timestamp::from_millis(i64::MIN)).await?;
        if !kept.iter().any(|token| token.id == id) {
            return Err(AppError::NotFound.into());
        }
        let revoked = self.store.revoke_access_token_of(&asking.asking(), &id).await?;
        if !revoked.ok_or(AppError::SessionEnded)? {
            return Err(AppError::NotFound.into());
        }
        tracing::info!(user = %asking.user().id, token = id, "access token revoked");
        Ok(())
    }

    /// Why a personal access token can't do what a session can; or that there is none.
    pub(super) async fn refuse_access(&self, token: &Token) -> Error {
        self.access(token).await.map_or_else(|error| error, |_| AppError::SessionRequired.into())
    }

    async fn access(&self, token: &Token) -> Result<AccessToken, Error> {
        let (hash, now) = (token.hash(), self.clock.now());
        self.allow_call(&hash)?;
        let access = self.store.find_access_token(&hash).await?.ok_or(AppError::SessionEnded)?;
        self.calls.remember(&hash, now);
        if now >= access.expires_at {
            // Ended for good: no clock that is put back brings it to life again.
            if let Err(cause) = self.store.revoke_access_token(&access.id).await {
                tracing::warn!(%cause, "an expired access token could not be deleted");
            }
            return Err(AppError::SessionEnded.into());
        }
        // The clock was put back, and the token would outlive its time.
        if access.begun_at > now.plus(CLOCK_TOLERANCE) {
            return Err(AppError::SessionEnded.into());
        }
        if access.last_used_at.is_none_or(|last| now.since(last) >= USED_INTERVAL) {
            // As for a session, whoever asks doesn't wait for it.
            self.seen.try_send((hash, now)).ok();
        }
        Ok(access)
    }
}

impl From<AccessTokenRecord> for AccessTokenLine {
    fn from(kept: AccessTokenRecord) -> Self {
        let rfc3339 = |millis| Timestamp::from_millis(millis).to_rfc3339();
        Self {
            id: kept.id,
            name: kept.name,
            scope: kept.scope,
            created_at: rfc3339(kept.created_at),
            last_used_at: kept.last_used_at.map(rfc3339),
            expires_at: rfc3339(kept.expires_at),
        }
    }
}
