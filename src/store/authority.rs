//! Who may change an account: its owner with a session or access token, or an operator. And who may change what belongs to
//! no account.

use super::{
    Error, Store,
    tx::{Conn, Tx, values},
};
use crate::{
    domain::{
        act::{Act, Duty},
        role::Role,
        token::TokenHash,
    },
    error::AppError,
};

/// The session or personal access token of a request, as it was when it was checked.
#[derive(Clone, Debug)]
pub struct CheckedToken {
    /// The account.
    pub user: String,
    /// The id of the session or token, which a renewal doesn't change.
    pub id: String,
    /// The hash of the token when it was checked. A renewal changes it.
    pub token_hash: TokenHash,
}

/// Whether the session or access token still has the same token, and its account is enabled.
async fn is_active(conn: &mut Conn<'_>, checked: &CheckedToken) -> Result<bool, Error> {
    let sql = "SELECT id FROM users WHERE id = $2 AND disabled_at IS NULL AND \
               (EXISTS (SELECT 1 FROM sessions WHERE id = $1 AND user_id = $2 AND token_hash = $3) \
                OR EXISTS (SELECT 1 FROM access_tokens WHERE id = $1 AND user_id = $2 AND token_hash = $3))";
    conn.exists(sql, values![&checked.id, &checked.user, &checked.token_hash]).await
}

/// Locks an account. Returns whether it is enabled and the session or access token still has the same token. A
/// session that was renewed since the check has another token, and the old one is no longer valid.
pub(super) async fn lock_active(tx: &mut Tx<'_>, checked: &CheckedToken) -> Result<bool, Error> {
    tx.lock_user(&checked.user).await?;
    is_active(tx, checked).await
}

/// Locks an account, and returns whether it may be changed with this authority. Returns [`Error::Denied`] if an
/// operator's role doesn't allow it.
pub(super) async fn lock_authorized(tx: &mut Tx<'_>, authority: &Authority) -> Result<bool, Error> {
    match authority {
        Authority::Owner(checked) => lock_active(tx, checked).await,
        Authority::Operator { user } => tx.lock_user(user).await.map(|()| true),
        Authority::Permit { actor, act, user } => lock_permitted(tx, actor, *act, user).await.map(|()| true),
    }
}

/// Locks the accounts of an operator and of the one to change, in a fixed order, so that two operators who change each
/// other's account can't deadlock. Then checks the operator's session and both roles.
async fn lock_permitted(tx: &mut Tx<'_>, actor: &CheckedToken, act: Act, user: &str) -> Result<(), Error> {
    let mut accounts = [actor.user.as_str(), user];
    accounts.sort_unstable();
    for account in accounts {
        tx.lock_user(account).await?;
    }
    if !is_active(tx, actor).await? {
        return Err(Error::Denied(AppError::SessionEnded));
    }
    let role = role_of(tx, &actor.user).await?.flatten();
    let target = role_of(tx, user).await?.ok_or(Error::Denied(AppError::NotFound))?;
    act.check(role, target, actor.user == user).map_err(Error::Denied)
}

/// Checks the authority to change what belongs to no account. Locks the account of an operator with a session.
///
/// Returns [`Error::Denied`] if the session has ended or the role doesn't allow it.
pub(super) async fn lock_mandated(tx: &mut Tx<'_>, mandate: &Mandate) -> Result<(), Error> {
    let Mandate::Permit { actor, duty } = mandate else { return Ok(()) };
    if !lock_active(tx, actor).await? {
        return Err(Error::Denied(AppError::SessionEnded));
    }
    duty.check(role_of(tx, &actor.user).await?.flatten()).map_err(Error::Denied)
}

/// An account's role. `None` if there is no such account.
async fn role_of(conn: &mut Conn<'_>, user: &str) -> Result<Option<Option<Role>>, Error> {
    let found: Option<(Option<String>,)> =
        conn.fetch_optional("SELECT role FROM users WHERE id = $1", values![user]).await?;
    Ok(found.map(|(name,)| name.and_then(|name| Role::named(&name))))
}

/// Who may change an account.
#[derive(Clone, Debug)]
pub enum Authority {
    /// The owner, by a session.
    Owner(CheckedToken),
    /// The operator, without a session.
    Operator {
        /// The account to change.
        user: String,
    },
    /// An operator with a session, as far as the role allows.
    Permit {
        /// The operator's session.
        actor: CheckedToken,
        /// What the operator does.
        act: Act,
        /// The account to change.
        user: String,
    },
}

/// Who may change what belongs to no account: a group or an invitation.
#[derive(Clone, Debug)]
pub enum Mandate {
    /// The operator, without a session.
    Operator,
    /// An operator with a session, as far as the role allows.
    Permit {
        /// The operator's session.
        actor: CheckedToken,
        /// What the operator does.
        duty: Duty,
    },
}

impl Authority {
    /// The account to change.
    #[must_use]
    pub fn user(&self) -> &str {
        match self {
            Self::Owner(checked) => &checked.user,
            Self::Operator { user } | Self::Permit { user, .. } => user,
        }
    }
}

impl Store {
    /// Whether the session or access token still has the same token, and its account is enabled.
    pub async fn is_token_active(&self, checked: &CheckedToken) -> Result<bool, Error> {
        self.read(async |conn| is_active(conn, checked).await).await
    }
}
