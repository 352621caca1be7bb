//! The strength meter, which judges a new password while it is typed.

use super::{
    Caller, Error, Service,
    judge::{MIN_COST, cost_limit},
    registration::invalid,
    strength::Candidate,
};
use crate::{
    domain::{account::Strength, password::Password, token::Token},
    error::Field,
};

impl Service {
    /// Returns how hard a password is to guess, given the user's email and username. Without a session these come
    /// from the form, as far as they have been entered.
    ///
    /// Its processor time has a separate rate limit from submitted forms, so that typing doesn't prevent a
    /// registration.
    pub async fn judge_password(
        &self,
        caller: &Caller,
        token: Option<&Token>,
        password: &str,
        [email, username]: [&str; 2],
    ) -> Result<Strength, Error> {
        self.rate_limits.check(cost_limit("meter", MIN_COST), caller)?;
        let password = Password::parse(password).map_err(|problem| invalid(Field::Password, problem))?;
        let words = match token {
            Some(token) => {
                let session = self.authenticate(token).await?;
                self.words(&session.user.email, &session.user.username)
            }
            None => self.words(email, username),
        };
        let candidate = Candidate::new(&password, &words, 0).map_err(|problem| invalid(Field::Password, problem))?;
        self.rate_limits.take(cost_limit("meter", candidate.cost()), caller).await?;
        let turn = self.hasher.judge().enqueue_spare()?;
        turn.run(move || candidate.strength()).await
    }
}
