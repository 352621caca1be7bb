//! The first admin, who is made by a link. The program prints the link to those who may run it.

use std::sync::Arc;

use super::{
    Caller, Error, Service, email::INVALID_LINKS, entropy::new_token, events::actor_in, passwords::KnownBy,
    reauth::checked_token,
};
use crate::{
    domain::{
        event::Initiator,
        requests::{BecomeAdminByLink, SetUpByLink},
        time::Timestamp,
        token::{Token, TokenKind},
    },
    error::AppError,
    store::{MailKind, NewMail, Session, SetupOutcome},
};

impl Service {
    /// Whether there is an enabled admin.
    pub async fn has_admin(&self) -> Result<bool, Error> {
        Ok(self.store.has_admin().await?)
    }

    /// Creates the link that makes the first admin, and revokes an older one. Returns `None` if there is an enabled
    /// admin.
    pub async fn create_setup_link(&self, by: Initiator) -> Result<Option<Token>, Error> {
        let token = new_token(&*self.entropy, TokenKind::Link);
        let created = self.store.create_setup_link(&token.hash(), &self.stamp(by)).await?;
        Ok(created.then_some(token))
    }

    /// Whether the link is valid and there is no enabled admin.
    pub(super) async fn is_setup_link(&self, link: &Token) -> Result<bool, Error> {
        Ok(self.store.is_setup_link_valid(&link.hash(), self.clock.now()).await?)
    }

    /// Returns [`AppError::SetupLinkInvalid`] if the link is invalid. Invalid links are rate-limited per address.
    async fn require_setup_link(&self, caller: &Caller, link: &Token) -> Result<(), Error> {
        self.rate_limits.check(INVALID_LINKS, caller)?;
        if self.is_setup_link(link).await? {
            return Ok(());
        }
        self.rate_limits.take(INVALID_LINKS, caller).await?;
        Err(AppError::SetupLinkInvalid.into())
    }

    /// Creates the first admin through the link and returns the account's email. The link's holder may run the program,
    /// so the rules for registrations don't apply, and the email needs no confirmation.
    ///
    /// Returns [`AppError::Taken`] for an email or a username that is taken.
    pub async fn set_up(&self, caller: &Caller, request: SetUpByLink) -> Result<String, Error> {
        let SetUpByLink { link, registration } = request;
        // Before any work with the password.
        self.require_setup_link(caller, &link).await?;
        let account = Box::pin(self.prepare_account(Some(caller), registration, true)).await?;
        let stamp = self.stamp(caller.acting_anonymously());
        let new_mail = self.role_mail(stamp.at);
        let outcome = self.store.insert_first_admin(&link.hash(), account.row(), new_mail, &stamp).await?;
        self.admin_made(outcome, &account.user.id)?;
        Ok(account.user.email)
    }

    /// Makes the account of a session the first admin through the link, and returns its email. Its sessions end.
    ///
    /// The link also confirms the email. Its holder may run the program and vouches for it, as for an account that the
    /// command line creates, and the server may not send mail yet.
    pub async fn become_first_admin(
        &self,
        caller: &Caller,
        session: &Session,
        request: BecomeAdminByLink,
    ) -> Result<String, Error> {
        let BecomeAdminByLink { link, password } = request;
        self.require_setup_link(caller, &link).await?;
        let user = &session.user;
        let (hash, _slot) = self.passwords.verify_current(caller, user, KnownBy::Session(session), &password).await?;
        let (checked, stamp) = (checked_token(session), self.stamp(caller.acting_as(actor_in(session))));
        let new_mail = self.role_mail(stamp.at);
        let outcome = self.store.make_first_admin(link.hash(), checked, hash, new_mail, stamp).await?;
        if outcome == SetupOutcome::Conflict {
            return Err(self.conflict_reason(session).await);
        }
        self.admin_made(outcome, &user.id)?;
        Ok(user.email.clone())
    }

    /// Creates the mails about a role.
    pub(super) fn role_mail(&self, now: Timestamp) -> impl Fn(MailKind) -> Option<NewMail> + Send + Sync + 'static {
        let outbox = Arc::clone(&self.outbox);
        move |kind| outbox.notice_at(kind, now)
    }

    fn admin_made(&self, outcome: SetupOutcome, user: &str) -> Result<(), Error> {
        match outcome {
            SetupOutcome::Done => {}
            SetupOutcome::LinkInvalid => return Err(AppError::SetupLinkInvalid.into()),
            SetupOutcome::Taken => return Err(AppError::Taken.into()),
            SetupOutcome::Conflict => return Err(AppError::Unavailable { retry_after: 1 }.into()),
        }
        self.outbox.notify_worker();
        tracing::info!(user, "first admin created by link");
        Ok(())
    }
}
