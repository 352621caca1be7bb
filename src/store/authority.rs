//! Who may change an account: its owner with a session or access token, or the operator.

use super::{Error, Store, on_read};
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

/// $1 the session or access token, $2 the user, $3 the token's hash.
pub(super) const ACTIVE: &str = "SELECT id FROM users WHERE id = $2 AND disabled_at IS NULL AND \
    (EXISTS (SELECT 1 FROM sessions WHERE id = $1 AND user_id = $2 AND token_hash = $3) \
     OR EXISTS (SELECT 1 FROM access_tokens WHERE id = $1 AND user_id = $2 AND token_hash = $3))";

/// Whether the session or access token still has the same token, and its account is enabled.
macro_rules! is_active {
    ($conn:ident, $asking:expr) => {{
        let asking: &$crate::store::Asking = $asking;
        let query = sqlx::query_scalar($crate::store::authority::ACTIVE).bind(&asking.id).bind(&asking.user);
        let found: Option<String> =
            query.bind(asking.token_hash.as_bytes().as_slice()).fetch_optional(&mut *$conn).await?;
        found.is_some()
    }};
}

pub(super) use is_active;

/// Locks an account. Returns whether it is enabled and the session or access token still has the same token. A
/// session that was renewed since the check has another token, and the old one is no longer valid.
macro_rules! lock_active {
    ($tx:ident, $asking:expr) => {{
        let asking: &$crate::store::Asking = $asking;
        $tx.lock_user(&asking.user).await?;
        $crate::store::authority::is_active!($tx, asking)
    }};
}

pub(super) use lock_active;

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

/// Locks an account, and returns whether it may be changed with this authority.
macro_rules! lock_authorized {
    ($tx:ident, $authority:expr) => {{
        let authority: &$crate::store::Authority = $authority;
        match authority {
            $crate::store::Authority::Asking(asking) => $crate::store::authority::lock_active!($tx, asking),
            $crate::store::Authority::Operator { user } => {
                $tx.lock_user(user).await?;
                true
            }
        }
    }};
}

pub(super) use lock_authorized;

impl Store {
    /// Whether the session or access token still has the same token, and its account is enabled.
    pub async fn still_asks(&self, asking: &Asking) -> Result<bool, Error> {
        Ok(on_read!(self, conn => is_active!(conn, asking)))
    }
}
