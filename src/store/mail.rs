//! Mail that waits to be sent.

use std::time::Duration;

use super::{DURABLE, Error, RELAXED, Store, on_each, on_read, on_write};
use crate::domain::time::{CLOCK_TOLERANCE, Timestamp};

/// What a mail is to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailKind {
    /// Asks the owner of a new account to confirm the address.
    Verify,
    /// Tells an owner that somebody tried to register with the address.
    Taken,
    /// Somebody has forgotten a password. Whose, and whether there is such an account, is found out when it is sent.
    Forgot,
    /// Tells the owner that the password is another, and that access tokens still work.
    PasswordChanged,
    /// Tells the owner that the password is another, and that every access token was revoked.
    PasswordReset,
    /// Tells the owner that there is another personal access token.
    TokenMade,
    /// Asks at a new address whether it is the owner's.
    ChangeEmail,
    /// Tells the address until now that it is another, and how to undo that.
    EmailChanged,
    /// Tells the address until now that the one before has been brought back.
    EmailUndone,
}

impl MailKind {
    const ALL: [Self; 9] = [
        Self::Verify,
        Self::Taken,
        Self::Forgot,
        Self::PasswordChanged,
        Self::PasswordReset,
        Self::TokenMade,
        Self::ChangeEmail,
        Self::EmailChanged,
        Self::EmailUndone,
    ];

    /// What it is called in the database and in the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Taken => "taken",
            Self::Forgot => "forgot",
            Self::PasswordChanged => "password_changed",
            Self::PasswordReset => "password_reset",
            Self::TokenMade => "token_made",
            Self::ChangeEmail => "change_email",
            Self::EmailChanged => "email_changed",
            Self::EmailUndone => "email_undone",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|errand| errand.name() == name)
    }

    /// Whether it tells of what was done to an account, which whoever opens it again must know: while it is closed, such mail waits.
    #[must_use]
    pub const fn waits_while_closed(self) -> bool {
        matches!(
            self,
            Self::PasswordChanged | Self::PasswordReset | Self::TokenMade | Self::EmailChanged | Self::EmailUndone
        )
    }
}

/// A mail that waits, in a list of its owner's. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct MailRecord {
    /// What it is to say.
    pub kind: String,
    /// Where it goes, if the account doesn't tell that.
    pub address: String,
    /// Since when it waits.
    pub created_at: i64,
    /// When it is due.
    pub due_at: i64,
    /// How often somebody has tried.
    pub attempts: i64,
}

/// A mail to be sent.
#[derive(Clone, Debug)]
pub struct NewMail {
    /// A UUID, version 7.
    pub id: String,
    /// What to say.
    pub errand: MailKind,
    /// Now. Of a change of an email it may be a moment later, behind the change before.
    pub created_at: Timestamp,
    /// When it is due.
    pub due_at: Timestamp,
}

/// A mail that waits.
#[derive(Clone, Debug)]
pub struct QueuedMail {
    /// A UUID, version 7.
    pub id: String,
    /// What to say.
    pub errand: MailKind,
    /// Whose account it is about, where that is known.
    pub user_id: Option<String>,
    /// An address that the account doesn't tell; empty where it does.
    pub address: String,
    /// Since when it waits.
    pub created_at: Timestamp,
    /// How often somebody has tried to send it, this time included.
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

/// Puts a mail into the queue.
macro_rules! enqueue_mail {
    ($tx:ident, $mail:expr, $user:expr, $address:expr) => {{
        let (mail, user, address): (&$crate::store::NewMail, Option<&str>, &str) = ($mail, $user, $address);
        let sql = "INSERT INTO mails (id, kind, user_id, address, created_at, due_at, attempts) \
                   VALUES ($1, $2, $3, $4, $5, $6, 0)";
        sqlx::query(sql)
            .bind(&mail.id)
            .bind(mail.errand.name())
            .bind(user)
            .bind(address)
            .bind(mail.created_at.as_millis())
            .bind(mail.due_at.as_millis())
            .execute(&mut *$tx)
            .await?;
    }};
}

pub(super) use enqueue_mail;

/// The longest that a mail waits for another try. One that seems to wait longer was put off before the clock was put back.
pub const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// The mail that is due first: $1 now, $2 the time up to which a mail may wait. What tells of a closed account stays out, as
/// [`MailKind::waits_while_closed`] has it.
macro_rules! due {
    () => {
        "SELECT id FROM mails WHERE (due_at <= $1 OR due_at > $2) \
         AND NOT (kind IN ('password_changed', 'password_reset', 'token_made', 'email_changed', 'email_undone') \
             AND EXISTS (SELECT 1 FROM users WHERE id = user_id AND disabled_at IS NOT NULL)) \
         ORDER BY due_at, id LIMIT 1"
    };
}

/// As above, and $3 the time until which nobody else takes it.
const CLAIM: &str = concat!(
    "UPDATE mails SET due_at = $3, attempts = attempts + 1 WHERE (due_at <= $1 OR due_at > $2) AND id IN (",
    due!(),
    ") RETURNING id, kind, user_id, address, created_at, attempts"
);

fn latest_due(now: Timestamp) -> i64 {
    now.plus(LONGEST_WAIT).plus(CLOCK_TOLERANCE).as_millis()
}

impl Store {
    /// Puts a mail into the queue: about an account, or to an address.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn enqueue_mail(&self, mail: &NewMail, user: Option<&str>, address: &str) -> Result<(), Error> {
        on_write!(self, DURABLE, tx => enqueue_mail!(tx, mail, user, address));
        Ok(())
    }

    /// Takes a mail that is due out of the queue for a while, within which nobody else does.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn claim_mail(&self, now: Timestamp, lease: Duration) -> Result<Option<QueuedMail>, Error> {
        let row: Option<MailRow> = loop {
            let rows: Vec<MailRow> = on_each!(self, RELAXED, tx => sqlx::query_as(CLAIM)
                .bind(now.as_millis())
                .bind(latest_due(now))
                .bind(now.plus(lease).as_millis())
                .fetch_all(&mut *tx)
                .await?);
            // Another server may have been quicker, while more is due.
            if !rows.is_empty() || !self.has_mail(now).await? {
                break rows.into_iter().next();
            }
        };
        let Some(row) = row else { return Ok(None) };
        let errand = MailKind::named(&row.kind);
        let errand = errand.ok_or_else(|| Error::Refused(format!("the mail {} is of no known kind", row.id)))?;
        Ok(Some(QueuedMail {
            id: row.id,
            errand,
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

    /// Lets a mail wait until a later time.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn delay_mail(&self, mail: &str, until: Timestamp) -> Result<(), Error> {
        on_write!(self, RELAXED, tx => {
            let sql = "UPDATE mails SET due_at = $2 WHERE id = $1";
            sqlx::query(sql).bind(mail).bind(until.as_millis()).execute(&mut *tx).await?;
        });
        Ok(())
    }

    /// Takes a mail out of the queue for good.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn delete_mail(&self, mail: &str) -> Result<(), Error> {
        on_write!(self, RELAXED, tx => {
            sqlx::query("DELETE FROM mails WHERE id = $1").bind(mail).execute(&mut *tx).await?;
        });
        Ok(())
    }

    /// Every mail about an account that waits.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn mails_of(&self, user: &str) -> Result<Vec<MailRecord>, Error> {
        let sql =
            "SELECT kind, address, created_at, due_at, attempts FROM mails WHERE user_id = $1 ORDER BY created_at";
        Ok(on_read!(self, conn => sqlx::query_as(sql).bind(user).fetch_all(&mut *conn).await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_keeps_back_what_waits_while_an_account_is_closed_and_nothing_else() {
        for errand in MailKind::ALL {
            let kept_back = CLAIM.contains(&format!("'{}'", errand.name()));
            assert_eq!(kept_back, errand.waits_while_closed(), "{errand:?}");
        }
    }
}
