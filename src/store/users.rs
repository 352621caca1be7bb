//! Accounts.

use super::{
    DURABLE, Error, Inherit, NewMail, Store,
    links::end_access,
    lock::Locks,
    mail::enqueue_mail,
    on_read, on_write,
    rate_limits::{forget_own_failures, inherit_failures},
};
use crate::domain::{account::Account, email::Email, identifier::Identifier, time::Timestamp, username::Username};

/// An account to create.
#[derive(Debug)]
#[expect(missing_docs, reason = "most fields are columns of the table")]
pub struct NewUser<'a> {
    /// A UUID, version 7.
    pub id: String,
    pub email: &'a Email,
    pub username: &'a Username,
    /// A PHC string.
    pub password_hash: &'a str,
    pub created_at: Timestamp,
    /// Whether the email is known to belong to the owner.
    pub verified: bool,
    /// Strangers' failures with the username, which then apply to the account.
    pub held: Inherit,
}

/// Mails that a registration sends.
#[derive(Clone, Copy, Debug)]
pub struct Welcome<'a> {
    /// For the owner of the new account.
    pub made: &'a NewMail,
    /// For the owner of the existing account, where a stranger must not learn that the email has one.
    pub taken: Option<&'a NewMail>,
}

/// The result of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterOutcome {
    /// The account was created.
    Done,
    /// The email has an account, and its owner is notified.
    OwnerNotified,
    /// The email or the username is taken.
    Taken,
}

/// A stored account, without its credential.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "most fields are columns of the table")]
pub struct User {
    /// A UUID, version 7.
    pub id: String,
    /// The email as it was registered.
    pub email: String,
    /// The username as it was registered.
    pub username: String,
    pub created_at: Timestamp,
    /// `None` if the account is enabled.
    pub disabled_at: Option<Timestamp>,
    /// When the owner confirmed the email, if ever.
    pub email_verified_at: Option<Timestamp>,
}

impl From<User> for Account {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            email: user.email,
            email_verified: user.email_verified_at.is_some(),
            username: user.username,
            created_at: user.created_at.to_rfc3339(),
        }
    }
}

/// An account and its credential.
#[derive(Debug)]
#[expect(missing_docs, reason = "the field is the account")]
pub struct Credential {
    pub user: User,
    /// A PHC string.
    pub password_hash: String,
}

/// A row of `users` with the columns of [`User`].
#[derive(Debug, sqlx::FromRow)]
pub struct UserRow {
    id: String,
    email: String,
    username: String,
    created_at: i64,
    disabled_at: Option<i64>,
    email_verified_at: Option<i64>,
}

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        Self {
            id: row.id,
            email: row.email,
            username: row.username,
            created_at: Timestamp::from_millis(row.created_at),
            disabled_at: row.disabled_at.map(Timestamp::from_millis),
            email_verified_at: row.email_verified_at.map(Timestamp::from_millis),
        }
    }
}

/// An account in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the field is the account")]
pub struct ListedUser {
    pub user: User,
    /// The account's last login, if any.
    pub last_login_at: Option<Timestamp>,
}

/// A row of `users` with the columns of [`ListedUser`].
#[derive(Debug, sqlx::FromRow)]
struct ListedRow {
    #[sqlx(flatten)]
    user: UserRow,
    last_login_at: Option<i64>,
}

impl From<ListedRow> for ListedUser {
    fn from(row: ListedRow) -> Self {
        Self { user: row.user.into(), last_login_at: row.last_login_at.map(Timestamp::from_millis) }
    }
}

/// A row of `users` with the columns of [`Credential`].
#[derive(Debug, sqlx::FromRow)]
pub struct CredentialRow {
    #[sqlx(flatten)]
    user: UserRow,
    password_hash: String,
}

impl From<CredentialRow> for Credential {
    fn from(row: CredentialRow) -> Self {
        Self { user: row.user.into(), password_hash: row.password_hash }
    }
}

pub(super) const BY_EMAIL: &str = "SELECT id, email, username, created_at, disabled_at, email_verified_at, \
    password_hash FROM users WHERE email_key = $1";
pub(super) const BY_USERNAME: &str = "SELECT id, email, username, created_at, disabled_at, email_verified_at, \
    password_hash FROM users WHERE username_key = $1";

/// Finds the account with a name, on a connection or in a transaction.
macro_rules! find {
    ($conn:ident, $identifier:expr) => {{
        use $crate::{
            domain::identifier::Identifier,
            store::users::{BY_EMAIL, BY_USERNAME, Credential, CredentialRow},
        };
        let row: Option<CredentialRow> = match $identifier {
            Identifier::Email(email) => sqlx::query_as(BY_EMAIL).bind(email.key()).fetch_optional(&mut *$conn).await?,
            Identifier::Username(username) => {
                sqlx::query_as(BY_USERNAME).bind(username.key()).fetch_optional(&mut *$conn).await?
            }
            Identifier::Invalid => None,
        };
        row.map(Credential::from)
    }};
}

impl Store {
    /// Creates an account and enqueues the mails about it. The unique constraints decide whether the names are free,
    /// so that two concurrent requests can't both succeed.
    pub async fn insert_user(&self, new: NewUser<'_>, welcome: Option<Welcome<'_>>) -> Result<RegisterOutcome, Error> {
        let sql = "INSERT INTO users \
                   (id, email, email_key, username, username_key, password_hash, created_at, email_verified_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING id";
        Ok(on_write!(self, DURABLE, tx => {
            let made: Option<String> = sqlx::query_scalar(sql)
                .bind(&new.id)
                .bind(new.email.as_str())
                .bind(new.email.key())
                .bind(new.username.as_str())
                .bind(new.username.key())
                .bind(new.password_hash)
                .bind(new.created_at.as_millis())
                .bind(new.verified.then(|| new.created_at.as_millis()))
                .fetch_optional(&mut *tx)
                .await?;
            if made.is_some() {
                inherit_failures!(tx, &new.held);
            }
            match (made, welcome) {
                (Some(user), Some(welcome)) => {
                    enqueue_mail!(tx, welcome.made, Some(&user), "");
                    RegisterOutcome::Done
                }
                (Some(_), None) => RegisterOutcome::Done,
                (None, Some(Welcome { taken: Some(taken), .. })) => {
                    // A taken username is reported in any case. Otherwise users could send themselves mail by
                    // registering their own username.
                    let sql = "SELECT id FROM users WHERE email_key = $1 \
                               AND NOT EXISTS (SELECT id FROM users WHERE username_key = $2)";
                    let query = sqlx::query_scalar(sql).bind(new.email.key()).bind(new.username.key());
                    let owner: Option<String> = query.fetch_optional(&mut *tx).await?;
                    match owner {
                        Some(owner) => {
                            enqueue_mail!(tx, taken, Some(&owner), "");
                            RegisterOutcome::OwnerNotified
                        }
                        None => RegisterOutcome::Taken,
                    }
                }
                (None, _) => RegisterOutcome::Taken,
            }
        }))
    }

    /// The account with this id.
    pub async fn find_user(&self, id: &str) -> Result<Option<User>, Error> {
        let sql = "SELECT id, email, username, created_at, disabled_at, email_verified_at FROM users WHERE id = $1";
        let row: Option<UserRow> =
            on_read!(self, conn => sqlx::query_as(sql).bind(id).fetch_optional(&mut *conn).await?);
        Ok(row.map(User::from))
    }

    /// The account with this email or username, and its credential.
    pub async fn find_credential(&self, identifier: &Identifier) -> Result<Option<Credential>, Error> {
        Ok(on_read!(self, conn => find!(conn, identifier)))
    }

    /// Accounts in order of creation, starting after the account `after`.
    pub async fn list_users(&self, after: &str, limit: u32) -> Result<Vec<ListedUser>, Error> {
        let sql = "SELECT id, email, username, created_at, disabled_at, email_verified_at, last_login_at FROM users \
                   WHERE id > $1 ORDER BY id LIMIT $2";
        let rows: Vec<ListedRow> = on_read!(self, conn => {
            sqlx::query_as(sql).bind(after).bind(i64::from(limit)).fetch_all(&mut *conn).await?
        });
        Ok(rows.into_iter().map(ListedUser::from).collect())
    }

    /// Replaces a hash with older parameters by a new one of the same password, unless the password was changed
    /// meanwhile (compare and swap).
    pub async fn renew_hash(&self, user: &str, old: &str, new: &str) -> Result<bool, Error> {
        let sql = "UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2";
        let rows = on_write!(self, DURABLE, tx => {
            sqlx::query(sql).bind(user).bind(old).bind(new).execute(&mut *tx).await?.rows_affected()
        });
        Ok(rows == 1)
    }

    /// Sets a new password, in one transaction. Ends every session, revokes personal access tokens, and forgets the
    /// known networks and failed logins, except those of strangers. Returns how many sessions ended.
    pub async fn set_password(&self, user: &str, hash: &str) -> Result<u64, Error> {
        let (store, user, hash) = (self.clone(), user.to_owned(), hash.to_owned());
        self.uncancelled(async move {
            let _ended = store.forget_user_afterwards(&user);
            Ok(on_write!(store, DURABLE, tx => {
                tx.lock_user(&user).await?;
                let sql = "UPDATE users SET password_hash = $2 WHERE id = $1";
                sqlx::query(sql).bind(&user).bind(&hash).execute(&mut *tx).await?;
                forget_own_failures!(tx, &user);
                end_access!(tx, &user)
            }))
        })
        .await
    }

    /// Disables an account, ends its sessions, revokes its personal access tokens and forgets its known networks, in
    /// one transaction. Enabling it again restores none of them. Returns how many sessions ended.
    pub async fn disable_user(&self, user: &str, now: Timestamp) -> Result<u64, Error> {
        let (store, user) = (self.clone(), user.to_owned());
        self.uncancelled(async move {
            let _ended = store.forget_user_afterwards(&user);
            Ok(on_write!(store, DURABLE, tx => {
                tx.lock_user(&user).await?;
                let sql = "UPDATE users SET disabled_at = COALESCE(disabled_at, $2) WHERE id = $1";
                sqlx::query(sql).bind(&user).bind(now.as_millis()).execute(&mut *tx).await?;
                end_access!(tx, &user)
            }))
        })
        .await
    }

    /// Marks an account's email as confirmed, for the operator. Links that would confirm it are revoked.
    pub async fn confirm_email(&self, user: &str, now: Timestamp) -> Result<(), Error> {
        let (store, user) = (self.clone(), user.to_owned());
        self.uncancelled(async move {
            let _forgotten = store.forget_user_afterwards(&user);
            on_write!(store, DURABLE, tx => {
                tx.lock_user(&user).await?;
                let sql = "UPDATE users SET email_verified_at = COALESCE(email_verified_at, $2) WHERE id = $1";
                sqlx::query(sql).bind(&user).bind(now.as_millis()).execute(&mut *tx).await?;
                let sql = "DELETE FROM links WHERE user_id = $1 AND kind = 'verify'";
                sqlx::query(sql).bind(&user).execute(&mut *tx).await?;
            });
            Ok(())
        })
        .await
    }

    /// Enables a disabled account. Links that restore its email have as much time left as when it was disabled.
    /// Failed logins are forgotten, except those of strangers.
    pub async fn enable_user(&self, user: &str, now: Timestamp) -> Result<(), Error> {
        on_write!(self, DURABLE, tx => {
            tx.lock_user(user).await?;
            let sql = "UPDATE links SET expires_at = expires_at + $2 - \
                       (SELECT disabled_at FROM users WHERE id = $1) \
                       WHERE user_id = $1 AND kind = 'undo_email' AND EXISTS \
                       (SELECT 1 FROM users WHERE id = $1 AND disabled_at < $2)";
            sqlx::query(sql).bind(user).bind(now.as_millis()).execute(&mut *tx).await?;
            sqlx::query("UPDATE users SET disabled_at = NULL WHERE id = $1").bind(user).execute(&mut *tx).await?;
            forget_own_failures!(tx, user);
        });
        Ok(())
    }
}
