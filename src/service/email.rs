//! Whose an email is: confirming it, changing it, and taking a change back.

use std::time::Duration;

use super::{
    Caller, Error, MailPolicy, Service,
    login::Prover,
    reauth::Proven,
    recovery::{ASKED, NewPassword},
    registration::invalid,
};
use crate::{
    domain::{
        email::Email,
        identifier::Identifier,
        token::{Token, TokenHash, TokenKind},
    },
    error::{AppError, Field, Problem},
    store::{Link, LinkKind, MailKind, MoveEmailOutcome, NewMail, RateLimit, User},
};

/// Links that don't work, from one address. Generous: a reader may open an old mail several times, and many may share an address.
const DEAD_LINKS: RateLimit = RateLimit { burst: 60, interval: Duration::from_secs(1) };

impl Service {
    /// Confirms that an account's email is its owner's, who has the link that was sent there and knows the account's password:
    /// somebody who registered with another's email has only the latter. The account knows the network from then on. Returns the
    /// email.
    ///
    /// # Errors
    /// [`AppError::LinkInvalid`], [`AppError::WrongPassword`], [`AppError::RateLimited`], [`AppError::Unavailable`].
    pub async fn verify_email(&self, caller: &Caller, link: &Token, password: &str) -> Result<String, Error> {
        let (hash, link, user) = self.follow(caller, link, &[LinkKind::Verify]).await?;
        let (stored, _place) = self.verify_current_password(caller, (&user, Prover::Link), password).await?;
        let network = self.known_network(caller, &user.id);
        if !self.store.verify_email((&hash, &link), (&stored, &network), self.clock.now()).await? {
            return Err(self.refuse_link(&hash).await);
        }
        tracing::info!(user = %user.id, "email confirmed");
        Ok(user.email)
    }

    /// Sends the mail again that asks whoever is logged in to confirm their email. If they have, nothing is sent.
    ///
    /// # Errors
    /// [`AppError::MailOff`], [`AppError::RateLimited`], [`AppError::Unavailable`], and as [`Service::authenticate_for_write`].
    pub async fn resend_verification(&self, caller: &Caller, token: &Token) -> Result<(), Error> {
        self.need_mail()?;
        let asking = self.authenticate_for_write(token).await?;
        self.check_rate_limit("mail", ASKED, caller).await?;
        let asked = self.new_mail(MailKind::Verify);
        self.store.enqueue_mail_for(&asked, &asking.asking(), "").await?.ok_or(AppError::SessionEnded)?;
        self.notify_worker();
        Ok(())
    }

    /// Asks at a new email whether it is theirs. Until they have followed the link that is sent there, nothing changes. An email
    /// that has an account is answered alike, and its owner is told.
    ///
    /// # Errors
    /// [`AppError::MailOff`], [`AppError::Invalid`] if it is theirs already or the operator's rules forbid it, [`AppError::RateLimited`],
    /// [`AppError::SessionEnded`], [`AppError::Unavailable`].
    pub async fn change_email(&self, caller: &Caller, asking: &Proven, email: &Email) -> Result<(), Error> {
        self.need_mail()?;
        let user = &asking.session().user;
        if email.as_str() == user.email {
            return Err(invalid(Field::NewEmail, Problem::EmailSame));
        }
        self.policy.registration.domains.check(email).map_err(|problem| invalid(Field::NewEmail, problem))?;
        self.check_rate_limit("mail", ASKED, caller).await?;
        let asked = self.new_mail(MailKind::ChangeEmail);
        self.store.enqueue_mail_for(&asked, &asking.asking(), email.as_str()).await?.ok_or(AppError::SessionEnded)?;
        self.notify_worker();
        tracing::info!(user = %user.id, "another email was asked for");
        Ok(())
    }

    /// Gives an account the email that a link was sent to, for its owner, who knows its password as well: a link alone would let
    /// somebody else have a stranger's click prove an email. The email until now is told, with a link that undoes it. Returns
    /// the new email.
    ///
    /// # Errors
    /// [`AppError::LinkInvalid`], [`AppError::WrongPassword`], [`AppError::Taken`] if somebody has registered with it
    /// meanwhile, [`AppError::RateLimited`], [`AppError::Unavailable`].
    pub async fn confirm_email(&self, caller: &Caller, link: &Token, password: &str) -> Result<String, Error> {
        let (hash, link, user) = self.follow(caller, link, &[LinkKind::ChangeEmail]).await?;
        let (stored, _place) = self.verify_current_password(caller, (&user, Prover::Link), password).await?;
        let told = self.new_mail(MailKind::EmailChanged);
        let email = address_of(&link)?;
        let (held, network) = (self.inherit(&user.email, email.as_str()), self.known_network(caller, &user.id));
        let moved = self.store.move_email((&hash, &link), (&email, held), (&stored, &network), &told).await?;
        self.moved(moved, &user, (&hash, &link)).await?;
        Ok(link.address)
    }

    /// Gives an account the email back that it had before, by the link that was sent there, and a new password with it. Every
    /// session and personal access token ends: somebody else may have changed the email, and know the password. Returns the email.
    ///
    /// # Errors
    /// [`AppError::LinkInvalid`], [`AppError::Invalid`] for a password that is too weak, [`AppError::Taken`] if somebody has the
    /// email who has proven it, [`AppError::RateLimited`], [`AppError::Unavailable`].
    pub async fn undo_email(&self, caller: &Caller, new: NewPassword) -> Result<String, Error> {
        let NewPassword { link: token, password } = new;
        let (hash, link, user) = self.follow(caller, &token, &[LinkKind::UndoEmail]).await?;
        let email = address_of(&link)?;
        // As it will be: whoever changed the email is not to choose what the password may not contain.
        let restored = User { email: email.as_str().to_owned(), ..user.clone() };
        let password = self.judge_and_hash(caller, &restored, password).await?;
        let holder = self.store.find_credential(&Identifier::Email(email.clone())).await?.map(|known| known.user);
        let squatter = holder.filter(|holder| holder.id != user.id);
        let squatter = squatter.map(|squatter| (squatter.id.clone(), self.leave_username(&squatter)));
        let told = self.new_mail(MailKind::EmailUndone);
        let (link_of, network) = ((&hash, &link), self.known_network(caller, &user.id));
        let set = (password.as_str(), network.as_str());
        let email = (&email, self.inherit(&user.email, email.as_str()));
        let moved = self.store.undo_email(link_of, email, set, squatter, &told).await?;
        self.moved(moved, &user, (&hash, &link)).await?;
        Ok(link.address)
    }

    /// Why a link that worked a moment ago doesn't any more: it was used, or a login beside this has renewed the password's hash.
    async fn refuse_link(&self, hash: &TokenHash) -> Error {
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
            MoveEmailOutcome::LinkInvalid => return Err(self.refuse_link(hash).await),
            MoveEmailOutcome::Taken => return Err(AppError::Taken.into()),
        }
        self.notify_worker();
        tracing::info!(user = %user.id, by = link.kind.name(), "email changed");
        Ok(())
    }

    /// Whether a link still works. Nothing of the link is used up.
    ///
    /// # Errors
    /// [`AppError::RateLimited`], [`AppError::Unavailable`].
    pub async fn check_link(&self, caller: &Caller, link: &Token) -> Result<bool, Error> {
        match self.follow(caller, link, &LinkKind::ALL).await {
            Ok(_) => Ok(true),
            Err(Error::Refused(AppError::LinkInvalid)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads a link's token.
    ///
    /// # Errors
    /// [`AppError::LinkInvalid`] for anything else: a mail program that cuts links off makes no error of another kind.
    pub fn read_link(text: Option<&str>) -> Result<Token, AppError> {
        text.and_then(|text| Token::parse(TokenKind::Link, text)).ok_or(AppError::LinkInvalid)
    }

    /// What a link is about, if it still works and is of one of some kinds. An address may try only so many that don't.
    pub(super) async fn follow(
        &self,
        caller: &Caller,
        link: &Token,
        kinds: &[LinkKind],
    ) -> Result<(TokenHash, Link, User), Error> {
        // First, so that an address that must wait costs the database nothing.
        self.rate_limit_key("link", caller, DEAD_LINKS)?;
        let found = self.find_working(link, kinds).await;
        if let Err(Error::Refused(AppError::LinkInvalid)) = found {
            self.check_rate_limit("link", DEAD_LINKS, caller).await?;
        }
        found
    }

    async fn find_working(&self, link: &Token, kinds: &[LinkKind]) -> Result<(TokenHash, Link, User), Error> {
        let (hash, now) = (link.hash(), self.clock.now());
        let link = self.store.find_link(&hash).await?.ok_or(AppError::LinkInvalid)?;
        let user = self.store.find_user(&link.user_id).await?.filter(|user| user.disabled_at.is_none());
        let user = user.ok_or(AppError::LinkInvalid)?;
        if now >= link.expires_at {
            // Over for good: no clock that is put back brings it to life again. The answer is the same if the database can't
            // note it now.
            if let Err(cause) = self.store.void_link(&hash, now).await {
                tracing::warn!(%cause, "an expired link could not be deleted");
            }
        }
        // The operator may have forbidden the domain since the link was sent. An undo brings back an email that was allowed once.
        let forbidden =
            link.kind == LinkKind::ChangeEmail && self.policy.registration.domains.check(&address_of(&link)?).is_err();
        if !link.works(now) || !kinds.contains(&link.kind) || forbidden {
            return Err(AppError::LinkInvalid.into());
        }
        Ok((hash, link, user))
    }

    pub(super) fn need_mail(&self) -> Result<(), Error> {
        if self.policy.mail == MailPolicy::Off { Err(AppError::MailOff.into()) } else { Ok(()) }
    }

    pub(super) fn new_mail(&self, errand: MailKind) -> NewMail {
        let now = self.clock.now();
        NewMail { id: self.new_id(), errand, created_at: now, due_at: now }
    }

    /// A mail, where there is any.
    pub(super) fn mail_of(&self, errand: MailKind) -> Option<NewMail> {
        (self.policy.mail != MailPolicy::Off).then(|| self.new_mail(errand))
    }

    pub(super) fn notify_worker(&self) {
        self.mail_waits.notify_one();
    }
}

fn address_of(link: &Link) -> Result<Email, Error> {
    let stored = |_| Error::Fault(format!("the stored email of a link about account {} can't be read", link.user_id));
    Email::parse(&link.address).map_err(stored)
}
