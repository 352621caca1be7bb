//! Registration of accounts.

use serde::Deserialize;

use super::{
    Caller, Deadlines, Error, MailPolicy, Service,
    counts::{Limit, RegistrationResult as Outcome},
    entropy::new_id,
    rate_limits::AddressLimit,
};
use crate::{
    domain::{
        account::{LoginResult, RegistrationResult},
        email::Email,
        email_domain::DomainRule,
        event::Initiator,
        password::Password,
        requests::Registration,
        time::Timestamp,
        token::Token,
        username::Username,
    },
    error::{AppError, Field, Problem},
    store::{
        InheritFailures, Invitation, InvitationUse, LoginRecord, MailKind, NewUser, RegisterOutcome, User, Welcome,
    },
};

/// A valid registration.
struct Fields {
    email: Email,
    username: Username,
    password: Password,
}

/// An account that is created next, or a pretended one for a client that must not learn that the email already has an
/// account.
pub(super) struct NewAccount {
    pub user: User,
    password_hash: String,
    email: Email,
    username: Username,
    held: InheritFailures,
    kept_until: Option<Timestamp>,
}

impl NewAccount {
    /// The response to the client.
    fn result(self, login: Option<LoginResult>) -> RegistrationResult {
        RegistrationResult { pending: self.user.pending_since.is_some(), account: self.user.into(), login }
    }

    /// The row to insert.
    pub fn row(&self) -> NewUser<'_> {
        NewUser {
            id: self.user.id.clone(),
            email: &self.email,
            username: &self.username,
            password_hash: &self.password_hash,
            created_at: self.user.created_at,
            verified: self.user.email_verified_at.is_some(),
            pending: self.user.pending_since.is_some(),
            kept_until: self.kept_until,
            held: self.held.clone(),
        }
    }
}

/// Who may register. The rules don't apply to the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationPolicy {
    /// Whether registration is open.
    pub mode: RegistrationMode,
    /// The allowed email domains. They also apply to a change of the email.
    pub domains: DomainRule,
    /// How long new accounts are kept without being used.
    pub deadlines: Deadlines,
}

/// Whether registration is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RegistrationMode {
    /// Everyone may register.
    Open,
    /// Everyone may register, but an operator must approve the account.
    Approval,
    /// Only people with an invitation may register.
    Invite,
    /// Only the operator creates accounts.
    Closed,
}

impl Service {
    /// Applies the operator's rules to a client's registration. Returns its invitation, which permits it in every mode.
    async fn apply_policy(&self, caller: &Caller, new: &mut Registration) -> Result<Option<Invitation>, Error> {
        let RegistrationPolicy { mode, domains, .. } = &self.policy.registration;
        let invitation = match (&new.invitation, mode) {
            (Some(token), _) => Some(self.require_invitation(caller, token).await?),
            (None, RegistrationMode::Open) => None,
            (None, RegistrationMode::Approval) if self.store.has_approver().await? => None,
            (None, RegistrationMode::Invite) => return Err(AppError::InvitationRequired.into()),
            (None, RegistrationMode::Approval | RegistrationMode::Closed) => {
                return Err(AppError::RegistrationClosed.into());
            }
        };
        if let Ok(email) = &new.email {
            let invited = invitation.as_ref().is_none_or(|invitation| invitation.admits(email));
            let refused = if invited { domains.check(email).err() } else { Some(Problem::EmailNotInvited) };
            if let Some(problem) = refused {
                new.email = Err(problem);
            }
        }
        Ok(invitation)
    }

    /// Creates an account for a client.
    ///
    /// If mail is sent, an email that has an account gets the same response as a new one, and its owner is notified
    /// (ASVS 6.3.8). Returns [`AppError::Invalid`] with the problems of all fields. If mail is sent, it also reports
    /// a taken username; otherwise [`AppError::Taken`] does.
    pub async fn register(&self, caller: &Caller, registration: Registration) -> Result<RegistrationResult, Error> {
        let made = Box::pin(self.create_account(Some(caller), caller.acting_anonymously(), registration)).await?;
        Ok(made.result(None))
    }

    /// Registers as [`Service::register`] does, then logs in, because the password was just entered.
    ///
    /// There is no login if mail is sent: the response would reveal whether the email already had an account. There
    /// is none either if the email must be confirmed or the account approved first. An invitation that was sent to the
    /// email confirms it.
    pub async fn register_and_log_in(
        &self,
        caller: &Caller,
        registration: Registration,
    ) -> Result<RegistrationResult, Error> {
        let by = caller.acting_anonymously();
        let made = Box::pin(self.create_account(Some(caller), by, registration)).await?;
        let NewAccount { user, password_hash, .. } = &made;
        let proven = user.email_verified_at.is_some();
        let unconfirmed = !proven && (self.policy.mail == MailPolicy::Smtp || self.policy.require_verified_email);
        let login = if unconfirmed || user.pending_since.is_some() {
            None
        } else {
            // The account exists even if no session can be started.
            let login = LoginRecord { counter: None, network: Some(self.rate_limits.known_network(caller, &user.id)) };
            let begun = self.begin_session(caller, user, password_hash, None, login).await;
            begun.inspect_err(|cause| tracing::warn!(%cause, "could not log in after registration")).ok().flatten()
        };
        Ok(made.result(login))
    }

    /// Creates an account for the operator, with a confirmed email.
    pub(super) async fn add_account(&self, by: Initiator, registration: Registration) -> Result<User, Error> {
        Ok(Box::pin(self.create_account(None, by, registration)).await?.user)
    }

    /// Creates an account and counts the outcome. Without a caller it is the operator's, and no rate limit applies.
    async fn create_account(
        &self,
        caller: Option<&Caller>,
        by: Initiator,
        new: Registration,
    ) -> Result<NewAccount, Error> {
        let created = Box::pin(self.try_create_account(caller, by, new)).await;
        if caller.is_some() {
            self.counts.registrations.count(match &created {
                Ok((_, outcome)) => *outcome,
                Err(error) => error.into(),
            });
        }
        Ok(created?.0)
    }

    async fn try_create_account(
        &self,
        caller: Option<&Caller>,
        by: Initiator,
        mut new: Registration,
    ) -> Result<(NewAccount, Outcome), Error> {
        let invitation = match caller {
            Some(caller) => self.apply_policy(caller, &mut new).await?,
            None => None,
        };
        let token_hash = new.invitation.as_ref().map(Token::hash);
        // The operator vouches for the email, or the invitation was sent to it.
        let verified = caller.is_none() || invitation.as_ref().is_some_and(|invitation| invitation.mailed);
        let mut account = self.prepare_account(caller, new, verified).await?;
        if caller.is_some() && !verified {
            let now = account.user.created_at;
            let pending = invitation.is_none() && self.policy.registration.mode == RegistrationMode::Approval;
            account.user.pending_since = pending.then_some(now);
            account.kept_until = self.kept_until(now, pending);
        }
        let redeemed = token_hash.map(|token_hash| InvitationUse { token_hash, now: account.user.created_at });
        let (made, taken) = (self.outbox.new_mail(MailKind::Verify), self.outbox.new_mail(MailKind::Taken));
        let discreet = self.policy.mail == MailPolicy::Smtp;
        let welcome = Welcome { made: &made, taken: discreet.then_some(&taken) };
        let mails = caller.is_some() && self.policy.mail != MailPolicy::Off;
        let inserted =
            self.store.insert_user(account.row(), redeemed, mails.then_some(welcome), &self.stamp(by)).await?;
        let outcome = match inserted {
            RegisterOutcome::Done => {
                tracing::info!(user = %account.user.id, "account created");
                Outcome::Ok
            }
            // The response is the same; only the mailbox's owner sees the difference.
            RegisterOutcome::OwnerNotified => {
                tracing::info!("registration with an email that already has an account, owner notified");
                Outcome::Taken
            }
            RegisterOutcome::Taken if discreet => return Err(Error::invalid(Field::Username, Problem::UsernameTaken)),
            RegisterOutcome::Taken => return Err(AppError::Taken.into()),
            RegisterOutcome::InvitationInvalid => return Err(AppError::InvitationInvalid.into()),
        };
        account.user.groups = invitation.map(|invitation| invitation.groups).unwrap_or_default();
        self.outbox.notify_worker();
        Ok((account, outcome))
    }

    /// Judges the fields of a new account and hashes its password. Without a caller no rate limit applies. `verified` is
    /// whether the email is known to belong to the owner.
    pub(super) async fn prepare_account(
        &self,
        caller: Option<&Caller>,
        new: Registration,
        verified: bool,
    ) -> Result<NewAccount, Error> {
        let Fields { email, username, password } = self.judge_fields(caller, new).await?;
        // Counted only now, so that attempts with weak passwords are not limited.
        if let Some(caller) = caller {
            self.rate_limits.take(self.register_limit(), caller).await?;
        }
        let password_hash = self.passwords.hash(password).await?;
        let now = self.clock.now();
        let user = User {
            id: new_id(&*self.entropy, now),
            email: email.as_str().to_owned(),
            username: username.as_str().to_owned(),
            created_at: now,
            disabled_at: None,
            email_verified_at: verified.then_some(now),
            pending_since: None,
            role: None,
            groups: Vec::new(),
        };
        let held = self.rate_limits.inherit(username.as_str(), email.as_str());
        Ok(NewAccount { user, password_hash, email, username, held, kept_until: None })
    }

    /// Validates all fields and reports all problems at once.
    async fn judge_fields(&self, caller: Option<&Caller>, new: Registration) -> Result<Fields, Error> {
        let Registration { email, username, password, typed: [typed_email, typed_username], .. } = new;
        let password = match password {
            Ok(password) => {
                if let Some(caller) = caller {
                    self.rate_limits.check(self.register_limit(), caller)?;
                }
                self.passwords
                    .judge(caller, &password, [&typed_email, &typed_username])
                    .await?
                    .map_or(Ok(password), Err)
            }
            refused => refused,
        };
        match (email, username, password) {
            (Ok(email), Ok(username), Ok(password)) => Ok(Fields { email, username, password }),
            (email, username, password) => {
                let problems =
                    [(Field::Email, email.err()), (Field::Username, username.err()), (Field::Password, password.err())];
                Err(AppError::invalid_fields(problems).into())
            }
        }
    }

    fn register_limit(&self) -> AddressLimit {
        AddressLimit { action: Limit::Register, rule: self.policy.register }
    }
}
