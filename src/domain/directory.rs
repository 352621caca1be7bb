//! Accounts as operators see them, and how they are listed.

use serde::{Deserialize, Serialize};

use super::{
    account::{AccessTokenLine, FailedLogins, SessionLine},
    page_size::PageSize,
    role::Role,
};

/// Whether an account can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AccountState {
    /// Its owner can log in.
    Enabled,
    /// An operator disabled it, so nobody can log in.
    Disabled,
    /// It waits for an operator's approval, so nobody can log in.
    Pending,
}

/// A filter by role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names of the roles say it")]
pub enum RoleFilter {
    /// No role.
    None,
    /// Any role.
    Any,
    Admin,
    Support,
    Auditor,
}

impl AccountState {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Enabled, Self::Disabled, Self::Pending];

    /// Its name in the API and in statements.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Pending => "pending",
        }
    }
}

impl RoleFilter {
    /// All filters.
    pub const ALL: [Self; 5] = [Self::Any, Self::Admin, Self::Support, Self::Auditor, Self::None];

    /// Its name in the API and in statements.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Any => "any",
            Self::Admin => "admin",
            Self::Support => "support",
            Self::Auditor => "auditor",
        }
    }

    /// Whether a role passes.
    #[must_use]
    pub fn includes(self, role: Option<Role>) -> bool {
        match self {
            Self::None => role.is_none(),
            Self::Any => role.is_some(),
            Self::Admin => role == Some(Role::Admin),
            Self::Support => role == Some(Role::Support),
            Self::Auditor => role == Some(Role::Auditor),
        }
    }
}

/// A filter by the state of the email.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum EmailFilter {
    /// The owner or an operator has confirmed it.
    Confirmed,
    /// Nobody has.
    Unconfirmed,
}

impl EmailFilter {
    /// All filters.
    pub const ALL: [Self; 2] = [Self::Confirmed, Self::Unconfirmed];

    /// Its name in the API and in statements.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Unconfirmed => "unconfirmed",
        }
    }
}

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AccountOrder {
    /// By creation, the newest first.
    #[default]
    Newest,
    /// By creation, the oldest first.
    Oldest,
    /// By username.
    Username,
    /// By email.
    Email,
}

impl AccountOrder {
    /// All orders.
    pub const ALL: [Self; 4] = [Self::Newest, Self::Oldest, Self::Username, Self::Email];

    /// Its name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Oldest => "oldest",
            Self::Username => "username",
            Self::Email => "email",
        }
    }
}

/// Which accounts to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "ssr", into_params(parameter_in = Query))]
pub struct AccountQuery {
    /// A part of the email or the username, in any case. A whole email, username or id is listed first.
    #[cfg_attr(feature = "ssr", param(value_type = String, required = false))]
    pub search: Option<String>,
    /// The state.
    #[cfg_attr(feature = "ssr", param(value_type = AccountState, required = false, inline))]
    pub state: Option<AccountState>,
    /// The role.
    #[cfg_attr(feature = "ssr", param(value_type = RoleFilter, required = false, inline))]
    pub role: Option<RoleFilter>,
    /// The name of a group.
    #[cfg_attr(feature = "ssr", param(value_type = String, required = false))]
    pub group: Option<String>,
    /// Whether the email is confirmed.
    #[cfg_attr(feature = "ssr", param(value_type = EmailFilter, required = false, inline))]
    pub email: Option<EmailFilter>,
    /// The order; by default the newest account first.
    #[cfg_attr(feature = "ssr", param(value_type = AccountOrder, required = false, inline))]
    pub sort: Option<AccountOrder>,
    /// Where to continue: `next` of the previous response.
    #[cfg_attr(feature = "ssr", param(value_type = String, required = false))]
    pub after: Option<String>,
    /// The number of accounts, 50 by default.
    #[cfg_attr(feature = "ssr", param(value_type = u32, required = false, minimum = 1, maximum = 200))]
    #[serde(default)]
    pub limit: PageSize,
}

/// An account in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct AccountLine {
    /// A UUID, version 7.
    pub id: String,
    /// The email.
    pub email: String,
    /// Whether the email is confirmed.
    pub email_verified: bool,
    /// The username.
    pub username: String,
    /// Whether the account can be used.
    pub state: AccountState,
    /// The role; null for most accounts.
    #[cfg_attr(feature = "ssr", schema(required))]
    pub role: Option<Role>,
    /// The names of its groups, in alphabetical order.
    pub groups: Vec<String>,
    /// When it was created, RFC 3339 in UTC.
    #[cfg_attr(feature = "ssr", schema(format = DateTime))]
    pub created_at: String,
    /// The last login, RFC 3339 in UTC; null if there was none.
    #[cfg_attr(feature = "ssr", schema(required, format = DateTime))]
    pub last_login_at: Option<String>,
}

/// A part of a list of accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct AccountPage {
    /// The accounts that match.
    pub accounts: Vec<AccountLine>,
    /// The number of all accounts: exact up to 20,000, otherwise as it was counted in the last ten minutes.
    #[cfg_attr(feature = "ssr", schema(minimum = 0))]
    pub about: i64,
    /// How many accounts the server has examined for this response. It stops after some ten thousand.
    #[cfg_attr(feature = "ssr", schema(minimum = 0))]
    pub examined: i64,
    /// Whether no further account matches. If it is false, there may be more, even if this list is empty.
    pub complete: bool,
    /// The value of `after` for the next request; null if the list is complete.
    #[cfg_attr(feature = "ssr", schema(required))]
    pub next: Option<String>,
}

/// An account with its details. It contains no secret, and no address more precise than a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct AccountDetails {
    /// The account as in the list.
    pub account: AccountLine,
    /// When it was disabled, RFC 3339 in UTC; null if it is enabled.
    #[cfg_attr(feature = "ssr", schema(required, format = DateTime))]
    pub disabled_at: Option<String>,
    /// Since when it waits for approval, RFC 3339 in UTC; null if it doesn't.
    #[cfg_attr(feature = "ssr", schema(required, format = DateTime))]
    pub pending_since: Option<String>,
    /// When the email was confirmed, RFC 3339 in UTC; null if it is not.
    #[cfg_attr(feature = "ssr", schema(required, format = DateTime))]
    pub email_verified_at: Option<String>,
    /// Recent failed logins of strangers; null if there were none.
    #[cfg_attr(feature = "ssr", schema(required))]
    pub failed_logins: Option<FailedLogins>,
    /// The active sessions, the most recently used first.
    pub sessions: Vec<SessionLine>,
    /// The valid personal access tokens, the newest first.
    pub access_tokens: Vec<AccessTokenLine>,
}
