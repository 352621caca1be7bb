//! Personal access tokens.

use super::{
    Asking, DURABLE, Error, NewMail, Store, User, UserRow, lock::Locks, mail::enqueue_mail, on_read, on_write,
    own::lock_active,
};
use crate::domain::{time::Timestamp, token::TokenHash, token_name::TokenName, token_scope::TokenScope};

/// A token to be made.
#[derive(Clone, Debug)]
pub struct NewAccessToken {
    /// A UUID, version 7.
    pub id: String,
    /// What it hashes to.
    pub token_hash: TokenHash,
    /// What its owner calls it.
    pub name: TokenName,
    /// What it may do.
    pub scope: TokenScope,
    /// Now.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A token in a list of its owner's. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct AccessTokenRecord {
    /// A UUID, version 7.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// The name of its scope.
    pub scope: String,
    /// When it was made.
    pub created_at: i64,
    /// When it was last used, to the minute, if ever.
    pub last_used_at: Option<i64>,
    /// When it ends.
    pub expires_at: i64,
}

/// A token with its owner.
#[derive(Clone, Debug)]
pub struct AccessToken {
    /// A UUID, version 7.
    pub id: String,
    /// Whose it is. Never a disabled account.
    pub user: User,
    /// What it hashes to.
    pub token_hash: TokenHash,
    /// What it may do.
    pub scope: TokenScope,
    /// When it was made.
    pub begun_at: Timestamp,
    /// When it was last used, to the minute, if ever.
    pub last_used_at: Option<Timestamp>,
    /// When it ends.
    pub expires_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct AccessTokenRow {
    token_id: String,
    scope: String,
    begun_at: i64,
    last_used_at: Option<i64>,
    expires_at: i64,
    #[sqlx(flatten)]
    user: UserRow,
}

/// What came of the wish for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssueOutcome {
    /// It is there.
    Done,
    /// The account has as many as it may.
    TooMany,
    /// The session that asked has ended.
    SessionEnded,
}

/// Revokes every token of an account: for a new password that was set without the old one.
macro_rules! revoke_access_tokens {
    ($tx:ident, $user:expr) => {{
        sqlx::query("DELETE FROM access_tokens WHERE user_id = $1").bind($user).execute(&mut *$tx).await?;
    }};
}

pub(super) use revoke_access_tokens;

impl Store {
    /// Makes a token for an account that has fewer than `most`, and posts what the owner is to be told.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn add_access_token(
        &self,
        asking: &Asking,
        new: NewAccessToken,
        most: u32,
        told: Option<&NewMail>,
    ) -> Result<IssueOutcome, Error> {
        Ok(on_write!(self, DURABLE, tx => {
            let user = &asking.user;
            if lock_active!(tx, asking) {
                let sql = "INSERT INTO access_tokens (id, user_id, token_hash, name, scope, created_at, expires_at) \
                           SELECT $1, $2, $3, $4, $5, $6, $7 \
                           WHERE (SELECT COUNT(*) FROM access_tokens WHERE user_id = $2 AND expires_at > $6) < $8";
                let rows = sqlx::query(sql)
                    .bind(&new.id)
                    .bind(user)
                    .bind(new.token_hash.as_bytes().as_slice())
                    .bind(new.name.as_str())
                    .bind(new.scope.name())
                    .bind(new.created_at.as_millis())
                    .bind(new.expires_at.as_millis())
                    .bind(i64::from(most))
                    .execute(&mut *tx)
                    .await?
                    .rows_affected();
                if rows == 1 {
                    if let Some(told) = told {
                        enqueue_mail!(tx, told, Some(user), "");
                    }
                    IssueOutcome::Done
                } else {
                    IssueOutcome::TooMany
                }
            } else {
                IssueOutcome::SessionEnded
            }
        }))
    }

    /// The tokens of an account that end after a time, the youngest first. Those that the clock has yet to reach are among them:
    /// they count, and can be revoked.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn list_access_tokens(&self, user: &str, now: Timestamp) -> Result<Vec<AccessTokenRecord>, Error> {
        let sql = "SELECT id, name, scope, created_at, last_used_at, expires_at FROM access_tokens \
                   WHERE user_id = $1 AND expires_at > $2 ORDER BY created_at DESC, id DESC";
        Ok(on_read!(self, conn => {
            sqlx::query_as(sql).bind(user).bind(now.as_millis()).fetch_all(&mut *conn).await?
        }))
    }

    /// The token that hashes to this, even if its time is over.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn find_access_token(&self, hash: &TokenHash) -> Result<Option<AccessToken>, Error> {
        let sql = "SELECT t.id AS token_id, t.scope, t.created_at AS begun_at, t.last_used_at, t.expires_at, \
                   u.id, u.email, u.username, u.created_at, u.disabled_at, u.email_verified_at \
                   FROM access_tokens t JOIN users u ON u.id = t.user_id \
                   WHERE t.token_hash = $1 AND u.disabled_at IS NULL";
        let row: Option<AccessTokenRow> = on_read!(self, conn => {
            sqlx::query_as(sql).bind(hash.as_bytes().as_slice()).fetch_optional(&mut *conn).await?
        });
        Ok(row.and_then(|row| {
            Some(AccessToken {
                id: row.token_id,
                user: row.user.into(),
                token_hash: *hash,
                scope: TokenScope::named(&row.scope)?,
                begun_at: Timestamp::from_millis(row.begun_at),
                last_used_at: row.last_used_at.map(Timestamp::from_millis),
                expires_at: Timestamp::from_millis(row.expires_at),
            })
        }))
    }

    /// Revokes a token by itself. When this returns, no server takes it any more.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn revoke_access_token(&self, id: &str) -> Result<(), Error> {
        on_write!(self, DURABLE, tx => {
            sqlx::query("DELETE FROM access_tokens WHERE id = $1").bind(id).execute(&mut *tx).await?;
        });
        Ok(())
    }

    /// Revokes a token of an account. `false` if the account has none of this name; `None` if what asks, a session or a token, has
    /// ended.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn revoke_access_token_of(&self, asking: &Asking, id: &str) -> Result<Option<bool>, Error> {
        Ok(on_write!(self, DURABLE, tx => {
            if lock_active!(tx, asking) {
                let sql = "DELETE FROM access_tokens WHERE id = $1 AND user_id = $2";
                Some(sqlx::query(sql).bind(id).bind(&asking.user).execute(&mut *tx).await?.rows_affected() == 1)
            } else {
                None
            }
        }))
    }
}
