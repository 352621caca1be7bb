//! The mail queue.

use std::time::Duration;

use strum::{EnumString, IntoStaticStr, VariantArray};

use super::{
    Authority, CheckedToken, Error, Store,
    authority::{lock_active, lock_authorized},
    begin::{DURABLE, RELAXED},
    events::{Event, record},
    tx::{Conn, Tx, Value, values},
};
use crate::domain::{
    event::{Details, EventName, Outcome, Stamp, Subject},
    time::{CLOCK_TOLERANCE, Timestamp},
};

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
    AccessTokenCreated,
    /// Asks for confirmation at the new address of an account.
    ChangeEmail,
    /// Notifies the previous address of the change, and explains how to undo it.
    EmailChanged,
    /// Notifies the address that was replaced when a change of email was undone.
    EmailUndone,
    /// Notifies the owner of an account of its new role, or that its role was taken away.
    RoleChanged,
    /// Asks the owner of an account that was imported without a password to choose one.
    Imported,
    /// Notifies an admin that another account became an admin. It is about that account.
    AdminAdded,
    /// Invites somebody to register.
    Invitation,
    /// Notifies an operator of accounts that wait for approval.
    ApprovalWaiting,
    /// Notifies the owner of an account that an operator approved it.
    Approved,
    /// Notifies somebody that an operator declined the registration. The account is deleted.
    Declined,
}

impl MailKind {
    /// Its name in the database and in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Security notices about an account. While the account is disabled, such mail stays queued until it is enabled
    /// again.
    const WAITS_WHILE_DISABLED: [Self; 6] = [
        Self::PasswordChanged,
        Self::PasswordReset,
        Self::AccessTokenCreated,
        Self::EmailChanged,
        Self::EmailUndone,
        Self::RoleChanged,
    ];

    /// Whether it stays queued while its account is disabled.
    #[must_use]
    pub fn waits_while_disabled(self) -> bool {
        Self::WAITS_WHILE_DISABLED.contains(&self)
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
    /// The account that it is about, if known. If it is about another account, the recipient.
    pub user_id: Option<String>,
    /// The other account that it is about.
    pub about_id: Option<String>,
    /// The invitation that it sends.
    pub invitation_id: Option<String>,
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
    about_id: Option<String>,
    invitation_id: Option<String>,
    address: String,
    created_at: i64,
    attempts: i64,
}

/// Adds a mail to the queue: about an account, or to an address.
pub(super) async fn enqueue_mail(
    tx: &mut Tx<'_>,
    mail: &NewMail,
    user: Option<&str>,
    address: &str,
) -> Result<(), Error> {
    let sql = "INSERT INTO mails (id, kind, user_id, address, created_at, due_at, attempts) \
               VALUES ($1, $2, $3, $4, $5, $6, 0)";
    let values = values![&mail.id, mail.kind.name(), user, address, mail.created_at, mail.due_at];
    tx.execute(sql, values).await.map(drop)
}

/// Adds a mail to one account about another to the queue.
pub(super) async fn enqueue_mail_about(tx: &mut Tx<'_>, mail: &NewMail, to: &str, about: &str) -> Result<(), Error> {
    enqueue_mail(tx, mail, Some(to), "").await?;
    tx.execute("UPDATE mails SET about_id = $2 WHERE id = $1", values![&mail.id, about]).await.map(drop)
}

/// The longest delay before another attempt. A mail that seems to wait longer was delayed before the clock was put
/// back, and is due.
pub const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// The mail that is due first: $1 now, $2 the latest valid due time, $3 to $8 the kinds that wait while an account is
/// disabled.
macro_rules! due {
    () => {
        "SELECT id FROM mails WHERE (due_at <= $1 OR due_at > $2) \
         AND NOT (kind IN ($3, $4, $5, $6, $7, $8) \
             AND EXISTS (SELECT 1 FROM users WHERE id = user_id AND disabled_at IS NOT NULL)) \
         ORDER BY due_at, id LIMIT 1"
    };
}

const _: () = assert!(MailKind::WAITS_WHILE_DISABLED.len() == 6, "`due!` has a parameter for each kind");

/// $1 to $8 as in `due!`, $9 the time until which no other worker claims the mail.
const CLAIM: &str = concat!(
    "UPDATE mails SET due_at = $9, attempts = attempts + 1 WHERE (due_at <= $1 OR due_at > $2) AND id IN (",
    due!(),
    ") RETURNING id, kind, user_id, about_id, invitation_id, address, created_at, attempts"
);

/// The values for `due!`.
fn due(now: Timestamp) -> Vec<Value<'static>> {
    due_since(now, now)
}

/// The values for `due!`, for mails that are due since a time.
fn due_since(since: Timestamp, now: Timestamp) -> Vec<Value<'static>> {
    let mut values = vec![since.into(), now.plus(LONGEST_WAIT).plus(CLOCK_TOLERANCE).into()];
    values.extend(MailKind::WAITS_WHILE_DISABLED.map(|kind| Value::from(kind.name())));
    values
}

/// Whether a mail is due since a time, and no server has tried to send it.
pub(super) async fn has_overdue_mail(conn: &mut Conn<'_>, since: Timestamp, now: Timestamp) -> Result<bool, Error> {
    conn.exists(due!(), &due_since(since, now)).await
}

impl Store {
    /// Adds a mail to the queue: about an account, or to an address.
    pub async fn enqueue_mail(&self, mail: &NewMail, user: Option<&str>, address: &str) -> Result<(), Error> {
        self.write(DURABLE, async |tx| enqueue_mail(tx, mail, user, address).await).await
    }

    /// Claims a mail that is due. No other worker claims it for the duration of `lease`.
    pub async fn claim_mail(&self, now: Timestamp, lease: Duration) -> Result<Option<QueuedMail>, Error> {
        let mut values = due(now);
        values.push(now.plus(lease).into());
        let row: Option<MailRow> = loop {
            let rows: Vec<MailRow> = self.each(async |conn| conn.fetch_all(CLAIM, &values).await).await?;
            // Another server may have claimed this mail while another one is due.
            if !rows.is_empty() || !self.read(async |conn| conn.exists(due!(), &due(now)).await).await? {
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
            about_id: row.about_id,
            invitation_id: row.invitation_id,
            address: row.address,
            created_at: Timestamp::from_millis(row.created_at),
            attempts: row.attempts,
        }))
    }

    /// Delays a mail until a later time.
    pub async fn delay_mail(&self, mail: &str, until: Timestamp) -> Result<(), Error> {
        let sql = "UPDATE mails SET due_at = $2 WHERE id = $1";
        self.write(RELAXED, async |tx| tx.execute(sql, values![mail, until]).await.map(drop)).await
    }

    /// Deletes a mail from the queue.
    pub async fn delete_mail(&self, mail: &str) -> Result<(), Error> {
        let sql = "DELETE FROM mails WHERE id = $1";
        self.write(RELAXED, async |tx| tx.execute(sql, values![mail]).await.map(drop)).await
    }

    /// Deletes a mail that could not be sent.
    pub async fn give_up_mail(&self, mail: &QueuedMail, stamp: &Stamp) -> Result<(), Error> {
        let subject = mail.user_id.as_deref().map_or(Subject::Mail(&mail.id), Subject::Account);
        let details =
            Details { mail: Some(mail.kind.name().to_owned()), attempts: Some(mail.attempts), ..Details::default() };
        let event = Event { name: EventName::MailGiveUp, outcome: Outcome::Failed, subject, details };
        self.write(DURABLE, async |tx| {
            if tx.execute("DELETE FROM mails WHERE id = $1", values![&mail.id]).await? == 1 {
                record(tx, stamp, event).await?;
            }
            Ok(())
        })
        .await
    }

    /// Every queued mail about an account.
    pub async fn mails_of(&self, user: &str) -> Result<Vec<MailRecord>, Error> {
        let sql =
            "SELECT kind, address, created_at, due_at, attempts FROM mails WHERE user_id = $1 ORDER BY created_at";
        self.read(async |conn| conn.fetch_all(sql, values![user]).await).await
    }

    /// Enqueues a mail to the email of an account, which its owner could request too, for an operator.
    pub async fn enqueue_mail_by(&self, authority: Authority, mail: NewMail, stamp: &Stamp) -> Result<(), Error> {
        self.write(DURABLE, async |tx| {
            lock_authorized(tx, &authority).await?;
            let sql = "SELECT email FROM users WHERE id = $1";
            let (address,): (String,) = tx.fetch_one(sql, values![authority.user()]).await?;
            record(tx, stamp, Event::of(EventName::PasswordLink, authority.user())).await?;
            enqueue_mail(tx, &mail, None, &address).await
        })
        .await
    }

    /// Enqueues a mail about an account to another address, with the stamp of a change of email. Returns `None`, and
    /// changes nothing, if the requesting session has ended.
    pub async fn enqueue_mail_for(
        &self,
        mail: &NewMail,
        checked: &CheckedToken,
        address: &str,
        change: Option<&Stamp>,
    ) -> Result<Option<()>, Error> {
        self.write(DURABLE, async |tx| {
            let active = lock_active(tx, checked).await?;
            if active {
                enqueue_mail(tx, mail, Some(&checked.user), address).await?;
                if let Some(stamp) = change {
                    record(tx, stamp, Event::of(EventName::EmailChangeRequest, &checked.user)).await?;
                }
            }
            Ok(active.then_some(()))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::DatabaseUrl;

    #[tokio::test]
    async fn only_security_notices_wait_while_an_account_is_disabled() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = DatabaseUrl::Sqlite(folder.path().join("a.db"));
        let (store, now) = (Store::open(&url, 1).await.expect("a store"), Timestamp::from_millis(0));
        let sql = "INSERT INTO users \
                   (id, email, email_key, username, username_key, password_hash, created_at, disabled_at) \
                   VALUES ('ann', '', '', '', '', '', 0, 0)";
        store.write(DURABLE, async |tx| tx.execute(sql, &[]).await).await.expect("an account");
        for &kind in MailKind::VARIANTS {
            let mail = NewMail { id: kind.name().to_owned(), kind, created_at: now, due_at: now };
            store.enqueue_mail(&mail, Some("ann"), "").await.expect("queued");
            let claimed = store.claim_mail(now, LONGEST_WAIT).await.expect("tried");
            assert_eq!(claimed.is_none(), kind.waits_while_disabled(), "{kind:?}");
            store.delete_mail(&mail.id).await.expect("deleted");
        }
    }
}
