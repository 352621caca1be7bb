//! Sends queued mail in the background.
//!
//! A request that enqueues mail doesn't wait for the delivery, and its response doesn't depend on it (CVE-2024-45231).

use std::{fmt::Debug, future::Future, panic::AssertUnwindSafe, pin::Pin, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    Service,
    clock::Clock,
    entropy::{Entropy, new_token},
    templates::{MailMessage, MailTemplates},
};
use crate::{
    domain::{
        email::Email,
        identifier::Identifier,
        token::{Token, TokenKind},
    },
    store::{
        Decoy, Error, LONGEST_WAIT, LimitedAction, LinkKind, MailKind, NameKey, NewLink, QueuedMail, RateLimit, Store,
        User,
    },
};

/// How often the worker polls for mail without a notification: mail of another server, or mail that is due for a retry.
const POLL_INTERVAL: Duration = Duration::from_secs(10);
/// Deliveries at the same time.
const CONCURRENCY: usize = 4;
/// How long an attempt may take before another worker may claim the mail. A transport gives up sooner.
const LEASE: Duration = Duration::from_mins(10);
/// The delay after the first failure. It doubles with each further failure.
const FIRST_RETRY: Duration = Duration::from_secs(30);
/// How long a mail is retried before it is dropped. RFC 5321, section 4.5.4.1, recommends four to five days.
const GIVE_UP: Duration = Duration::from_hours(72);
/// How long a mail is retried if the last attempt failed permanently. It is not dropped sooner, because a misconfigured
/// mail server rejects every mail permanently.
const GIVE_UP_REFUSED: Duration = Duration::from_hours(24);

/// Requested mails, per purpose and mailbox, and confirmations of a new email, per account that requests them.
const REQUESTED: RateLimit = RateLimit { burst: 5, interval: Duration::from_mins(10) };
/// Confirmations of a new email sent to one mailbox, by all accounts together. The limit is higher than that of one
/// account, so no single account can exhaust what the mailbox's owner needs.
const MOVES: RateLimit = RateLimit { burst: 30, interval: Duration::from_mins(10) };
/// Key prefix for mails with a link that the owner needs. They have their own limit, which notices can't exhaust.
const NEEDED: &str = "mailbox:";
/// Key prefix for notices, which need no action.
const NOTICES: &str = "notices:";

/// A delivery in progress. It returns where the mail went.
pub type BoxFuture<'a> = Pin<Box<dyn Future<Output = Result<String, SendError>> + Send + 'a>>;

/// Why a delivery failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendError {
    /// A single line for the log.
    pub cause: String,
    /// Whether a retry is expected to fail too (RFC 5321, section 4.2.1).
    pub permanent: bool,
}

/// Delivers mail to its recipients.
pub trait MailTransport: Debug + Send + Sync {
    /// Delivers one mail. `id` differs for every attempt, because every attempt creates a new link.
    fn send<'a>(&'a self, id: &'a str, message: &'a MailMessage) -> BoxFuture<'a>;
}

/// Sends queued mail.
#[derive(Debug)]
pub struct MailWorker {
    store: Store,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    names: NameKey,
    transport: Arc<dyn MailTransport>,
    head: MailTemplates,
    mail_ready: Arc<Notify>,
}

impl Service {
    /// Creates a mail worker. Several servers on one database may each run one.
    #[must_use]
    pub fn mail_worker(&self, transport: Arc<dyn MailTransport>, head: MailTemplates) -> MailWorker {
        let (store, clock, entropy) = (self.store.clone(), Arc::clone(&self.clock), Arc::clone(&self.entropy));
        let (names, mail_ready) = (self.names.clone(), Arc::clone(&self.mail_ready));
        MailWorker { store, clock, entropy, names, transport, head, mail_ready }
    }
}

impl MailWorker {
    /// Runs until `stop` is cancelled, then finishes the deliveries in progress. An interrupted delivery is retried later.
    pub async fn run(&self, stop: CancellationToken) {
        // Several loops, so that one slow mail server doesn't delay other recipients' mail.
        futures_util::future::join_all((0..CONCURRENCY).map(|_| self.poll(&stop))).await;
    }

    async fn poll(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            match self.deliver_next().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(cause) => tracing::warn!(%cause, "the mail queue could not be read"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                // A notification that arrives in between is not lost: `Notify` stores it.
                _ = tokio::time::timeout(POLL_INTERVAL, self.mail_ready.notified()) => {}
            }
        }
    }

    /// Sends the mail that is due first. Returns `false` if none is due. After an error the mail is due again later.
    pub async fn deliver_next(&self) -> Result<bool, Error> {
        let Some(mail) = self.store.claim_mail(self.clock.now(), LEASE).await? else { return Ok(false) };
        // A panic over one mail must not block the others.
        let Ok(delivered) = AssertUnwindSafe(self.deliver(&mail)).catch_unwind().await else {
            tracing::error!(mail = mail.id, kind = mail.kind.name(), "mail worker panicked");
            return Ok(true);
        };
        delivered.map(|()| true)
    }

    async fn deliver(&self, mail: &QueuedMail) -> Result<(), Error> {
        let (kind, retried) = (mail.kind.name(), retried_for(mail.attempts));
        // The previous attempt was the last, and it ended without a result, such as by a panic.
        if retried_for(mail.attempts - 1) >= GIVE_UP {
            tracing::error!(mail = mail.id, kind, "mail could not be processed, giving up");
            return self.store.delete_mail(&mail.id).await;
        }
        let user = match &mail.user_id {
            Some(user) => self.store.find_user(user).await?,
            None => None,
        };
        if mail.kind.waits_while_closed() && user.as_ref().is_some_and(is_disabled) {
            // The account was disabled a moment ago. The queue holds the mail once the lease expires.
            return Ok(());
        }
        let Some(message) = self.write(mail, user).await? else {
            tracing::info!(mail = mail.id, kind, "mail skipped: obsolete or rate-limited");
            return self.store.delete_mail(&mail.id).await;
        };
        match self.transport.send(&format!("{}.{}", mail.id, mail.attempts), &message).await {
            Ok(place) => {
                tracing::info!(mail = mail.id, kind, place, "mail sent");
                self.store.delete_mail(&mail.id).await
            }
            Err(SendError { cause, permanent }) if retried >= if permanent { GIVE_UP_REFUSED } else { GIVE_UP } => {
                let retried_s = retried.as_secs();
                tracing::error!(mail = mail.id, kind, cause, retried_s, "mail could not be sent, giving up");
                self.store.delete_mail(&mail.id).await
            }
            Err(SendError { cause, .. }) => {
                let wait = retry_delay(mail.attempts);
                let retry_in_s = wait.as_secs();
                tracing::warn!(mail = mail.id, kind, cause, retry_in_s, "mail could not be sent, will retry");
                self.store.delay_mail(&mail.id, self.clock.now().plus(wait)).await
            }
        }
    }

    /// Renders a mail with the current state of its account, `user`. Returns `None` if the mail is obsolete or
    /// rate-limited.
    ///
    /// A mail that a stranger requests takes the same rate limits and database writes whether or not an account exists.
    async fn write(&self, mail: &QueuedMail, user: Option<User>) -> Result<Option<MailMessage>, Error> {
        if mail.kind == MailKind::Forgot {
            return self.write_forgot(mail).await;
        }
        let Some(user) = user else { return Ok(None) };
        if mail.kind == MailKind::Taken {
            return self.write_taken(mail, &user).await;
        }
        if is_disabled(&user) {
            return Ok(None);
        }
        let User { email, username, .. } = &user;
        let proven = user.email_verified_at.is_some();
        Ok(match mail.kind {
            MailKind::Verify if !proven => self.write_verify(mail, NEEDED, &user).await?,
            // The address is unconfirmed, so the mailbox may belong to a stranger.
            MailKind::PasswordChanged | MailKind::PasswordReset | MailKind::TokenMade
                if !proven && !self.may_receive(mail, NOTICES, email).await? =>
            {
                None
            }
            MailKind::PasswordChanged | MailKind::PasswordReset => {
                let tokens_revoked = mail.kind == MailKind::PasswordReset;
                Some(self.head.password_changed(&user, &mail.created_at.in_words(), tokens_revoked))
            }
            MailKind::TokenMade => Some(self.head.token_made(&user, &mail.created_at.in_words())),
            MailKind::ChangeEmail => self.write_change(mail, &user).await?,
            MailKind::EmailChanged => {
                let link = self.link(mail, LinkKind::UndoEmail, &user, &mail.address).await?;
                link.map(|link| self.head.email_changed(&mail.address, username, email, &link))
            }
            MailKind::EmailUndone => Some(self.head.email_undone(&mail.address, username)),
            MailKind::Verify | MailKind::Taken | MailKind::Forgot => None,
        })
    }

    async fn write_verify(&self, mail: &QueuedMail, purpose: &str, user: &User) -> Result<Option<MailMessage>, Error> {
        if !self.may_receive(mail, purpose, &user.email).await? {
            return Ok(None);
        }
        let link = self.link(mail, LinkKind::Verify, user, &user.email).await?;
        Ok(link.map(|link| self.head.verify(&user.email, &user.username, &link)))
    }

    /// Renders the mail to an owner whose email someone else tried to register.
    async fn write_taken(&self, mail: &QueuedMail, owner: &User) -> Result<Option<MailMessage>, Error> {
        if !is_disabled(owner) && owner.email_verified_at.is_none() {
            return self.write_verify(mail, NOTICES, owner).await;
        }
        if !self.may_receive(mail, NOTICES, &owner.email).await? {
            return Ok(None);
        }
        // A new account would get a link, so the same work is done here.
        self.decoy(LinkKind::Verify, &owner.email).await?;
        Ok((!is_disabled(owner)).then(|| self.head.taken(owner)))
    }

    /// Renders the mail with a reset link. For an unconfirmed email the link also confirms it: the mailbox may belong
    /// to someone other than the person who registered, and its owner may take over the account.
    async fn write_forgot(&self, mail: &QueuedMail) -> Result<Option<MailMessage>, Error> {
        let owner = self.owner_of(&mail.address).await?;
        // To the stored address, never to the one that was entered (CVE-2019-19844).
        let email = owner.as_ref().map_or(&mail.address, |owner| &owner.email).clone();
        if !self.may_receive(mail, NEEDED, &email).await? {
            return Ok(None);
        }
        let Some(user) = owner else {
            self.decoy(LinkKind::Reset, &email).await?;
            return Ok(None);
        };
        let proven = user.email_verified_at.is_some();
        let kind = if proven { LinkKind::Reset } else { LinkKind::Verify };
        let link = self.link(mail, kind, &user, &email).await?;
        Ok(link.map(|link| self.head.reset(&email, &user.username, &link, proven)))
    }

    /// Renders the mail to a new email. If the email already has an account, the same rate limits apply and a link is
    /// created that nobody receives: the requester can see their own rate limits and links.
    async fn write_change(&self, mail: &QueuedMail, user: &User) -> Result<Option<MailMessage>, Error> {
        let owner = self.owner_of(&mail.address).await?.filter(|owner| owner.id != user.id);
        let per_account = LimitedAction::Moves.key(&user.id);
        let per_mailbox = self.mailbox("moves:", &mail.address);
        if !self.take(mail, &per_account, REQUESTED).await? || !self.take(mail, &per_mailbox, MOVES).await? {
            return Ok(None);
        }
        let link = self.link(mail, LinkKind::ChangeEmail, user, &mail.address).await?;
        Ok(link.map(|link| match &owner {
            Some(owner) => self.head.taken(owner),
            None => self.head.change_email(&mail.address, &user.username, &link),
        }))
    }

    async fn owner_of(&self, address: &str) -> Result<Option<User>, Error> {
        let Ok(email) = Email::parse(address) else { return Ok(None) };
        let known = self.store.find_credential(&Identifier::Email(email)).await?;
        Ok(known.map(|known| known.user).filter(|user| !is_disabled(user)))
    }

    /// Applies the limit on requested mails to a mailbox.
    async fn may_receive(&self, mail: &QueuedMail, purpose: &str, address: &str) -> Result<bool, Error> {
        self.take(mail, &self.mailbox(purpose, address), REQUESTED).await
    }

    /// Applies a rate limit. Only the first attempt of a mail is counted.
    async fn take(&self, mail: &QueuedMail, key: &str, rule: RateLimit) -> Result<bool, Error> {
        Ok(mail.attempts > 1 || self.store.take(key, rule, self.clock.now()).await?.is_ok())
    }

    /// Creates a link and returns its token, or `None` if the mail is obsolete.
    async fn link(
        &self,
        mail: &QueuedMail,
        kind: LinkKind,
        user: &User,
        address: &str,
    ) -> Result<Option<Token>, Error> {
        let token = new_token(&*self.entropy, TokenKind::Link);
        let link = NewLink {
            mail: &mail.id,
            token_hash: token.hash(),
            kind,
            user_id: &user.id,
            address,
            created_at: mail.created_at,
            made_at: self.clock.now(),
        };
        Ok(self.store.make_link(link).await?.then_some(token))
    }

    /// Does the same work as [`MailWorker::link`] for a mailbox that receives no link.
    async fn decoy(&self, kind: LinkKind, address: &str) -> Result<(), Error> {
        let token_hash = new_token(&*self.entropy, TokenKind::Link).hash();
        let mailbox = self.mailbox("", address);
        self.store.make_decoy(Decoy { token_hash, kind, mailbox: &mailbox, made_at: self.clock.now() }).await
    }

    /// Returns the rate-limit key of a mailbox.
    fn mailbox(&self, purpose: &str, address: &str) -> String {
        self.names.name(purpose, &address.to_lowercase())
    }
}

fn is_disabled(user: &User) -> bool {
    user.disabled_at.is_some()
}

/// Returns how long a mail has been retried: the sum of the delays between its attempts. Downtime and clock changes are
/// not included.
fn retried_for(attempts: i64) -> Duration {
    (1..attempts).map(retry_delay).sum()
}

fn retry_delay(attempts: i64) -> Duration {
    // The limit of an hour is reached after far fewer doublings.
    let doublings = attempts.saturating_sub(1).clamp(0, 16);
    FIRST_RETRY.saturating_mul(1 << doublings).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_twice_the_one_before_up_to_an_hour() {
        let waits: Vec<u64> = (1..=9).map(|attempts| retry_delay(attempts).as_secs()).collect();
        assert_eq!(waits, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!((retry_delay(0), retry_delay(i64::MAX)), (FIRST_RETRY, LONGEST_WAIT));
    }

    #[test]
    fn a_mail_has_been_tried_for_as_long_as_it_has_waited() {
        let tried: Vec<u64> = [0, 1, 2, 3, 8, 9].map(|attempts| retried_for(attempts).as_secs()).to_vec();
        assert_eq!(tried, [0, 0, 30, 90, 3810, 7410]);
    }
}
