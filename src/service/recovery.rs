//! Resetting a forgotten password by a link in a mail (OWASP Forgot Password Cheat Sheet).

use super::{Caller, Error, Service, outbox::MAIL_REQUESTS};
use crate::{
    domain::{email::Email, requests::NewPassword},
    error::{AppError, Field},
    store::{LinkKind, MailKind, Redemption},
};

impl Service {
    /// Requests a mail with a reset link.
    ///
    /// The account is looked up only when the mail is sent. Every email gets the same response after the same work.
    pub async fn forgot_password(&self, caller: &Caller, email: &Email) -> Result<(), Error> {
        self.outbox.require_enabled()?;
        self.rate_limits.take(MAIL_REQUESTS, caller).await?;
        self.outbox.enqueue(MailKind::Forgot, email.as_str()).await
    }

    /// Sets a new password by a link, which also confirms the account's email. Returns the email.
    ///
    /// All sessions end, and no session starts. The owner is notified by mail.
    ///
    /// A link that confirms the email of a new account is accepted too. With it the email's owner takes over an
    /// account that someone else registered.
    pub async fn reset_password(&self, caller: &Caller, new: NewPassword) -> Result<String, Error> {
        let NewPassword { link: token, password } = new;
        let (hash, link, user) = self.follow(caller, &token, &[LinkKind::Reset, LinkKind::Verify]).await?;
        let password = self.passwords.judge_and_hash(Some(caller), &user, Field::NewPassword, password).await?;
        let notice = self.outbox.new_mail(MailKind::PasswordReset);
        let network = self.rate_limits.known_network(caller, &user.id);
        let redemption = Redemption { hash, link, network };
        let stamp = self.stamp(caller.acting_anonymously());
        let ended = self.store.reset_password(redemption, password, notice, stamp).await?;
        let sessions_ended = ended.ok_or(AppError::LinkInvalid)?;
        self.outbox.notify_worker();
        tracing::info!(user = %user.id, sessions_ended, "password reset by mail");
        Ok(user.email)
    }
}
