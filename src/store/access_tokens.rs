//! Personal access tokens.

use super::{
    Asking, DURABLE, Error, NewMail, Store, User, UserRow, authority::lock_active, lock::Locks, mail::enqueue_mail,
    on_read, on_write,
};
use crate::domain::{time::Timestamp, token::TokenHash, token_name::TokenName, token_scope::TokenScope};

/// A token to create.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are columns of the table")]
pub struct NewAccessToken {
    /// A UUID, version 7.
    pub id: String,
    pub token_hash: TokenHash,
    /// The owner's name for the token.
    pub name: TokenName,
    pub scope: TokenScope,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

/// A token in a list for its owner. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
#[expect(missing_docs, reason = "the fields are columns of the table")]
pub struct AccessTokenRecord {
    /// A UUID, version 7.
    pub id: String,
    /// The owner's name for the token.
    pub name: String,
    /// The name of its scope.
    pub scope: String,
    pub created_at: i64,
    /// Accurate to the minute.
    pub last_used_at: Option<i64>,
    pub expires_at: i64,
}

/// A token with its owner.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "most fields are columns of the table")]
pub struct AccessToken {
    /// A UUID, version 7.
    pub id: String,
    /// The owner. Never a disabled account.
    pub user: User,
    pub token_hash: TokenHash,
    pub scope: TokenScope,
    /// When it was created.
    pub begun_at: Timestamp,
    /// Accurate to the minute.
    pub last_used_at: Option<Timestamp>,
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

/// The result of creating a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssueOutcome {
    /// The token was created.
    Done,
    /// The account has the maximum number of tokens.
    TooMany,
    /// The requesting session has ended.
    SessionEnded,
}

/// Revokes every token of an account. Used when its password is set without the old one.
macro_rules! revoke_access_tokens {
    ($tx:ident, $user:expr) => {{
        sqlx::query("DELETE FROM access_tokens WHERE user_id = $1").bind($user).execute(&mut *$tx).await?;
    }};
}

pub(super) use revoke_access_tokens;

impl Store {
    /// Creates a token for an account that has fewer than `most`, and enqueues `notice` for the owner.
    pub async fn add_access_token(
        &self,
        asking: &Asking,
        new: NewAccessToken,
        most: u32,
        notice: Option<&NewMail>,
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
                    if let Some(notice) = notice {
                        enqueue_mail!(tx, notice, Some(user), "");
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

    /// The tokens of an account that expire after `now`, the newest first. Tokens created in the future, because the
    /// clock was put back, are included: they are valid and can be revoked.
    pub async fn list_access_tokens(&self, user: &str, now: Timestamp) -> Result<Vec<AccessTokenRecord>, Error> {
        let sql = "SELECT id, name, scope, created_at, last_used_at, expires_at FROM access_tokens \
                   WHERE user_id = $1 AND expires_at > $2 ORDER BY created_at DESC, id DESC";
        Ok(on_read!(self, conn => {
            sqlx::query_as(sql).bind(user).bind(now.as_millis()).fetch_all(&mut *conn).await?
        }))
    }

    /// The token with this hash, even if it has expired.
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

    /// Revokes a token. When this returns, no server accepts it any more.
    pub async fn revoke_access_token(&self, id: &str) -> Result<(), Error> {
        on_write!(self, DURABLE, tx => {
            sqlx::query("DELETE FROM access_tokens WHERE id = $1").bind(id).execute(&mut *tx).await?;
        });
        Ok(())
    }

    /// Revokes a token of an account. Returns `false` if the account has no token with this id, or `None` if the
    /// requesting session or token has ended.
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
