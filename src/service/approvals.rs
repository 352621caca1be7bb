//! The approval of new accounts by operators, and the deletion of those that nobody has come back to.

use std::time::Duration;

use super::{Caller, Error, MailPolicy, Maintenance, Service, events::stamp, permit::ProvenOperator};
use crate::{
    domain::{act::Act, event::Initiator, time::Timestamp},
    error::AppError,
    store::{self, Authority, MailKind, User},
};

/// The least time between two mails to an operator about waiting accounts.
const NOTICE_INTERVAL: Duration = Duration::from_hours(1);
/// The time after which an operator is reminded of accounts that still wait.
const REMINDER_INTERVAL: Duration = Duration::from_hours(24);
/// Accounts per search for expired ones.
const BATCH: u32 = 500;
/// The pause after each deletion.
const PAUSE: Duration = Duration::from_millis(20);

/// How long new accounts are kept without being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// For an operator to approve an account.
    pub approval: Duration,
    /// For an owner to confirm the email or log in.
    pub confirmation: Duration,
}

impl Service {
    /// When a new account is deleted, unless it is approved, confirmed or used before. An email can only be confirmed if
    /// mail is sent.
    pub(super) fn kept_until(&self, now: Timestamp, pending: bool) -> Option<Timestamp> {
        let Deadlines { approval, confirmation } = self.policy.registration.deadlines;
        match self.policy.mail {
            _ if pending => Some(now.plus(approval)),
            MailPolicy::Smtp => Some(now.plus(confirmation)),
            MailPolicy::Off | MailPolicy::Folder => None,
        }
    }

    pub(super) async fn approve(&self, authority: Authority, by: Initiator) -> Result<(), Error> {
        let stamp = self.stamp(by);
        let (mail, kept_until) =
            (self.outbox.notice_at(MailKind::Approved, stamp.at), self.kept_until(stamp.at, false));
        self.store.approve_user(authority, mail, kept_until, stamp).await?;
        self.outbox.notify_worker();
        Ok(())
    }

    pub(super) async fn decline(
        &self,
        authority: Authority,
        by: Initiator,
        user: &User,
        notify: bool,
    ) -> Result<(), Error> {
        let (stamp, left) = (self.stamp(by), self.rate_limits.release_username(user));
        let mail = notify.then(|| self.outbox.notice_at(MailKind::Declined, stamp.at)).flatten();
        if !self.store.decline_user(authority, mail, left, stamp).await? {
            return Err(AppError::NotPending.into());
        }
        self.outbox.notify_worker();
        Ok(())
    }

    /// Approves an account that waits for it. Notifies its owner by mail.
    pub async fn approve_account(&self, caller: &Caller, operator: &ProvenOperator, id: &str) -> Result<(), Error> {
        let permit = self.permit(caller, operator, Act::Approve, id).await?;
        permit.logged(self.approve(permit.authority(), permit.by()).await)
    }

    /// Declines and deletes an account that waits for approval. Notifies its owner by mail if `notify`.
    pub async fn decline_account(
        &self,
        caller: &Caller,
        operator: &ProvenOperator,
        id: &str,
        notify: bool,
    ) -> Result<(), Error> {
        let permit = self.permit(caller, operator, Act::Decline, id).await?;
        permit.logged(self.decline(permit.authority(), permit.by(), permit.target(), notify).await)
    }
}

impl Maintenance {
    /// Notifies operators of accounts that wait for approval. Returns how many mails were enqueued.
    pub async fn notify_approvers(&self) -> Result<usize, store::Error> {
        if self.policy.mail == MailPolicy::Off {
            return Ok(0);
        }
        let (outbox, now) = (self.outbox.clone(), self.clock.now());
        let new_mail = move || outbox.new_mail_at(MailKind::ApprovalWaiting, now);
        let last = [now.minus(NOTICE_INTERVAL), now.minus(REMINDER_INTERVAL)];
        let mails = self.store.notify_approvers(now, last, new_mail).await?;
        if mails > 0 {
            self.outbox.notify_worker();
        }
        Ok(mails)
    }

    /// Deletes accounts that were not approved or used in time. Returns how many.
    pub async fn sweep_accounts(&self) -> Result<u64, store::Error> {
        let mut total = 0;
        loop {
            let found = self.store.find_expired_users(self.clock.now(), BATCH).await?;
            let mut deleted = 0;
            for user in &found {
                let left = self.rate_limits.release_username(user);
                let stamp = stamp(&*self.clock, &*self.entropy, Initiator::server());
                deleted += u64::from(self.store.delete_expired_user(&user.id, &left, &stamp).await?);
                tokio::time::sleep(PAUSE).await;
            }
            total += deleted;
            if found.len() < BATCH as usize || deleted == 0 {
                return Ok(total);
            }
        }
    }
}
