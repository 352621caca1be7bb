//! Registering.

use serde::Deserialize;

use super::{Caller, Error, MailPolicy, Service};
use crate::{
    domain::{
        account::{Account, Registered},
        email::Email,
        email_domain::DomainRule,
        password::Password,
        username::Username,
    },
    error::{AppError, Field, FieldProblem, Problem},
    store::{LoginMade, MailKind, NewUser, RegisterOutcome, User, Welcome},
};

/// What somebody who registers sends: each field as it was read, or what is wrong with it.
#[derive(Debug)]
pub struct Registration {
    email: Result<Email, Problem>,
    username: Result<Username, Problem>,
    password: Result<Password, Problem>,
    /// The email and the username as they were typed: no password may consist of them, even if they are refused.
    typed: [String; 2],
}

impl Registration {
    /// Reads the fields of an account that the operator makes.
    pub(super) fn by_operator(email: &str, username: &str, password: &str) -> Self {
        let typed = [email, username].map(str::to_owned);
        let (email, username, password) = (Email::parse(email), Username::parse(username), Password::parse(password));
        Self { email, username, password, typed }
    }
}

/// A registration without fault.
struct Fields {
    email: Email,
    username: Username,
    password: Password,
}

/// An account that was made, or seems so to somebody who must not learn that the email has one.
struct NewAccount {
    user: User,
    password_hash: String,
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

impl Service {
    /// Reads the three fields of somebody who wants to register; a missing one is `None`. Every way to register leads through here,
    /// so that the operator's rules hold everywhere. [`Service::register`] answers what is wrong with all of the fields.
    ///
    /// # Errors
    /// [`AppError::RegistrationClosed`].
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
        let typed = [email, username].map(|text| text.unwrap_or_default().to_owned());
        let email = email.ok_or(Problem::Missing).and_then(Email::parse);
        let email = email.and_then(|email| domains.check(&email).map(|()| email));
        let username = username.ok_or(Problem::Missing).and_then(Username::choose);
        Ok(Registration {
            email,
            username,
            password: password.ok_or(Problem::Missing).and_then(Password::parse),
            typed,
        })
    }

    /// Makes an account for somebody who came through a door. Where mail is sent, an email that has an account is answered like
    /// a new one, and its owner is told by mail (ASVS 6.3.8).
    ///
    /// # Errors
    /// [`AppError::Invalid`] with what is wrong with every field, and for a username that is taken where mail is sent,
    /// [`AppError::RateLimited`], [`AppError::Taken`], [`AppError::Unavailable`].
    pub async fn register(&self, caller: &Caller, registration: Registration) -> Result<Account, Error> {
        Ok(self.make_account(Some(caller), registration).await?.user.into())
    }

    /// As [`Service::register`]; and then logs in, for the password was typed just now. Not where mail is sent: the answer would
    /// tell whether the email had an account already. Nor where an email must be confirmed first.
    ///
    /// # Errors
    /// As [`Service::register`].
    pub async fn register_and_log_in(&self, caller: &Caller, registration: Registration) -> Result<Registered, Error> {
        let NewAccount { user, password_hash } = self.make_account(Some(caller), registration).await?;
        let sign_in = if self.policy.mail == MailPolicy::Sent || self.policy.require_verified_email {
            None
        } else {
            // The account is there, even if no session can begin.
            let login = LoginMade { counter: None, network: Some(self.known_network(caller, &user.id)) };
            let begun = self.begin_session(caller, &user, &password_hash, None, login).await;
            begun.inspect_err(|cause| tracing::warn!(%cause, "nobody was logged in after registering")).ok().flatten()
        };
        Ok(Registered { account: user.into(), sign_in })
    }

    /// Makes an account for the operator, who vouches for it.
    pub(super) async fn add_account(&self, registration: Registration) -> Result<Account, Error> {
        Ok(Box::pin(self.make_account(None, registration)).await?.user.into())
    }

    /// Makes an account. Only a caller from outside is held back by the throttle.
    async fn make_account(&self, caller: Option<&Caller>, new: Registration) -> Result<NewAccount, Error> {
        let Fields { email, username, password } = self.judge_fields(caller, new).await?;
        // Counted only now, so that looking for a good enough password costs nobody their allowance.
        if let Some(caller) = caller {
            self.check_rate_limit("register", self.policy.register, caller).await?;
        }
        let place = self.hasher.enqueue()?;
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
        let (made, taken) = (self.new_mail(MailKind::Verify), self.new_mail(MailKind::Taken));
        let discreet = self.policy.mail == MailPolicy::Sent;
        let welcome = Welcome { made: &made, taken: discreet.then_some(&taken) };
        let mails = caller.is_some() && self.policy.mail != MailPolicy::Off;
        match self.store.insert_user(new, mails.then_some(welcome)).await? {
            RegisterOutcome::Done => tracing::info!(user = %user.id, "account created"),
            // Only the mailbox tells the two apart.
            RegisterOutcome::OwnerNotified => {
                tracing::info!("somebody tried to register with an email that has an account");
            }
            RegisterOutcome::Taken if discreet => return Err(invalid(Field::Username, Problem::UsernameTaken)),
            RegisterOutcome::Taken => return Err(AppError::Taken.into()),
        }
        self.notify_worker();
        Ok(NewAccount { user, password_hash })
    }

    /// Tells what is wrong with all fields at once.
    async fn judge_fields(&self, caller: Option<&Caller>, new: Registration) -> Result<Fields, Error> {
        let Registration { email, username, password, typed: [typed_email, typed_username] } = new;
        let password = match password {
            Ok(password) => {
                if let Some(caller) = caller {
                    self.rate_limit_key("register", caller, self.policy.register)?;
                }
                self.judge(caller, &password, [&typed_email, &typed_username]).await?.map_or(Ok(password), Err)
            }
            refused => refused,
        };
        match (email, username, password) {
            (Ok(email), Ok(username), Ok(password)) => Ok(Fields { email, username, password }),
            (email, username, password) => {
                let problems =
                    [(Field::Email, email.err()), (Field::Username, username.err()), (Field::Password, password.err())];
                Err(collected(problems).into())
            }
        }
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
