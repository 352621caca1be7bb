//! The strength meter, which judges a new password while it is typed.

use super::{
    judge::{cost_limit, lowest_limit},
    strength::Candidate,
};
use crate::{
    domain::{account::Strength, password::Password},
    error::Field,
    service::{Caller, Error, Service, counts::Limit},
    store::Session,
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
        session: Option<&Session>,
        password: &str,
        [email, username]: [&str; 2],
    ) -> Result<Strength, Error> {
        self.rate_limits.check(lowest_limit(Limit::Meter), caller)?;
        let password = Password::parse(password).map_err(|problem| Error::invalid(Field::Password, problem))?;
        let words = match session {
            Some(Session { user, .. }) => self.passwords.words(&user.email, &user.username),
            None => self.passwords.words(email, username),
        };
        let candidate =
            Candidate::new(&password, &words, 0).map_err(|problem| Error::invalid(Field::Password, problem))?;
        self.rate_limits.take(cost_limit(Limit::Meter, candidate.cost()), caller).await?;
        let slot = self.passwords.hasher.judge().enqueue_spare()?;
        slot.run(move || candidate.strength()).await
    }
}
