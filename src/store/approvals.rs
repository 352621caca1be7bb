//! Accounts that wait for an operator's approval, and accounts that nobody has come back to.

use super::{
    Authority, Error, InheritFailures, NewMail, Store, User, UserRow,
    accounts::{delete_account, delete_mails_to},
    authority::lock_authorized,
    begin::{DURABLE, RELAXED, uncancelled},
    events::{Event, record},
    mail::enqueue_mail,
    tx::values,
    users::select_users,
};
use crate::domain::{
    event::{EventName, Stamp},
    time::Timestamp,
};

/// Accounts to delete: $1 now. Those that an operator disabled keep their email and username in use.
macro_rules! expired {
    ($clauses:literal) => {
        concat!(
            "WHERE kept_until <= $1 AND disabled_at IS NULL AND (pending_since IS NOT NULL \
             OR (email_verified_at IS NULL AND last_login_at IS NULL)) ",
            $clauses
        )
    };
}

/// The name of the time at which operators were last notified of waiting accounts.
const NOTIFIED: &str = "approval_notified_at";

impl Store {
    /// Approves an account. Enqueues the mail to its owner. Changes nothing if it doesn't wait.
    pub async fn approve_user(
        &self,
        authority: Authority,
        mail: Option<NewMail>,
        kept_until: Option<Timestamp>,
        stamp: Stamp,
    ) -> Result<(), Error> {
        let approved = self.change(DURABLE, move |tx| {
            Box::pin(async move {
                let user = authority.user();
                lock_authorized(tx, &authority).await?;
                let sql = "UPDATE users SET pending_since = NULL, \
                           kept_until = CASE WHEN email_verified_at IS NULL THEN $2 END \
                           WHERE id = $1 AND pending_since IS NOT NULL";
                if tx.execute(sql, values![user, kept_until]).await? == 1 {
                    record(tx, &stamp, Event::of(EventName::AccountApprove, user)).await?;
                    if let Some(mail) = mail {
                        enqueue_mail(tx, &mail, Some(user), "").await?;
                    }
                }
                Ok(())
            })
        });
        approved.await
    }

    /// Deletes an account that waits for approval, and enqueues the mail to its email. Returns `false`, and changes nothing, if
    /// it doesn't wait.
    pub async fn decline_user(
        &self,
        authority: Authority,
        mail: Option<NewMail>,
        left: InheritFailures,
        stamp: Stamp,
    ) -> Result<bool, Error> {
        let store = self.clone();
        uncancelled(Box::pin(async move {
            let declined = store.write(DURABLE, async |tx| {
                let user = authority.user();
                lock_authorized(tx, &authority).await?;
                let sql = "SELECT email FROM users WHERE id = $1 AND pending_since IS NOT NULL";
                let Some((email,)) = tx.fetch_optional::<(String,)>(sql, values![user]).await? else {
                    return Ok(false);
                };
                delete_mails_to(tx, user).await?;
                delete_account(tx, user, EventName::AccountDecline, &left, &stamp).await?;
                if let Some(mail) = &mail {
                    enqueue_mail(tx, mail, None, &email).await?;
                }
                Ok(true)
            });
            let declined = declined.await?;
            store.empty_log().await;
            Ok(declined)
        }))
        .await
    }

    /// Whether there is an operator who may approve accounts.
    pub async fn has_approver(&self) -> Result<bool, Error> {
        let sql = "SELECT id FROM users WHERE role IN ('admin', 'support') AND disabled_at IS NULL";
        self.read(async |conn| conn.exists(sql, &[]).await).await
    }

    /// How many accounts wait for approval.
    pub async fn count_pending(&self) -> Result<i64, Error> {
        let sql = "SELECT COUNT(*) FROM users WHERE pending_since IS NOT NULL";
        let (count,): (i64,) = self.read(async |conn| conn.fetch_one(sql, &[]).await).await?;
        Ok(count)
    }

    /// Enqueues a mail to each operator who may approve accounts, if any waits. `new_mail` creates a mail. Does nothing if the
    /// last such mails are newer than `hourly`, or newer than `daily` and no account began to wait since. Returns how many
    /// were enqueued.
    pub async fn notify_approvers(
        &self,
        now: Timestamp,
        [hourly, daily]: [Timestamp; 2],
        new_mail: impl Fn() -> NewMail + Send + Sync + 'static,
    ) -> Result<usize, Error> {
        let notified = self.change(RELAXED, move |tx| {
            Box::pin(async move {
                let newest = "SELECT MAX(pending_since) FROM users WHERE pending_since IS NOT NULL";
                let (Some(newest),): (Option<i64>,) = tx.fetch_one(newest, &[]).await? else { return Ok(0) };
                // Two servers must not both send the mails.
                tx.lock_admins().await?;
                let sql = "SELECT CAST(value AS BIGINT) FROM server_facts WHERE name = $1";
                let last: Option<(i64,)> = tx.fetch_optional(sql, values![NOTIFIED]).await?;
                // One in the future was noted before the clock was set back.
                let is_recent = |last| {
                    last <= now.as_millis() && (last > hourly.as_millis() || last > daily.as_millis() && newest < last)
                };
                if last.is_some_and(|(last,)| is_recent(last)) {
                    return Ok(0);
                }
                let sql = "INSERT INTO server_facts (name, value) VALUES ($1, $2) \
                           ON CONFLICT (name) DO UPDATE SET value = excluded.value";
                tx.execute(sql, values![NOTIFIED, &now.as_millis().to_string()]).await?;
                let sql = "SELECT id FROM users WHERE role IN ('admin', 'support') AND disabled_at IS NULL ORDER BY id";
                let operators: Vec<String> = tx.fetch_column(sql, &[]).await?;
                for operator in &operators {
                    enqueue_mail(tx, &new_mail(), Some(operator), "").await?;
                }
                Ok(operators.len())
            })
        });
        notified.await
    }

    /// Finds accounts whose time to be approved, or to be used, is over.
    pub async fn find_expired_users(&self, now: Timestamp, limit: u32) -> Result<Vec<User>, Error> {
        let sql = select_users!("", expired!("ORDER BY kept_until LIMIT $2"));
        let rows: Vec<UserRow> = self.search(async |conn| conn.fetch_all(sql, values![now, limit]).await).await?;
        Ok(rows.into_iter().map(User::from).collect())
    }

    /// Deletes an account whose time is over. Returns `false`, and changes nothing, if it was used or approved meanwhile.
    pub async fn delete_expired_user(&self, user: &str, left: &InheritFailures, stamp: &Stamp) -> Result<bool, Error> {
        self.write(DURABLE, async |tx| {
            tx.lock_user(user).await?;
            let sql = concat!("SELECT id FROM users ", expired!("AND id = $2"));
            let expired = tx.exists(sql, values![stamp.at, user]).await?;
            if expired {
                delete_mails_to(tx, user).await?;
                delete_account(tx, user, EventName::AccountExpire, left, stamp).await?;
            }
            Ok(expired)
        })
        .await
    }
}
