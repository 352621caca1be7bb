//! Operators with a session.

use std::sync::Arc;

use uuid::Uuid;

use super::{Error, Service};
use crate::{
    domain::token::Token,
    error::AppError,
    store::{Session, User},
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

impl Service {
    /// Authenticates an operator. Returns [`AppError::Forbidden`] for an account without a role.
    pub async fn authenticate_operator(&self, token: &Token) -> Result<Operator, Error> {
        let session = self.authenticate(token).await?;
        if session.user.role.is_none() {
            return Err(AppError::Forbidden.into());
        }
        Ok(Operator(session))
    }

    /// Finds an account by its identifier. Returns [`AppError::NotFound`] for any other text.
    pub(super) async fn account(&self, id: &str) -> Result<User, Error> {
        let id = Uuid::parse_str(id).map_err(|_| AppError::NotFound)?.to_string();
        Ok(self.store.find_user(&id).await?.ok_or(AppError::NotFound)?)
    }
}
