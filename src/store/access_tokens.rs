//! Personal access tokens.

use super::{
    Authority, CheckedToken, Error, NewMail, Store, User, UserRow,
    access::revoke_access_tokens,
    authority::{lock_active, lock_authorized},
    begin::DURABLE,
    events::{Event, record},
    mail::enqueue_mail,
    tx::{Tx, values},
    users::select_users,
};
use crate::domain::{
    event::{Details, EventName, Stamp},
    time::Timestamp,
    token::TokenHash,
    token_name::TokenName,
    token_scope::TokenScope,
};

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

/// Adds the event of a revoked token.
async fn record_revocation(tx: &mut Tx<'_>, stamp: &Stamp, user: &str, token: &str) -> Result<(), Error> {
    let details = Details { token: Some(token.to_owned()), ..Details::default() };
    record(tx, stamp, Event::of(EventName::TokenRevoke, user).with(details)).await
}

impl Store {
    /// Creates a token for an account that has fewer than `most`, and enqueues `notice` for the owner.
    pub async fn add_access_token(
        &self,
        checked: &CheckedToken,
        new: NewAccessToken,
        most: u32,
        notice: Option<&NewMail>,
        stamp: &Stamp,
    ) -> Result<IssueOutcome, Error> {
        let sql = "INSERT INTO access_tokens (id, user_id, token_hash, name, scope, created_at, expires_at) \
                   SELECT $1, $2, $3, $4, $5, $6, $7 \
                   WHERE (SELECT COUNT(*) FROM access_tokens WHERE user_id = $2 AND expires_at > $6) < $8";
        self.write(DURABLE, async |tx| {
            let user = &checked.user;
            if !lock_active(tx, checked).await? {
                return Ok(IssueOutcome::SessionEnded);
            }
            let values = values![
                &new.id,
                user,
                &new.token_hash,
                new.name.as_str(),
                new.scope.name(),
                new.created_at,
                new.expires_at,
                most,
            ];
            if tx.execute(sql, values).await? == 0 {
                return Ok(IssueOutcome::TooMany);
            }
            if let Some(notice) = notice {
                enqueue_mail(tx, notice, Some(user), "").await?;
            }
            let details = Details { token: Some(new.id.clone()), scope: Some(new.scope), ..Details::default() };
            record(tx, stamp, Event::of(EventName::TokenCreate, user).with(details)).await?;
            Ok(IssueOutcome::Done)
        })
        .await
    }

    /// The tokens of an account that expire after `now`, the newest first. Tokens created in the future, because the
    /// clock was put back, are included: they are valid and can be revoked.
    pub async fn list_access_tokens(&self, user: &str, now: Timestamp) -> Result<Vec<AccessTokenRecord>, Error> {
        let sql = "SELECT id, name, scope, created_at, last_used_at, expires_at FROM access_tokens \
                   WHERE user_id = $1 AND expires_at > $2 ORDER BY created_at DESC, id DESC";
        self.read(async |conn| conn.fetch_all(sql, values![user, now]).await).await
    }

    /// The token with this hash, even if it has expired.
    pub async fn find_access_token(&self, hash: &TokenHash) -> Result<Option<AccessToken>, Error> {
        let sql = select_users!(
            ", access_tokens.id AS token_id, scope, access_tokens.created_at AS begun_at, last_used_at, expires_at",
            "JOIN access_tokens ON user_id = users.id WHERE token_hash = $1 AND disabled_at IS NULL"
        );
        let row: Option<AccessTokenRow> = self.read(async |conn| conn.fetch_optional(sql, values![hash]).await).await?;
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
    pub async fn revoke_access_token(&self, token: &AccessToken, stamp: &Stamp) -> Result<(), Error> {
        let sql = "DELETE FROM access_tokens WHERE id = $1";
        self.write(DURABLE, async |tx| {
            if tx.execute(sql, values![&token.id]).await? == 1 {
                record_revocation(tx, stamp, &token.user.id, &token.id).await?;
            }
            Ok(())
        })
        .await
    }

    /// Deletes a token that has expired, which is no event.
    pub async fn delete_expired_access_token(&self, id: &str) -> Result<(), Error> {
        let sql = "DELETE FROM access_tokens WHERE id = $1";
        self.write(DURABLE, async |tx| tx.execute(sql, values![id]).await.map(drop)).await
    }

    /// Revokes all tokens of an account. Returns how many.
    pub async fn revoke_access_tokens_of(&self, authority: Authority, stamp: &Stamp) -> Result<u64, Error> {
        self.write(DURABLE, async |tx| {
            let user = authority.user();
            lock_authorized(tx, &authority).await?;
            let revoked = revoke_access_tokens(tx, user).await?;
            if revoked > 0 {
                let details = Details { tokens_revoked: Some(true), ..Details::default() };
                record(tx, stamp, Event::of(EventName::TokenRevoke, user).with(details)).await?;
            }
            Ok(revoked)
        })
        .await
    }

    /// Revokes a token of an account. Returns `false` if the account has no token with this id, or `None` if the
    /// requesting session or token has ended.
    pub async fn revoke_access_token_of(
        &self,
        checked: &CheckedToken,
        id: &str,
        stamp: &Stamp,
    ) -> Result<Option<bool>, Error> {
        self.write(DURABLE, async |tx| {
            if !lock_active(tx, checked).await? {
                return Ok(None);
            }
            let sql = "DELETE FROM access_tokens WHERE id = $1 AND user_id = $2";
            let revoked = tx.execute(sql, values![id, &checked.user]).await? == 1;
            if revoked {
                record_revocation(tx, stamp, &checked.user, id).await?;
            }
            Ok(Some(revoked))
        })
        .await
    }
}
