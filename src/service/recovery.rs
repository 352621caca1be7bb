//! Resetting a forgotten password by a link in a mail (OWASP Forgot Password Cheat Sheet).

use std::fmt;

use super::{Caller, Error, Service, outbox::MAIL_REQUESTS};
use crate::{
    domain::{email::Email, password::Password, token::Token},
    error::{AppError, Field, Problem},
    store::{LinkKind, MailKind},
};

/// A link's token and the new password, both validated.
pub struct NewPassword {
    pub(super) link: Token,
    pub(super) password: Password,
}

impl fmt::Debug for NewPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewPassword")
    }
}

impl NewPassword {
    /// Validates the two fields; a missing one is `None`. An invalid link is reported before an invalid password.
    pub fn parse(link: Option<&str>, password: Option<&str>) -> Result<Self, AppError> {
        let link = Service::read_link(link)?;
        let password = password.filter(|text| !text.is_empty()).ok_or(Problem::Missing).and_then(Password::parse);
        let password = password.map_err(|problem| AppError::invalid(Field::NewPassword, problem))?;
        Ok(Self { link, password })
    }
}

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
        let ended = self.store.reset_password((&hash, &link), &password, &network, &notice).await?;
        let sessions_ended = ended.ok_or(AppError::LinkInvalid)?;
        self.outbox.notify_worker();
        tracing::info!(user = %user.id, sessions_ended, "password reset by mail");
        Ok(user.email)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::token::TokenKind;

    #[test]
    fn a_new_password_is_never_printed_r29() {
        let link = Token::generate(TokenKind::Link, || 7);
        let new = NewPassword::parse(Some(link.expose()), Some("a secret of some length")).expect("a new password");
        assert_eq!(format!("{new:?}"), "NewPassword");
    }
}
