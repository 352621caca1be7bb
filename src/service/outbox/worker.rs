//! Sends queued mail in the background.
//!
//! A request that enqueues mail doesn't wait for the delivery, and its response doesn't depend on it (CVE-2024-45231).

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    composer::{Composer, is_disabled},
    templates::MailTemplates,
    transport::{MailTransport, SendError},
};
use crate::{
    service::{
        Service,
        clock::Clock,
        counts::{Counts, MailResult},
    },
    store::{Error, LONGEST_WAIT, QueuedMail, Store},
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

/// Sends queued mail.
#[derive(Debug)]
pub struct MailWorker {
    store: Store,
    clock: Arc<dyn Clock>,
    composer: Composer,
    transport: Arc<dyn MailTransport>,
    mail_ready: Arc<Notify>,
    counts: Arc<Counts>,
}

impl Service {
    /// Creates a mail worker. Several servers on one database may each run one.
    #[must_use]
    pub fn mail_worker(&self, transport: Arc<dyn MailTransport>, templates: MailTemplates) -> MailWorker {
        let (store, clock, entropy) = (self.store.clone(), Arc::clone(&self.clock), Arc::clone(&self.entropy));
        let rate_limits = Arc::clone(&self.rate_limits);
        let composer = Composer::new(store.clone(), Arc::clone(&clock), entropy, rate_limits, templates);
        let (mail_ready, counts) = (self.outbox.mail_ready(), Arc::clone(&self.counts));
        MailWorker { store, clock, composer, transport, mail_ready, counts }
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
        let Ok(delivered) = AssertUnwindSafe(Box::pin(self.deliver(&mail))).catch_unwind().await else {
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
            self.counts.mails.count(MailResult::GivenUp);
            return self.store.give_up_mail(mail, &self.composer.stamp()).await;
        }
        let user = match &mail.user_id {
            Some(user) => self.store.find_user(user).await?,
            None => None,
        };
        if mail.kind.waits_while_disabled() && user.as_ref().is_some_and(is_disabled) {
            // The account was disabled a moment ago. The queue holds the mail once the lease expires.
            return Ok(());
        }
        let Some(message) = self.composer.compose(mail, user).await? else {
            tracing::info!(mail = mail.id, kind, "mail skipped: obsolete or rate-limited");
            self.counts.mails.count(MailResult::Skipped);
            return self.store.delete_mail(&mail.id).await;
        };
        match self.transport.send(&format!("{}.{}", mail.id, mail.attempts), &message).await {
            Ok(place) => {
                tracing::info!(mail = mail.id, kind, place, "mail sent");
                self.counts.mails.count(MailResult::Sent);
                self.store.delete_mail(&mail.id).await
            }
            Err(SendError { cause, permanent }) if retried >= if permanent { GIVE_UP_REFUSED } else { GIVE_UP } => {
                let retried_s = retried.as_secs();
                tracing::error!(mail = mail.id, kind, cause, retried_s, "mail could not be sent, giving up");
                self.counts.mails.count(MailResult::GivenUp);
                self.store.give_up_mail(mail, &self.composer.stamp()).await
            }
            Err(SendError { cause, .. }) => {
                let wait = retry_delay(mail.attempts);
                let retry_in_s = wait.as_secs();
                tracing::warn!(mail = mail.id, kind, cause, retry_in_s, "mail could not be sent, will retry");
                self.counts.mails.count(MailResult::Delayed);
                self.store.delay_mail(&mail.id, self.clock.now().plus(wait)).await
            }
        }
    }
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
    fn each_retry_waits_twice_as_long_up_to_an_hour() {
        let waits: Vec<u64> = (1..=9).map(|attempts| retry_delay(attempts).as_secs()).collect();
        assert_eq!(waits, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!((retry_delay(0), retry_delay(i64::MAX)), (FIRST_RETRY, LONGEST_WAIT));
    }

    #[test]
    fn the_time_of_retries_is_the_sum_of_their_waits() {
        let tried: Vec<u64> = [0, 1, 2, 3, 8, 9].map(|attempts| retried_for(attempts).as_secs()).to_vec();
        assert_eq!(tried, [0, 0, 30, 90, 3810, 7410]);
    }
}
