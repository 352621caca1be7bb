//! Judging a new password while it is typed.

use super::{Caller, Error, Service, judge::allowance, registration::invalid, strength::Candidate};
use crate::{
    domain::{account::Strength, password::Password, token::Token},
    error::Field,
};

impl Service {
    /// How hard a password is to guess, beside the names of whoever is logged in, or as much of those in the form as can be read
    /// by now. Its allowance of processor time is another than that of a form that is sent, so that typing takes none of what
    /// registering needs.
    ///
    /// # Errors
    /// [`AppError::Invalid`](crate::error::AppError::Invalid), [`AppError::RateLimited`](crate::error::AppError::RateLimited),
    /// [`AppError::SessionEnded`](crate::error::AppError::SessionEnded),
    /// [`AppError::Unavailable`](crate::error::AppError::Unavailable).
    pub async fn judge_password(
        &self,
        caller: &Caller,
        token: Option<&Token>,
        password: &str,
        [email, username]: [&str; 2],
    ) -> Result<Strength, Error> {
        self.free_judging("meter", caller)?;
        let password = Password::parse(password).map_err(|problem| invalid(Field::Password, problem))?;
        let words = match token {
            Some(token) => {
                let session = self.authenticate(token).await?;
                self.words(&session.user.email, &session.user.username)
            }
            None => self.words(email, username),
        };
        let candidate = Candidate::new(&password, &words, 0).map_err(|problem| invalid(Field::Password, problem))?;
        self.check_rate_limit("meter", allowance(candidate.cost()), caller).await?;
        let turn = self.hasher.judge().enqueue_spare()?;
        turn.run(move || candidate.strength()).await
    }
}
