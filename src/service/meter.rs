//! Judging a new password while it is typed.

use std::time::Duration;

use super::{Caller, Error, Service, registration::invalid, strength};
use crate::{
    domain::{account::Strength, email::Email, password::Password, token::Token, username::Username},
    error::Field,
    store::Allowance,
};

/// Passwords of one address that are judged while they are typed.
const METERED: Allowance = Allowance { burst: 30, interval: Duration::from_secs(2) };

impl Service {
    /// How hard a password is to guess, beside the names of whoever is logged in, or as much of those in the form as can be read
    /// by now. It has an allowance of its own, so that typing takes none of what registering needs.
    ///
    /// # Errors
    /// [`AppError::Invalid`](crate::error::AppError::Invalid), [`AppError::Throttled`](crate::error::AppError::Throttled),
    /// [`AppError::SessionEnded`](crate::error::AppError::SessionEnded),
    /// [`AppError::Unavailable`](crate::error::AppError::Unavailable).
    pub async fn judge_password(
        &self,
        caller: &Caller,
        token: Option<&Token>,
        password: &str,
        [email, username]: [&str; 2],
    ) -> Result<Strength, Error> {
        let password = Password::parse(password).map_err(|problem| invalid(Field::Password, problem))?;
        self.allow("meter", METERED, caller).await?;
        let (email, username) = match token {
            Some(token) => {
                let session = self.authenticate(token).await?;
                (Email::parse(&session.user.email), Username::parse(&session.user.username))
            }
            None => (Email::parse(email), Username::parse(username)),
        };
        let place = self.hasher.enqueue()?;
        place.compute(move || strength::judge(&password, email.ok().as_ref(), username.ok().as_ref())).await
    }
}
