//! Confirming an email, changing it, and undoing a change.

use std::time::Duration;

use strum::VariantArray;

use super::{
    Caller, Error, Principal, Service, Writer, counts::Limit, outbox::MAIL_REQUESTS, passwords::KnownBy,
    rate_limits::AddressLimit, reauth::Proven,
};
use crate::{
    domain::{
        account::PendingEmailChange,
        email::Email,
        identifier::Identifier,
        requests::NewPassword,
        time::Timestamp,
        token::{Token, TokenHash},
    },
    error::{AppError, Field, Problem},
    store::{
        EmailChange, EmailChangeRecord, Link, LinkKind, MailKind, MoveEmailOutcome, RateLimit, Redemption, Squatter,
        User,
    },
};

/// Limit on invalid links per address. It is generous: a reader may open an old mail several times, and many people may
/// share an address.
pub(super) const INVALID_LINKS: AddressLimit =
    AddressLimit { action: Limit::Link, rule: RateLimit { burst: 60, interval: Duration::from_secs(1) } };

impl Service {
    /// Confirms an account's email and returns it. The account then knows the caller's network.
    ///
    /// This requires both the link from the mail and the account's password. A person who registered with someone
    /// else's email has only the password.
    pub async fn verify_email(&self, caller: &Caller, link: &Token, password: &str) -> Result<String, Error> {
        let (hash, link, user) = self.follow(caller, link, &[LinkKind::Verify]).await?;
        let (stored, _slot) = self.passwords.verify_current(caller, &user, KnownBy::Link, password).await?;
        let network = self.rate_limits.known_network(caller, &user.id);
        let redemption = Redemption { hash, link, network };
        let stamp = self.stamp(caller.acting_by_password(&user.id));
        if !self.store.verify_email(redemption, stored, stamp).await? {
            return Err(self.link_error(&hash).await);
        }
        tracing::info!(user = %user.id, "email confirmed");
        Ok(user.email)
    }

    /// Sends the mail that confirms the user's email again. If the email is already confirmed, nothing is sent.
    pub async fn resend_verification(&self, caller: &Caller, writer: &Writer) -> Result<(), Error> {
        self.outbox.require_enabled()?;
        self.rate_limits.take(MAIL_REQUESTS, caller).await?;
        self.outbox.enqueue_for(&writer.principal().checked_token(), MailKind::Verify, "", None).await
    }

    /// Sends a confirmation link to a new email. The account's email changes only once the link is used.
    ///
    /// If the new email already has an account, the response is the same and that account's owner is notified. Returns
    /// [`AppError::Invalid`] if the user already has this email or the operator's rules forbid it.
    pub async fn change_email(&self, caller: &Caller, proven: &Proven, email: &Email) -> Result<(), Error> {
        self.outbox.require_enabled()?;
        let user = &proven.session().user;
        if email.as_str() == user.email {
            return Err(Error::invalid(Field::NewEmail, Problem::EmailSame));
        }
        self.policy.registration.domains.check(email).map_err(|problem| Error::invalid(Field::NewEmail, problem))?;
        self.rate_limits.take(MAIL_REQUESTS, caller).await?;
        let stamp = self.stamp(caller.acting_as(proven.actor()));
        let (token, kind) = (proven.checked_token(), MailKind::ChangeEmail);
        self.outbox.enqueue_for(&token, kind, email.as_str(), Some(&stamp)).await?;
        tracing::info!(user = %user.id, "email change requested");
        Ok(())
    }

    /// Returns the requested change of the user's email that is not confirmed yet. It does not reveal whether the new
    /// email has an account.
    pub async fn pending_email_change(&self, principal: &Principal) -> Result<Option<PendingEmailChange>, Error> {
        let change = self.store.pending_email_change(&principal.user().id, self.clock.now()).await?;
        let allowed = |change: &EmailChangeRecord| {
            Email::parse(&change.address).is_ok_and(|email| self.policy.registration.domains.check(&email).is_ok())
        };
        Ok(change.filter(allowed).map(|EmailChangeRecord { address, created_at }| PendingEmailChange {
            new_email: address,
            requested_at: Timestamp::from_millis(created_at).to_rfc3339(),
        }))
    }

    /// Cancels the requested change of the user's email. Its link is no longer valid. Returns `false` if there is no
    /// such change: it was confirmed or cancelled before.
    pub async fn cancel_email_change(&self, caller: &Caller, writer: &Writer) -> Result<bool, Error> {
        let (user, token) = (writer.principal().user(), writer.principal().checked_token());
        // A request that changes nothing must not take the database writer.
        if !self.store.has_email_change(&user.id).await? {
            self.require_active(&token).await?;
            return Ok(false);
        }
        let stamp = self.stamp(caller.acting_as(writer.principal().actor()));
        let cancelled = self.store.cancel_email_change(&token, &stamp).await?.ok_or(AppError::SessionEnded)?;
        if cancelled {
            tracing::info!(user = %user.id, "email change cancelled");
        }
        Ok(cancelled)
    }

    /// Changes an account's email to the one that the link was sent to, and returns it. If the previous email was
    /// confirmed, it is notified, with a link that undoes the change.
    ///
    /// The password is required too. With a link alone, a stranger's click would be enough to confirm their email for
    /// an attacker's account. Returns [`AppError::Taken`] if someone has registered with the email in the meantime.
    pub async fn confirm_email(&self, caller: &Caller, link: &Token, password: &str) -> Result<String, Error> {
        let (hash, link, user) = self.follow(caller, link, &[LinkKind::ChangeEmail]).await?;
        let (stored, _slot) = self.passwords.verify_current(caller, &user, KnownBy::Link, password).await?;
        let notice = self.outbox.new_mail(MailKind::EmailChanged);
        let change = self.email_change(&user, address_of(&link)?);
        let network = self.rate_limits.known_network(caller, &user.id);
        let redemption = Redemption { hash, link: link.clone(), network };
        let stamp = self.stamp(caller.acting_by_password(&user.id));
        let moved = self.store.move_email(redemption, stored, change, notice, stamp).await?;
        self.moved(moved, &user, (&hash, &link)).await?;
        Ok(link.address)
    }

    /// Restores an account's previous email by the link that was sent there, sets a new password, and returns the
    /// email.
    ///
    /// All sessions end and all personal access tokens are revoked, because someone else may have changed the email
    /// and know the password. For the same reason the current password is rejected. Returns [`AppError::Taken`] if
    /// another account has confirmed the email.
    pub async fn undo_email(&self, caller: &Caller, new: NewPassword) -> Result<String, Error> {
        let NewPassword { link: token, password } = new;
        let (hash, link, user) = self.follow(caller, &token, &[LinkKind::UndoEmail]).await?;
        let email = address_of(&link)?;
        // Judged with the restored email: the person who changed it must not choose what the password may not contain.
        let restored = User { email: email.as_str().to_owned(), ..user.clone() };
        let known = self.store.find_credential(&Identifier::parse(&user.email)).await?;
        let current = known.filter(|known| known.user.id == user.id).ok_or(AppError::LinkInvalid)?.password_hash;
        let passwords = (password, current);
        let password = self.passwords.judge_and_hash_other(caller, &restored, Field::NewPassword, passwords).await?;
        let holder = self.store.find_credential(&Identifier::Email(email.clone())).await?.map(|known| known.user);
        let squatter = holder.filter(|holder| holder.id != user.id);
        let squatter = squatter
            .map(|squatter| Squatter { failures: self.rate_limits.release_username(&squatter), user: squatter.id });
        let (change, notice) = (self.email_change(&user, email), self.outbox.new_mail(MailKind::EmailUndone));
        let network = self.rate_limits.known_network(caller, &user.id);
        let redemption = Redemption { hash, link: link.clone(), network };
        let stamp = self.stamp(caller.acting_anonymously());
        let moved = self.store.undo_email(redemption, password, change, squatter, notice, stamp).await?;
        self.moved(moved, &user, (&hash, &link)).await?;
        Ok(link.address)
    }

    fn email_change(&self, user: &User, email: Email) -> EmailChange {
        EmailChange { failures: self.rate_limits.inherit(&user.email, email.as_str()), email }
    }

    /// Returns why a link that was valid a moment ago was rejected: it was used, or a concurrent login rehashed the
    /// password.
    async fn link_error(&self, hash: &TokenHash) -> Error {
        match self.store.find_link(hash).await {
            Ok(Some(_)) => AppError::Unavailable { retry_after: 1 }.into(),
            Ok(None) => AppError::LinkInvalid.into(),
            Err(error) => error.into(),
        }
    }

    async fn moved(
        &self,
        moved: MoveEmailOutcome,
        user: &User,
        (hash, link): (&TokenHash, &Link),
    ) -> Result<(), Error> {
        match moved {
            MoveEmailOutcome::Done => {}
            MoveEmailOutcome::LinkInvalid => return Err(self.link_error(hash).await),
            MoveEmailOutcome::Taken => return Err(AppError::Taken.into()),
        }
        self.outbox.notify_worker();
        tracing::info!(user = %user.id, by = link.kind.name(), "email changed");
        Ok(())
    }

    /// Checks whether a link is valid, without using it: one from a mail, or the one that makes the first admin.
    pub async fn check_link(&self, caller: &Caller, link: &Token) -> Result<bool, Error> {
        self.rate_limits.check(INVALID_LINKS, caller)?;
        if self.is_setup_link(link).await? {
            return Ok(true);
        }
        match self.follow(caller, link, LinkKind::VARIANTS).await {
            Ok(_) => Ok(true),
            Err(Error::Refused(AppError::LinkInvalid)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Resolves a valid link of one of the given kinds. Invalid links are rate-limited per address.
    pub(super) async fn follow(
        &self,
        caller: &Caller,
        link: &Token,
        kinds: &[LinkKind],
    ) -> Result<(TokenHash, Link, User), Error> {
        // Checked first, so that a rate-limited address causes no database query.
        self.rate_limits.check(INVALID_LINKS, caller)?;
        let found = self.find_valid(link, kinds).await;
        if let Err(Error::Refused(AppError::LinkInvalid)) = found {
            self.rate_limits.take(INVALID_LINKS, caller).await?;
        }
        found
    }

    async fn find_valid(&self, link: &Token, kinds: &[LinkKind]) -> Result<(TokenHash, Link, User), Error> {
        let (hash, now) = (link.hash(), self.clock.now());
        let link = self.store.find_link(&hash).await?.ok_or(AppError::LinkInvalid)?;
        let user = self.store.find_user(&link.user_id).await?.filter(|user| user.disabled_at.is_none());
        let user = user.ok_or(AppError::LinkInvalid)?;
        if now >= link.expires_at {
            // Deleted, so that it stays expired even if the clock is set back. The response is the same if that fails.
            if let Err(cause) = self.store.void_link(&hash, now).await {
                tracing::warn!(%cause, "an expired link could not be deleted");
            }
        }
        // The operator may have forbidden the domain since the link was sent. An undo restores an email that was
        // allowed before.
        let forbidden =
            link.kind == LinkKind::ChangeEmail && self.policy.registration.domains.check(&address_of(&link)?).is_err();
        if !link.is_valid(now) || !kinds.contains(&link.kind) || forbidden {
            return Err(AppError::LinkInvalid.into());
        }
        Ok((hash, link, user))
    }
}

fn address_of(link: &Link) -> Result<Email, Error> {
    let stored = |_| Error::Fault(format!("the stored email of a link for account {} is invalid", link.user_id));
    Email::parse(&link.address).map_err(stored)
}
