//! Registering.

use std::time::Duration;

use serde::Deserialize;

use super::{Caller, Error, MailPolicy, Service, strength};
use crate::{
    domain::{account::Account, email::Email, email_domain::DomainRule, password::Password, username::Username},
    error::{AppError, Field, FieldProblem, Problem},
    store::{Allowance, Errand, Made, NewUser, User, Welcome},
};

/// Passwords of one address that are judged: so many at once, and then one every two seconds. Judging one can take the
/// processor as long as five hashes, and a person who looks for a good one tries a few.
pub(super) const JUDGED: Allowance = Allowance { burst: 15, interval: Duration::from_secs(2) };

/// What somebody who registers sends, each field checked.
#[derive(Debug)]
pub struct Registration {
    email: Email,
    username: Username,
    password: Password,
}

/// Who may register. The operator makes accounts whatever these rules are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationPolicy {
    /// Whether anybody may.
    pub mode: RegistrationMode,
    /// With which emails. An account may not move to another email either.
    pub domains: DomainRule,
}

/// Whether anybody may register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RegistrationMode {
    /// Everybody may.
    Open,
    /// Nobody may: only the operator makes accounts.
    Closed,
}

impl Registration {
    /// Reads the fields of an account that the operator makes.
    ///
    /// # Errors
    /// [`AppError::Invalid`].
    pub(super) fn by_operator(email: &str, username: &str, password: &str) -> Result<Self, AppError> {
        Self::of(Email::parse(email), Username::parse(username), Password::parse(password))
    }

    fn of(
        email: Result<Email, Problem>,
        username: Result<Username, Problem>,
        password: Result<Password, Problem>,
    ) -> Result<Self, AppError> {
        match (email, username, password) {
            (Ok(email), Ok(username), Ok(password)) => Ok(Self { email, username, password }),
            (email, username, password) => Err(collected([
                (Field::Email, email.err()),
                (Field::Username, username.err()),
                (Field::Password, password.err()),
            ])),
        }
    }
}

impl Service {
    /// Reads the three fields of somebody who wants to register; a missing one is `None`. Every way to register leads through here,
    /// so that the operator's rules hold everywhere.
    ///
    /// # Errors
    /// [`AppError::RegistrationClosed`], and [`AppError::Invalid`] with what is wrong with every field, not only with the first.
    pub fn read_registration(
        &self,
        email: Option<&str>,
        username: Option<&str>,
        password: Option<&str>,
    ) -> Result<Registration, AppError> {
        let RegistrationPolicy { mode, domains } = &self.policy.registration;
        if *mode == RegistrationMode::Closed {
            return Err(AppError::RegistrationClosed);
        }
        let email = email.ok_or(Problem::Missing).and_then(Email::parse);
        let email = email.and_then(|email| domains.check(&email).map(|()| email));
        let username = username.ok_or(Problem::Missing).and_then(Username::choose);
        Registration::of(email, username, password.ok_or(Problem::Missing).and_then(Password::parse))
    }

    /// Makes an account for somebody who came through a door. Where mail is sent, an email that has an account is answered like
    /// a new one, and its owner is told by mail (ASVS 6.3.8).
    ///
    /// # Errors
    /// [`AppError::Invalid`] for a password that is too weak, or a username that is taken where mail is sent,
    /// [`AppError::Throttled`], [`AppError::Taken`], [`AppError::Unavailable`].
    pub async fn register(&self, caller: &Caller, registration: Registration) -> Result<Account, Error> {
        self.make_account(Some(caller), registration).await
    }

    /// Makes an account. Only a caller from outside is held back by the throttle.
    pub(super) async fn make_account(&self, caller: Option<&Caller>, new: Registration) -> Result<Account, Error> {
        if let Some(caller) = caller {
            self.free_address("register", caller, self.policy.register)?;
            self.allow("judge", JUDGED, caller).await?;
        }
        let place = self.hasher.enqueue()?;
        let least = self.policy.password_least;
        let Registration { email, username, password } = new;
        let (email, username, password) = place
            .compute(move || {
                let judged = strength::check(&password, &email, &username, least);
                judged.map(|()| (email, username, password))
            })
            .await?
            .map_err(|problem| invalid(Field::Password, problem))?;
        // Counted only now, so that looking for a good enough password costs nobody their allowance.
        if let Some(caller) = caller {
            self.allow("register", self.policy.register, caller).await?;
        }
        let password_hash = place.hash(password, self.new_salt()).await?;
        let user = User {
            id: self.new_id(),
            email: email.as_str().to_owned(),
            username: username.as_str().to_owned(),
            created_at: self.clock.now(),
            disabled_at: None,
            // The operator vouches for whom they register.
            email_verified_at: caller.is_none().then(|| self.clock.now()),
        };
        let new = NewUser {
            id: user.id.clone(),
            email: &email,
            username: &username,
            password_hash: &password_hash,
            created_at: user.created_at,
            verified: user.email_verified_at.is_some(),
            held: self.inherit(username.as_str(), email.as_str()),
        };
        let (made, taken) = (self.new_mail(Errand::Verify), self.new_mail(Errand::Taken));
        let discreet = self.policy.mail == MailPolicy::Sent;
        let welcome = Welcome { made: &made, taken: discreet.then_some(&taken) };
        let mails = caller.is_some() && self.policy.mail != MailPolicy::Off;
        match self.store.insert_user(new, mails.then_some(welcome)).await? {
            Made::Done => tracing::info!(user = %user.id, "account created"),
            // Only the mailbox tells the two apart.
            Made::OwnerTold => tracing::info!("somebody tried to register with an email that has an account"),
            Made::Taken if discreet => return Err(invalid(Field::Username, Problem::UsernameTaken)),
            Made::Taken => return Err(AppError::Taken.into()),
        }
        self.wake_postman();
        Ok(user.into())
    }

    pub(super) fn new_salt(&self) -> [u8; 16] {
        let mut salt = [0; 16];
        self.entropy.fill(&mut salt);
        salt
    }
}

/// What is wrong with some of several fields.
pub(super) fn collected<const N: usize>(fields: [(Field, Option<Problem>); N]) -> AppError {
    let problems = fields.into_iter().filter_map(|(field, problem)| Some(FieldProblem { field, problem: problem? }));
    AppError::Invalid(problems.collect())
}

pub(super) fn invalid(field: Field, problem: Problem) -> Error {
    AppError::Invalid(vec![FieldProblem { field, problem }]).into()
}
