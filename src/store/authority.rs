//! Who may change an account: its owner with a session or access token, or the operator.

use super::{
    Error, Store,
    tx::{Conn, Tx, values},
};
use crate::domain::token::TokenHash;

/// The session or personal access token of a request, as it was when it was checked.
#[derive(Clone, Debug)]
pub struct Asking {
    /// The account.
    pub user: String,
    /// The id of the session or token, which a renewal doesn't change.
    pub id: String,
    /// The hash of the token when it was checked. A renewal changes it.
    pub token_hash: TokenHash,
}

/// Whether the session or access token still has the same token, and its account is enabled.
async fn is_active(conn: &mut Conn<'_>, asking: &Asking) -> Result<bool, Error> {
    let sql = "SELECT id FROM users WHERE id = $2 AND disabled_at IS NULL AND \
               (EXISTS (SELECT 1 FROM sessions WHERE id = $1 AND user_id = $2 AND token_hash = $3) \
                OR EXISTS (SELECT 1 FROM access_tokens WHERE id = $1 AND user_id = $2 AND token_hash = $3))";
    conn.exists(sql, values![&asking.id, &asking.user, &asking.token_hash]).await
}

/// Locks an account. Returns whether it is enabled and the session or access token still has the same token. A
/// session that was renewed since the check has another token, and the old one is no longer valid.
pub(super) async fn lock_active(tx: &mut Tx<'_>, asking: &Asking) -> Result<bool, Error> {
    tx.lock_user(&asking.user).await?;
    is_active(tx, asking).await
}

/// Locks an account, and returns whether it may be changed with this authority.
pub(super) async fn lock_authorized(tx: &mut Tx<'_>, authority: &Authority) -> Result<bool, Error> {
    match authority {
        Authority::Asking(asking) => lock_active(tx, asking).await,
        Authority::Operator { user } => tx.lock_user(user).await.map(|()| true),
    }
}

/// Who may change an account.
#[derive(Clone, Debug)]
pub enum Authority {
    /// The owner, by a session.
    Asking(Asking),
    /// The operator, without a session.
    Operator {
        /// The account to change.
        user: String,
    },
}

impl Authority {
    pub(super) fn user(&self) -> &str {
        match self {
            Self::Asking(asking) => &asking.user,
            Self::Operator { user } => user,
        }
    }
}

impl Store {
    /// Whether the session or access token still has the same token, and its account is enabled.
    pub async fn still_asks(&self, asking: &Asking) -> Result<bool, Error> {
        self.read(async |conn| is_active(conn, asking).await).await
    }
}
