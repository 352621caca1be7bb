//! Operators with a session, and what they may do.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    Caller, Error, Service,
    reauth::{Proven, checked_token},
};
use crate::{
    domain::{
        act::{Act, Duty},
        event::Initiator,
        token::Token,
    },
    error::AppError,
    store::{Authority, CheckedToken, Mandate, Session, User},
};

/// The session of an account with a role. It may read what all operators may see.
///
/// Only [`Service::authenticate_operator`] creates it.
#[derive(Debug)]
pub struct Operator(Arc<Session>);

impl Operator {
    /// Returns the session.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.0
    }
}

/// The session of an account with a role in which the password was entered recently. Changes require it.
///
/// Only [`Service::require_operator`] creates it.
#[derive(Debug)]
pub struct ProvenOperator(Proven);

/// The right of an operator to do one thing with one account.
///
/// Only [`Service::permit`] creates it. The transaction of the change checks it once more: the operator may have lost the
/// role meanwhile, or the account may have got one.
#[derive(Debug)]
pub(super) struct Permit {
    actor: CheckedToken,
    by: Initiator,
    act: Act,
    target: User,
}

impl Permit {
    /// The account to change.
    pub const fn target(&self) -> &User {
        &self.target
    }

    /// Identifies the operator and the act to the store.
    pub fn authority(&self) -> Authority {
        Authority::Permit { actor: self.actor.clone(), act: self.act, user: self.target.id.clone() }
    }

    /// The operator, for the event of the act.
    pub fn by(&self) -> Initiator {
        self.by.clone()
    }

    /// Logs the act if it was done.
    pub fn logged<T>(&self, outcome: Result<T, Error>) -> Result<T, Error> {
        outcome.inspect(|_| self.log())
    }

    fn log(&self) {
        let (user, operator, act) = (&self.target.id, &self.actor.user, self.act.name());
        tracing::info!(user, operator, act, "account changed by operator");
    }
}

/// The right of an operator to do something that changes no account.
///
/// Only [`Service::permit_duty`] creates it. The transaction of the change checks it once more.
#[derive(Debug)]
pub(super) struct DutyPermit {
    actor: CheckedToken,
    by: Initiator,
    duty: Duty,
}

impl DutyPermit {
    /// Identifies the operator and the duty to the store.
    pub fn mandate(&self) -> Mandate {
        Mandate::Permit { actor: self.actor.clone(), duty: self.duty }
    }

    /// The operator, for the event of the change.
    pub fn by(&self) -> Initiator {
        self.by.clone()
    }
}

impl Service {
    /// Authenticates an operator. Returns [`AppError::Forbidden`] for an account without a role.
    pub async fn authenticate_operator(&self, token: &Token) -> Result<Operator, Error> {
        let session = self.authenticate(token).await?;
        if session.user.role.is_none() {
            return Err(AppError::Forbidden.into());
        }
        Ok(Operator(session))
    }

    /// Authenticates an operator who has entered the password recently. Returns [`AppError::ReauthRequired`] if it was
    /// not.
    pub async fn require_operator(&self, token: &Token) -> Result<ProvenOperator, Error> {
        self.authenticate_operator(token).await?;
        Ok(ProvenOperator(self.require_reauth(token).await?))
    }

    /// Finds an account by its identifier. Returns [`AppError::NotFound`] for any other text.
    pub(super) async fn account(&self, id: &str) -> Result<User, Error> {
        let id = Uuid::parse_str(id).map_err(|_| AppError::NotFound)?.to_string();
        Ok(self.store.find_user(&id).await?.ok_or(AppError::NotFound)?)
    }

    /// Permits an operator an act on an account. A refusal is an event of the operator.
    pub(super) async fn permit(
        &self,
        caller: &Caller,
        operator: &ProvenOperator,
        act: Act,
        id: &str,
    ) -> Result<Permit, Error> {
        let session = operator.0.session();
        let by = caller.acting_as(operator.0.actor());
        // Who may not do it learns nothing about the account.
        let mut allowed = act.check(session.user.role, None, false);
        let target = match allowed {
            Ok(()) => Some(self.account(id).await?),
            Err(_) => None,
        };
        if let Some(target) = &target {
            allowed = act.check(session.user.role, target.role, target.id == session.user.id);
        }
        match (allowed, target) {
            (Ok(()), Some(target)) => Ok(Permit { actor: checked_token(session), by, act, target }),
            (allowed, _) => Err(self.denied(session, by, allowed.err().unwrap_or(AppError::Forbidden)).await),
        }
    }

    /// Permits an operator a change of what belongs to no account. A refusal is an event of the operator.
    pub(super) async fn permit_duty(
        &self,
        caller: &Caller,
        operator: &ProvenOperator,
        duty: Duty,
    ) -> Result<DutyPermit, Error> {
        let session = operator.0.session();
        let by = caller.acting_as(operator.0.actor());
        match duty.check(session.user.role) {
            Ok(()) => Ok(DutyPermit { actor: checked_token(session), by, duty }),
            Err(error) => Err(self.denied(session, by, error).await),
        }
    }

    /// Records that an operator was refused something. Returns the error of the operation.
    async fn denied(&self, session: &Session, by: Initiator, error: AppError) -> Error {
        match Box::pin(self.store.record_denial(&self.stamp(by), &session.user.id)).await {
            Ok(()) => error.into(),
            Err(cause) => cause.into(),
        }
    }
}
