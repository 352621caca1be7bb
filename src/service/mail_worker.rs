//! Sending the mail that waits. Whoever caused it waits for none of this, and nothing that they see depends on it
//! (CVE-2024-45231).

use std::{fmt::Debug, future::Future, panic::AssertUnwindSafe, pin::Pin, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::sync::{Notify, watch};

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

/// How often the postman looks for mail that nobody told it of: another server's, or what waits for another try.
const POLL_INTERVAL: Duration = Duration::from_secs(10);
/// Mails under way at once.
const AT_ONCE: usize = 4;
/// How long one try may take before somebody else may try. A carrier gives up sooner.
const LEASE: Duration = Duration::from_mins(10);
/// The wait after the first failure. It doubles with each further one.
const FIRST_RETRY: Duration = Duration::from_secs(30);
/// A mail that has been tried for so long is given up (as RFC 5321, section 4.5.4.1, has it, though that says four to five days).
const GIVE_UP: Duration = Duration::from_hours(72);
/// The same for one that the mail server says it will never take, whatever the tries before ended with. Not sooner: it says so as
/// well while it is set up wrong, for every mail.
const GIVE_UP_REFUSED: Duration = Duration::from_hours(24);

/// Mails that somebody asked for: of each purpose for a mailbox, and of those by which an account asks to move to one.
const ASKED_FOR: RateLimit = RateLimit { burst: 5, interval: Duration::from_mins(10) };
/// Mails that ask one mailbox whether an account may move there, whosever that is: more, so that no single account uses up what
/// its owner needs.
const MOVES: RateLimit = RateLimit { burst: 30, interval: Duration::from_mins(10) };
/// What carries a link that its owner needs: counted by itself, so that nobody uses that up by what only tells.
const NEEDED: &str = "mailbox:";
/// What only tells.
const NOTICES: &str = "notices:";

/// A delivery under way. It tells where the mail went, or why it could not go.
pub type BoxFuture<'a> = Pin<Box<dyn Future<Output = Result<String, SendError>> + Send + 'a>>;

/// Why a mail could not go out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendError {
    /// What was wrong, in one line for the log.
    pub cause: String,
    /// Whether the mailbox will take no mail later either (RFC 5321, section 4.2.1).
    pub permanent: bool,
}

/// What brings mail to its addressees.
pub trait MailTransport: Debug + Send + Sync {
    /// Brings one. `id` is another for every try, for each has a link of its own.
    fn send<'a>(&'a self, id: &'a str, letter: &'a MailMessage) -> BoxFuture<'a>;
}

/// Sends what waits.
#[derive(Debug)]
pub struct MailWorker {
    store: Store,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    names: NameKey,
    carrier: Arc<dyn MailTransport>,
    head: MailTemplates,
    mail_waits: Arc<Notify>,
}

impl Service {
    /// Somebody who sends the mail. Several servers on one database may each have one.
    #[must_use]
    pub fn postman(&self, carrier: Arc<dyn MailTransport>, head: MailTemplates) -> MailWorker {
        let (store, clock, entropy) = (self.store.clone(), Arc::clone(&self.clock), Arc::clone(&self.entropy));
        let (names, mail_waits) = (self.names.clone(), Arc::clone(&self.mail_waits));
        MailWorker { store, clock, entropy, names, carrier, head, mail_waits }
    }
}

impl MailWorker {
    /// Works until it is told to stop, and brings to an end what is in hand then. What is broken off half-way goes out again later.
    pub async fn run(&self, stop: watch::Receiver<bool>) {
        // So that one mail server that takes its time holds up nobody else's mail.
        futures_util::future::join_all((0..AT_ONCE).map(|_| self.poll(stop.clone()))).await;
    }

    async fn poll(&self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            match self.deliver_next().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(cause) => tracing::warn!(%cause, "the mail that waits could not be read"),
            }
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                // Whoever tells of a mail in between is heard: the notice is kept.
                _ = tokio::time::timeout(POLL_INTERVAL, self.mail_waits.notified()) => {}
            }
        }
    }

    /// Sends the mail that is due first. `false` if none is.
    ///
    /// # Errors
    /// [`Error::Unavailable`]. The mail is due again later.
    pub async fn deliver_next(&self) -> Result<bool, Error> {
        let Some(mail) = self.store.claim_mail(self.clock.now(), LEASE).await? else { return Ok(false) };
        // A fault of ours over one mail must not keep the others.
        let Ok(delivered) = AssertUnwindSafe(self.deliver(&mail)).catch_unwind().await else {
            tracing::error!(mail = mail.id, kind = mail.errand.name(), "sending a mail panicked");
            return Ok(true);
        };
        delivered.map(|()| true)
    }

    async fn deliver(&self, mail: &QueuedMail) -> Result<(), Error> {
        let (kind, tried) = (mail.errand.name(), tried_for(mail.attempts));
        // The try before was the last, and failed in another way than below.
        if tried_for(mail.attempts - 1) >= GIVE_UP {
            tracing::error!(mail = mail.id, kind, "a mail could not be handled and is given up");
            return self.store.delete_mail(&mail.id).await;
        }
        let user = match &mail.user_id {
            Some(user) => self.store.find_user(user).await?,
            None => None,
        };
        if mail.errand.waits_while_closed() && user.as_ref().is_some_and(is_closed) {
            // Closed at this moment. When the lease is over, the queue knows.
            return Ok(());
        }
        let Some(letter) = self.write(mail, user).await? else {
            tracing::info!(
                mail = mail.id,
                kind,
                "a mail was not sent: there is no need, or its mailbox has had enough"
            );
            return self.store.delete_mail(&mail.id).await;
        };
        match self.carrier.send(&format!("{}.{}", mail.id, mail.attempts), &letter).await {
            Ok(place) => {
                tracing::info!(mail = mail.id, kind, place, "mail sent");
                self.store.delete_mail(&mail.id).await
            }
            Err(SendError { cause, permanent }) if tried >= if permanent { GIVE_UP_REFUSED } else { GIVE_UP } => {
                let tried_s = tried.as_secs();
                tracing::error!(mail = mail.id, kind, cause, tried_s, "a mail could not be sent and is given up");
                self.store.delete_mail(&mail.id).await
            }
            Err(SendError { cause, .. }) => {
                let wait = retry_after(mail.attempts);
                let again_in_s = wait.as_secs();
                tracing::warn!(mail = mail.id, kind, cause, again_in_s, "a mail could not be sent yet");
                self.store.delay_mail(&mail.id, self.clock.now().plus(wait)).await
            }
        }
    }

    /// What a mail says by now, and to whom; `user` is whose account it is about. `None` if nobody needs it any more, or nobody may
    /// have it.
    ///
    /// What a stranger asks for takes the same allowances and writes as much, whether or not there is an account.
    async fn write(&self, mail: &QueuedMail, user: Option<User>) -> Result<Option<MailMessage>, Error> {
        if mail.errand == MailKind::Forgot {
            return self.write_forgot(mail).await;
        }
        let Some(user) = user else { return Ok(None) };
        if mail.errand == MailKind::Taken {
            return self.write_taken(mail, &user).await;
        }
        if is_closed(&user) {
            return Ok(None);
        }
        let User { email, username, .. } = &user;
        let proven = user.email_verified_at.is_some();
        Ok(match mail.errand {
            MailKind::Verify if !proven => self.write_verify(mail, NEEDED, &user).await?,
            // Nobody knows yet whose mailbox it is.
            MailKind::PasswordChanged | MailKind::PasswordReset | MailKind::TokenMade
                if !proven && !self.may_have(mail, NOTICES, email).await? =>
            {
                None
            }
            MailKind::PasswordChanged | MailKind::PasswordReset => {
                let tokens_revoked = mail.errand == MailKind::PasswordReset;
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
        if !self.may_have(mail, purpose, &user.email).await? {
            return Ok(None);
        }
        let link = self.link(mail, LinkKind::Verify, user, &user.email).await?;
        Ok(link.map(|link| self.head.verify(&user.email, &user.username, &link)))
    }

    /// Somebody registered with an email that has an account.
    async fn write_taken(&self, mail: &QueuedMail, owner: &User) -> Result<Option<MailMessage>, Error> {
        if !is_closed(owner) && owner.email_verified_at.is_none() {
            return self.write_verify(mail, NOTICES, owner).await;
        }
        if !self.may_have(mail, NOTICES, &owner.email).await? {
            return Ok(None);
        }
        // A new account would have had a link.
        self.decoy(LinkKind::Verify, &owner.email).await?;
        Ok((!is_closed(owner)).then(|| self.head.taken(owner)))
    }

    /// An email that was not proven sets no new password for whoever registered with it: its owner may have been somebody else
    /// all the time. What they get is the link that confirms it, by which they may take the account.
    async fn write_forgot(&self, mail: &QueuedMail) -> Result<Option<MailMessage>, Error> {
        let owner = self.owner_of(&mail.address).await?;
        // To the address that is kept, never to the one that was typed (CVE-2019-19844).
        let email = owner.as_ref().map_or(&mail.address, |owner| &owner.email).clone();
        if !self.may_have(mail, NEEDED, &email).await? {
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

    /// An email that has an account takes the same allowances, and has a link made as well, which nobody gets: whoever asks sees
    /// their own allowances and links.
    async fn write_change(&self, mail: &QueuedMail, user: &User) -> Result<Option<MailMessage>, Error> {
        let owner = self.owner_of(&mail.address).await?.filter(|owner| owner.id != user.id);
        let asking = LimitedAction::Moves.key(&user.id);
        let moving = self.mailbox("moves:", &mail.address);
        if !self.take(mail, &asking, ASKED_FOR).await? || !self.take(mail, &moving, MOVES).await? {
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
        Ok(known.map(|known| known.user).filter(|user| !is_closed(user)))
    }

    /// Whether a mailbox may have another mail that somebody asked for.
    async fn may_have(&self, mail: &QueuedMail, purpose: &str, address: &str) -> Result<bool, Error> {
        self.take(mail, &self.mailbox(purpose, address), ASKED_FOR).await
    }

    /// Takes one of an allowance. A further try of a mail that was to go out may always go on.
    async fn take(&self, mail: &QueuedMail, key: &str, rule: RateLimit) -> Result<bool, Error> {
        Ok(mail.attempts > 1 || self.store.take(key, rule, self.clock.now()).await?.is_ok())
    }

    /// A new link's token. `None` if nobody wants it any more.
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

    /// Does what [`MailWorker::link`] does, for a mailbox that gets none.
    async fn decoy(&self, kind: LinkKind, address: &str) -> Result<(), Error> {
        let token_hash = new_token(&*self.entropy, TokenKind::Link).hash();
        let mailbox = self.mailbox("", address);
        self.store.make_decoy(Decoy { token_hash, kind, mailbox: &mailbox, made_at: self.clock.now() }).await
    }

    /// What the counters call a mailbox.
    fn mailbox(&self, purpose: &str, address: &str) -> String {
        self.names.name(purpose, &address.to_lowercase())
    }
}

fn is_closed(user: &User) -> bool {
    user.disabled_at.is_some()
}

/// For how long a mail has been tried by now: all waits between its tries. Time in which no server ran, or by which a clock was
/// set, doesn't count.
fn tried_for(attempts: i64) -> Duration {
    (1..attempts).map(retry_after).sum()
}

fn retry_after(attempts: i64) -> Duration {
    // An hour is reached long before.
    let doublings = attempts.saturating_sub(1).clamp(0, 16);
    FIRST_RETRY.saturating_mul(1 << doublings).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_twice_the_one_before_up_to_an_hour() {
        let waits: Vec<u64> = (1..=9).map(|attempts| retry_after(attempts).as_secs()).collect();
        assert_eq!(waits, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!((retry_after(0), retry_after(i64::MAX)), (FIRST_RETRY, LONGEST_WAIT));
    }

    #[test]
    fn a_mail_has_been_tried_for_as_long_as_it_has_waited() {
        let tried: Vec<u64> = [0, 1, 2, 3, 8, 9].map(|attempts| tried_for(attempts).as_secs()).to_vec();
        assert_eq!(tried, [0, 0, 30, 90, 3810, 7410]);
    }
}
