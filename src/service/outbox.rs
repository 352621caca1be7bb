//! The outbox: mails that are queued in the database, and the worker that sends them.

mod composer;
mod templates;
mod transport;
mod worker;

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;

pub use self::{
    templates::{LOGO_ID, MailMessage, MailTemplates, Png},
    transport::{BoxFuture, MailTransport, SendError},
    worker::MailWorker,
};
use super::{
    Error,
    clock::Clock,
    counts::Limit,
    entropy::{Entropy, new_id},
    rate_limits::AddressLimit,
};
use crate::{
    domain::{event::Stamp, time::Timestamp},
    error::AppError,
    store::{CheckedToken, MailKind, NewMail, RateLimit, Store},
};

/// Limit on requests for mails per address.
pub(super) const MAIL_REQUESTS: AddressLimit =
    AddressLimit { action: Limit::Mail, rule: RateLimit { burst: 5, interval: Duration::from_mins(3) } };

/// Whether mail is enabled, and who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailPolicy {
    /// No mail is created.
    Off,
    /// Mail is stored for the operator. A registration with an email that is taken must therefore be reported in the
    /// response.
    Folder,
    /// Mail is sent to its recipients. Only they learn whether an email has an account.
    Smtp,
}

/// Creates mails and queues them. A mail about a change is stored by the change's own transaction.
#[derive(Debug)]
pub struct Outbox {
    store: Store,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    policy: MailPolicy,
    /// Notifies the mail worker of new mail.
    mail_ready: Arc<Notify>,
}

impl Outbox {
    pub(super) fn new(store: Store, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>, policy: MailPolicy) -> Self {
        Self { store, clock, entropy, policy, mail_ready: Arc::default() }
    }

    /// Returns [`AppError::MailOff`] if mail is off.
    pub(super) fn require_enabled(&self) -> Result<(), Error> {
        if self.policy == MailPolicy::Off { Err(AppError::MailOff.into()) } else { Ok(()) }
    }

    /// Creates a mail that is due now.
    pub(super) fn new_mail(&self, kind: MailKind) -> NewMail {
        self.new_mail_at(kind, self.clock.now())
    }

    /// Creates a mail that is due at a time.
    pub(super) fn new_mail_at(&self, kind: MailKind, now: Timestamp) -> NewMail {
        NewMail { id: new_id(&*self.entropy, now), kind, created_at: now, due_at: now }
    }

    /// Creates a mail, or `None` if mail is off.
    pub(super) fn notice(&self, kind: MailKind) -> Option<NewMail> {
        self.notice_at(kind, self.clock.now())
    }

    /// Creates a mail that is due at a time, or `None` if mail is off.
    pub(super) fn notice_at(&self, kind: MailKind, now: Timestamp) -> Option<NewMail> {
        (self.policy != MailPolicy::Off).then(|| self.new_mail_at(kind, now))
    }

    /// Queues a mail to an address, whether or not it has an account.
    pub(super) async fn enqueue(&self, kind: MailKind, address: &str) -> Result<(), Error> {
        self.store.enqueue_mail(&self.new_mail(kind), None, address).await?;
        self.notify_worker();
        Ok(())
    }

    /// Queues a mail to the account that asks for it. An empty `address` stands for the account's email.
    ///
    /// `change` is the stamp of a requested change of the email.
    pub(super) async fn enqueue_for(
        &self,
        token: &CheckedToken,
        kind: MailKind,
        address: &str,
        change: Option<&Stamp>,
    ) -> Result<(), Error> {
        let queued = self.store.enqueue_mail_for(&self.new_mail(kind), token, address, change).await?;
        queued.ok_or(AppError::SessionEnded)?;
        self.notify_worker();
        Ok(())
    }

    /// Wakes the mail worker after a transaction that queued a mail.
    pub(super) fn notify_worker(&self) {
        self.mail_ready.notify_one();
    }

    fn mail_ready(&self) -> Arc<Notify> {
        Arc::clone(&self.mail_ready)
    }
}
