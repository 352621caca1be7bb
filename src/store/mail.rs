//! The mail queue.

use std::time::Duration;

use strum::{EnumString, IntoStaticStr, VariantArray};

use super::{Asking, DURABLE, Error, RELAXED, Store, authority::lock_active, lock::Locks, on_each, on_read, on_write};
use crate::domain::time::{CLOCK_TOLERANCE, Timestamp};

/// The kind of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum MailKind {
    /// Asks the owner of a new account to confirm the address.
    Verify,
    /// Notifies an owner that someone tried to register with the address.
    Taken,
    /// Someone forgot a password. The account, and whether there is one, is looked up when the mail is sent.
    Forgot,
    /// Notifies the owner that the password was changed, and that access tokens still work.
    PasswordChanged,
    /// Notifies the owner that the password was changed, and that every access token was revoked.
    PasswordReset,
    /// Notifies the owner of a new personal access token.
    TokenMade,
    /// Asks for confirmation at the new address of an account.
    ChangeEmail,
    /// Notifies the previous address of the change, and explains how to undo it.
    EmailChanged,
    /// Notifies the address that was replaced when a change of email was undone.
    EmailUndone,
}

impl MailKind {
    /// Its name in the database and in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Whether it is a security notice about an account. While the account is disabled, such mail stays queued until
    /// it is enabled again.
    #[must_use]
    pub const fn waits_while_closed(self) -> bool {
        matches!(
            self,
            Self::PasswordChanged | Self::PasswordReset | Self::TokenMade | Self::EmailChanged | Self::EmailUndone
        )
    }
}

/// A queued mail in a list for its owner. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
#[expect(missing_docs, reason = "the fields are columns of the table")]
pub struct MailRecord {
    pub kind: String,
    /// The recipient. Empty if the mail goes to the account's email.
    pub address: String,
    pub created_at: i64,
    pub due_at: i64,
    /// The number of attempts to send it.
    pub attempts: i64,
}

/// A mail to enqueue.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "most fields are columns of the table")]
pub struct NewMail {
    /// A UUID, version 7.
    pub id: String,
    pub kind: MailKind,
    /// The current time. For a change of email it may be slightly later, so that it is after the previous change.
    pub created_at: Timestamp,
    pub due_at: Timestamp,
}

/// A mail taken from the queue.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "most fields are columns of the table")]
pub struct QueuedMail {
    /// A UUID, version 7.
    pub id: String,
    pub kind: MailKind,
    /// The account that it is about, if known.
    pub user_id: Option<String>,
    /// The recipient. Empty if the mail goes to the account's email.
    pub address: String,
    pub created_at: Timestamp,
    /// The number of attempts to send it, including this one.
    pub attempts: i64,
}

#[derive(sqlx::FromRow)]
struct MailRow {
    id: String,
    kind: String,
    user_id: Option<String>,
    address: String,
    created_at: i64,
    attempts: i64,
}

/// Adds a mail to the queue.
macro_rules! enqueue_mail {
    ($tx:ident, $mail:expr, $user:expr, $address:expr) => {{
        let (mail, user, address): (&$crate::store::NewMail, Option<&str>, &str) = ($mail, $user, $address);
        let sql = "INSERT INTO mails (id, kind, user_id, address, created_at, due_at, attempts) \
                   VALUES ($1, $2, $3, $4, $5, $6, 0)";
        sqlx::query(sql)
            .bind(&mail.id)
            .bind(mail.kind.name())
            .bind(user)
            .bind(address)
            .bind(mail.created_at.as_millis())
            .bind(mail.due_at.as_millis())
            .execute(&mut *$tx)
            .await?;
    }};
}

pub(super) use enqueue_mail;

/// The longest delay before another attempt. A mail that seems to wait longer was delayed before the clock was put
/// back, and is due.
pub const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// The mail that is due first: $1 now, $2 the latest valid due time. Excludes security notices for disabled accounts,
/// as [`MailKind::waits_while_closed`] defines them.
macro_rules! due {
    () => {
        "SELECT id FROM mails WHERE (due_at <= $1 OR due_at > $2) \
         AND NOT (kind IN ('password_changed', 'password_reset', 'token_made', 'email_changed', 'email_undone') \
             AND EXISTS (SELECT 1 FROM users WHERE id = user_id AND disabled_at IS NOT NULL)) \
         ORDER BY due_at, id LIMIT 1"
    };
}

/// $1 and $2 as in `due!`, $3 the time until which no other worker claims the mail.
const CLAIM: &str = concat!(
    "UPDATE mails SET due_at = $3, attempts = attempts + 1 WHERE (due_at <= $1 OR due_at > $2) AND id IN (",
    due!(),
    ") RETURNING id, kind, user_id, address, created_at, attempts"
);

fn latest_due(now: Timestamp) -> i64 {
    now.plus(LONGEST_WAIT).plus(CLOCK_TOLERANCE).as_millis()
}

impl Store {
    /// Adds a mail to the queue: about an account, or to an address.
    pub async fn enqueue_mail(&self, mail: &NewMail, user: Option<&str>, address: &str) -> Result<(), Error> {
        on_write!(self, DURABLE, tx => enqueue_mail!(tx, mail, user, address));
        Ok(())
    }

    /// Claims a mail that is due. No other worker claims it for the duration of `lease`.
    pub async fn claim_mail(&self, now: Timestamp, lease: Duration) -> Result<Option<QueuedMail>, Error> {
        let row: Option<MailRow> = loop {
            let rows: Vec<MailRow> = on_each!(self, RELAXED, tx => sqlx::query_as(CLAIM)
                .bind(now.as_millis())
                .bind(latest_due(now))
                .bind(now.plus(lease).as_millis())
                .fetch_all(&mut *tx)
                .await?);
            // Another server may have claimed this mail while another one is due.
            if !rows.is_empty() || !self.has_mail(now).await? {
                break rows.into_iter().next();
            }
        };
        let Some(row) = row else { return Ok(None) };
        let kind = row.kind.parse();
        let kind = kind.map_err(|_| Error::Refused(format!("the mail {} has an unknown kind", row.id)))?;
        Ok(Some(QueuedMail {
            id: row.id,
            kind,
            user_id: row.user_id,
            address: row.address,
            created_at: Timestamp::from_millis(row.created_at),
            attempts: row.attempts,
        }))
    }

    async fn has_mail(&self, now: Timestamp) -> Result<bool, Error> {
        let due: Option<String> = on_read!(self, conn => {
            let query = sqlx::query_scalar(due!()).bind(now.as_millis()).bind(latest_due(now));
            query.fetch_optional(&mut *conn).await?
        });
        Ok(due.is_some())
    }

    /// Delays a mail until a later time.
    pub async fn delay_mail(&self, mail: &str, until: Timestamp) -> Result<(), Error> {
        on_write!(self, RELAXED, tx => {
            let sql = "UPDATE mails SET due_at = $2 WHERE id = $1";
            sqlx::query(sql).bind(mail).bind(until.as_millis()).execute(&mut *tx).await?;
        });
        Ok(())
    }

    /// Deletes a mail from the queue.
    pub async fn delete_mail(&self, mail: &str) -> Result<(), Error> {
        on_write!(self, RELAXED, tx => {
            sqlx::query("DELETE FROM mails WHERE id = $1").bind(mail).execute(&mut *tx).await?;
        });
        Ok(())
    }

    /// Every queued mail about an account.
    pub async fn mails_of(&self, user: &str) -> Result<Vec<MailRecord>, Error> {
        let sql =
            "SELECT kind, address, created_at, due_at, attempts FROM mails WHERE user_id = $1 ORDER BY created_at";
        Ok(on_read!(self, conn => sqlx::query_as(sql).bind(user).fetch_all(&mut *conn).await?))
    }

    /// Enqueues a mail about an account to another address. Returns `None`, and changes nothing, if the requesting
    /// session has ended.
    pub async fn enqueue_mail_for(&self, mail: &NewMail, asking: &Asking, address: &str) -> Result<Option<()>, Error> {
        Ok(on_write!(self, DURABLE, tx => {
            let active = lock_active!(tx, asking);
            if active {
                enqueue_mail!(tx, mail, Some(&asking.user), address);
            }
            active.then_some(())
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_keeps_back_what_waits_while_an_account_is_closed_and_nothing_else() {
        for &kind in MailKind::VARIANTS {
            let excluded = CLAIM.contains(&format!("'{}'", kind.name()));
            assert_eq!(excluded, kind.waits_while_closed(), "{kind:?}");
        }
    }
}
