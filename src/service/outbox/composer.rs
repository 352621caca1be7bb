//! Writes queued mails with the current state of their accounts, and creates their links.

use std::{sync::Arc, time::Duration};

use super::templates::{MailMessage, MailTemplates};
use crate::{
    domain::{
        act::Act,
        email::Email,
        event::{Initiator, Stamp},
        identifier::Identifier,
        role::Role,
        stored_hash::NO_PASSWORD,
        token::{Token, TokenKind},
    },
    service::{
        clock::Clock,
        entropy::{Entropy, new_token},
        events::stamp,
        rate_limits::RateLimits,
    },
    store::{Decoy, Error, LimitedAction, LinkKind, MailKind, NewLink, QueuedMail, RateLimit, Store, User},
};

/// Requested mails, per purpose and mailbox, and confirmations of a new email, per account that requests them.
const REQUESTED: RateLimit = RateLimit { burst: 5, interval: Duration::from_mins(10) };
/// Confirmations of a new email sent to one mailbox, by all accounts together. The limit is higher than that of one
/// account, so no single account can exhaust what the mailbox's owner needs.
const MOVES: RateLimit = RateLimit { burst: 30, interval: Duration::from_mins(10) };
/// Key prefix for mails with a link that the owner needs. They have their own limit, which notices can't exhaust.
const LINK_MAILS: &str = "mailbox:";
/// Key prefix for notices, which need no action.
const NOTICE_MAILS: &str = "notices:";

/// Writes mails.
#[derive(Debug)]
pub struct Composer {
    store: Store,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    rate_limits: Arc<RateLimits>,
    templates: MailTemplates,
}

impl Composer {
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        rate_limits: Arc<RateLimits>,
        templates: MailTemplates,
    ) -> Self {
        Self { store, clock, entropy, rate_limits, templates }
    }

    /// Renders a mail with the current state of its account, `user`. Returns `None` if the mail is obsolete or
    /// rate-limited.
    ///
    /// A mail that a stranger requests takes the same rate limits and database writes whether or not an account exists.
    pub async fn compose(&self, mail: &QueuedMail, user: Option<User>) -> Result<Option<MailMessage>, Error> {
        if mail.kind == MailKind::Forgot {
            return self.compose_forgot(mail).await;
        }
        if mail.kind == MailKind::Invitation {
            return self.compose_invitation(mail).await;
        }
        if mail.kind == MailKind::Declined {
            let allowed = self.may_receive(mail, NOTICE_MAILS, &mail.address).await?;
            return Ok(allowed.then(|| self.templates.declined(&mail.address)));
        }
        let Some(user) = user else { return Ok(None) };
        if mail.kind == MailKind::Taken {
            return self.compose_taken(mail, &user).await;
        }
        if is_disabled(&user) {
            return Ok(None);
        }
        let User { email, username, .. } = &user;
        let proven = user.email_verified_at.is_some();
        Ok(match mail.kind {
            MailKind::Verify if !proven => self.compose_verify(mail, LINK_MAILS, &user).await?,
            // The address is unconfirmed, so the mailbox may belong to a stranger.
            MailKind::PasswordChanged | MailKind::PasswordReset | MailKind::AccessTokenCreated
                if !proven && !self.may_receive(mail, NOTICE_MAILS, email).await? =>
            {
                None
            }
            MailKind::PasswordChanged | MailKind::PasswordReset => {
                let tokens_revoked = mail.kind == MailKind::PasswordReset;
                Some(self.templates.password_changed(&user, &mail.created_at.in_words(), tokens_revoked))
            }
            MailKind::AccessTokenCreated => {
                Some(self.templates.access_token_created(&user, &mail.created_at.in_words()))
            }
            MailKind::ChangeEmail => self.compose_change(mail, &user).await?,
            MailKind::EmailChanged => {
                let link = self.create_link(mail, LinkKind::UndoEmail, (&user, &mail.address), None).await?;
                link.map(|link| self.templates.email_changed(&mail.address, username, email, &link))
            }
            MailKind::EmailUndone => Some(self.templates.email_undone(&mail.address, username)),
            MailKind::RoleChanged => Some(self.templates.role_changed(&user, &mail.created_at.in_words())),
            MailKind::Imported if self.has_no_password(&user).await? => Some(self.templates.imported(&user)),
            MailKind::Approved if user.pending_since.is_none() => Some(self.templates.approved(&user)),
            MailKind::ApprovalWaiting if Act::Approve.check(user.role, None, false).is_ok() => {
                let waiting = self.store.count_pending().await?;
                (waiting > 0).then(|| self.templates.approval_waiting(email, waiting))
            }
            MailKind::AdminAdded if user.role == Some(Role::Admin) => self.compose_admin_added(mail, email).await?,
            MailKind::Verify
            | MailKind::Taken
            | MailKind::Forgot
            | MailKind::Imported
            | MailKind::AdminAdded
            | MailKind::Approved
            | MailKind::ApprovalWaiting
            | MailKind::Declined
            | MailKind::Invitation => None,
        })
    }

    /// Renders the mail to an admin about another one, unless that account is no admin any more.
    async fn compose_admin_added(&self, mail: &QueuedMail, to: &str) -> Result<Option<MailMessage>, Error> {
        let Some(about) = &mail.about_id else { return Ok(None) };
        let added = self.store.find_user(about).await?.filter(|user| user.role == Some(Role::Admin));
        Ok(added.map(|added| self.templates.admin_added(to, &added.username, &mail.created_at.in_words())))
    }

    /// Renders the mail with an invitation, unless it can't be used any more or the recipient has an account. Each attempt
    /// to send the mail gives the invitation a new token.
    async fn compose_invitation(&self, mail: &QueuedMail) -> Result<Option<MailMessage>, Error> {
        let Some(id) = &mail.invitation_id else { return Ok(None) };
        let Some(invitation) = self.store.invitation(id).await? else { return Ok(None) };
        if self.owner_of(&mail.address).await?.is_some() {
            return Ok(None);
        }
        let token = new_token(&*self.entropy, TokenKind::Invitation);
        let renewed = self.store.renew_invitation(&mail.id, id, &token.hash(), self.clock.now()).await?;
        let until = invitation.expires_at.in_words();
        Ok(renewed.then(|| self.templates.invitation(&mail.address, &token, &until)))
    }

    async fn compose_verify(
        &self,
        mail: &QueuedMail,
        purpose: &str,
        user: &User,
    ) -> Result<Option<MailMessage>, Error> {
        if !self.may_receive(mail, purpose, &user.email).await? {
            return Ok(None);
        }
        let link = self.create_link(mail, LinkKind::Verify, (user, &user.email), None).await?;
        Ok(link.map(|link| self.templates.verify(&user.email, &user.username, &link)))
    }

    /// Renders the mail to an owner whose email someone else tried to register.
    async fn compose_taken(&self, mail: &QueuedMail, owner: &User) -> Result<Option<MailMessage>, Error> {
        if !is_disabled(owner) && owner.email_verified_at.is_none() {
            return self.compose_verify(mail, NOTICE_MAILS, owner).await;
        }
        if !self.may_receive(mail, NOTICE_MAILS, &owner.email).await? {
            return Ok(None);
        }
        // A new account would get a link, so the same work is done here.
        self.create_decoy(LinkKind::Verify, &owner.email, None).await?;
        Ok((!is_disabled(owner)).then(|| self.templates.taken(owner)))
    }

    /// Renders the mail with a reset link. For an unconfirmed email, the link also confirms it. Another person than the
    /// owner of the mailbox may have registered the account, and the owner may take it over.
    async fn compose_forgot(&self, mail: &QueuedMail) -> Result<Option<MailMessage>, Error> {
        let owner = self.owner_of(&mail.address).await?;
        // The mail goes to the stored address, never to the entered one (CVE-2019-19844).
        let email = owner.as_ref().map_or(&mail.address, |owner| &owner.email).clone();
        if !self.may_receive(mail, LINK_MAILS, &email).await? {
            return Ok(None);
        }
        let stamp = self.stamp();
        let Some(user) = owner else {
            self.create_decoy(LinkKind::Reset, &email, Some(&stamp)).await?;
            return Ok(None);
        };
        let proven = user.email_verified_at.is_some();
        let kind = if proven { LinkKind::Reset } else { LinkKind::Verify };
        let link = self.create_link(mail, kind, (&user, &email), Some(&stamp)).await?;
        Ok(link.map(|link| self.templates.reset(&email, &user.username, &link, proven)))
    }

    /// Renders the mail to a new email. If the email already has an account, the same rate limits apply, and a link is
    /// created that nobody receives. The requester can see their own rate limits and links, so these must not differ.
    async fn compose_change(&self, mail: &QueuedMail, user: &User) -> Result<Option<MailMessage>, Error> {
        let owner = self.owner_of(&mail.address).await?.filter(|owner| owner.id != user.id);
        let per_account = LimitedAction::Moves.key(&user.id);
        let per_mailbox = self.rate_limits.mailbox_key("moves:", &mail.address);
        if !self.take(mail, &per_account, REQUESTED).await? || !self.take(mail, &per_mailbox, MOVES).await? {
            return Ok(None);
        }
        let link = self.create_link(mail, LinkKind::ChangeEmail, (user, &mail.address), None).await?;
        Ok(link.map(|link| match &owner {
            Some(owner) => self.templates.taken(owner),
            None => self.templates.change_email(&mail.address, &user.username, &link),
        }))
    }

    async fn has_no_password(&self, user: &User) -> Result<bool, Error> {
        let known = self.store.find_credential(&Identifier::parse(&user.email)).await?;
        Ok(known.is_some_and(|known| known.user.id == user.id && known.password_hash == NO_PASSWORD))
    }

    async fn owner_of(&self, address: &str) -> Result<Option<User>, Error> {
        let Ok(email) = Email::parse(address) else { return Ok(None) };
        let known = self.store.find_credential(&Identifier::Email(email)).await?;
        Ok(known.map(|known| known.user).filter(|user| !is_disabled(user)))
    }

    /// Applies the limit on requested mails to a mailbox.
    async fn may_receive(&self, mail: &QueuedMail, purpose: &str, address: &str) -> Result<bool, Error> {
        self.take(mail, &self.rate_limits.mailbox_key(purpose, address), REQUESTED).await
    }

    /// Applies a rate limit. Only the first attempt of a mail is counted.
    async fn take(&self, mail: &QueuedMail, key: &str, rule: RateLimit) -> Result<bool, Error> {
        Ok(mail.attempts > 1 || self.rate_limits.take_mail(key, rule).await?)
    }

    /// Creates the stamp of an operation of the mail worker.
    pub fn stamp(&self) -> Stamp {
        stamp(&*self.clock, &*self.entropy, Initiator::server())
    }

    /// Creates a link and returns its token, or `None` if the mail is obsolete.
    async fn create_link(
        &self,
        mail: &QueuedMail,
        kind: LinkKind,
        (user, address): (&User, &str),
        forgotten: Option<&Stamp>,
    ) -> Result<Option<Token>, Error> {
        let token = new_token(&*self.entropy, TokenKind::Link);
        let link = NewLink {
            mail: &mail.id,
            token_hash: token.hash(),
            kind,
            user_id: &user.id,
            address,
            created_at: mail.created_at,
            now: self.clock.now(),
        };
        Ok(self.store.create_link(link, forgotten).await?.then_some(token))
    }

    /// Does the same work as [`Composer::create_link`] for a mailbox that receives no link.
    async fn create_decoy(&self, kind: LinkKind, address: &str, forgotten: Option<&Stamp>) -> Result<(), Error> {
        let token_hash = new_token(&*self.entropy, TokenKind::Link).hash();
        let mailbox = self.rate_limits.mailbox_key("", address);
        let decoy = Decoy { token_hash, kind, mailbox: &mailbox, created_at: self.clock.now() };
        self.store.create_decoy(decoy, forgotten).await
    }
}

pub fn is_disabled(user: &User) -> bool {
    user.disabled_at.is_some()
}
