//! The requests that a page and a program can both send: one type for each operation with fields.
//!
//! The JSON API and the page's server functions read the same types, and parse them into domain types in the same way.

#[cfg(feature = "ssr")]
mod parse;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};

#[cfg(feature = "ssr")]
pub use self::parse::{BecomeAdminByLink, NewPassword, Parse, PasswordChange, Registration, SetUpByLink, TokenRequest};
use super::{
    invitation::{Days, Note, Uses},
    role::Role,
};

/// A field that may be missing or of another type. Both are reported when the request is parsed, with the problems of
/// the other fields.
#[derive(Clone, Default, Serialize)]
#[serde(transparent)]
pub struct Lenient<T>(Option<T>);

/// A text field.
pub type Text = Lenient<String>;

impl<T> Lenient<T> {
    /// The value, unless it is missing.
    #[must_use]
    pub fn into_inner(self) -> Option<T> {
        self.0
    }
}

impl Text {
    /// The text, unless it is missing.
    #[must_use]
    pub fn as_deref(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// The text, unless it is missing or empty.
    #[must_use]
    pub fn filled(self) -> Option<String> {
        self.0.filter(|text| !text.is_empty())
    }
}

/// Never prints the value, which may be a password.
impl<T> fmt::Debug for Lenient<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "…" } else { "missing" })
    }
}

impl<T> From<T> for Lenient<T> {
    fn from(value: T) -> Self {
        Self(Some(value))
    }
}

impl<T> From<Option<T>> for Lenient<T> {
    fn from(value: Option<T>) -> Self {
        Self(value)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(Some(text.to_owned()))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Lenient<T> {
    /// Reads an `Option`, so that serde accepts a missing field.
    fn deserialize<D: Deserializer<'de>>(field: D) -> Result<Self, D::Error> {
        Ok(Self(match Option::deserialize(field)? {
            Some(Value::Expected(value)) => Some(value),
            Some(Value::Other(_)) | None => None,
        }))
    }
}

/// A value of the expected type or of another one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Value<T> {
    Expected(T),
    Other(IgnoredAny),
}

/// Reads an optional field. A value of another type is read as the default, which must be invalid.
fn other_as_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    field: D,
) -> Result<Lenient<T>, D::Error> {
    Ok(Lenient(Option::deserialize(field)?.map(|value| match value {
        Value::Expected(value) => value,
        Value::Other(_) => T::default(),
    })))
}

/// A registration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct Register {
    /// The email address. Only one account can have it, in any spelling.
    #[cfg_attr(
        feature = "ssr",
        schema(value_type = String, format = Email, max_length = 254, example = "ann@example.org")
    )]
    pub email: Text,
    /// The public name: 3 to 32 letters, digits, dots, underscores and hyphens.
    #[cfg_attr(feature = "ssr", schema(value_type = String, min_length = 3, example = "ann"))]
    pub username: Text,
    /// The password. The operator may require more than 8 characters. Passwords that are easy to guess are refused.
    #[cfg_attr(
        feature = "ssr",
        schema(value_type = String, format = Password, min_length = 8, example = "seven green lanterns")
    )]
    pub password: Text,
    /// The part of an invitation's link after the `#`. Without it, anybody can register only while registration is open.
    #[cfg_attr(
        feature = "ssr",
        schema(value_type = Option<String>, nullable = true, pattern = "^vsi_[0-9A-Za-z]{49}$")
    )]
    #[serde(default, deserialize_with = "other_as_default")]
    pub invitation: Text,
}

/// A login. A name of another type is rejected, even if the other name is used.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct LogIn {
    /// The email or the username.
    #[cfg_attr(feature = "ssr", schema(example = "ann@example.org"))]
    pub email: Option<String>,
    /// The username. Used if `email` is missing or empty.
    pub username: Option<String>,
    /// The password.
    #[cfg_attr(
        feature = "ssr",
        schema(value_type = String, format = Password, min_length = 1, example = "seven green lanterns")
    )]
    pub password: Text,
}

/// Never prints the names. People also type their password there.
impl fmt::Debug for LogIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogIn")
    }
}

/// A confirmation of the password.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct ConfirmPassword {
    /// The account's password.
    #[cfg_attr(
        feature = "ssr",
        schema(value_type = String, format = Password, min_length = 1, example = "seven green lanterns")
    )]
    pub password: Text,
}

/// A change of the password.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct ChangePassword {
    /// The current password.
    #[cfg_attr(
        feature = "ssr",
        schema(value_type = String, format = Password, min_length = 1, example = "seven green lanterns")
    )]
    pub current_password: Text,
    /// The new password.
    #[cfg_attr(
        feature = "ssr",
        schema(value_type = String, format = Password, min_length = 8, example = "nine quiet harbours")
    )]
    pub new_password: Text,
    /// Whether to revoke every personal access token of the account as well.
    #[serde(default)]
    pub revoke_access_tokens: bool,
}

/// A change of the username.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct ChangeUsername {
    /// The new username.
    #[cfg_attr(feature = "ssr", schema(value_type = String, min_length = 3, example = "annie"))]
    pub username: Text,
}

/// An act of an operator that needs nothing but the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlainAct {
    /// Disables the account and ends its sessions.
    Disable,
    /// Enables it again.
    Enable,
    /// Lets its owner log in, after a registration that waits for it.
    Approve,
    /// Ends its sessions and revokes its access tokens.
    EndSessions,
    /// Revokes its access tokens.
    RevokeTokens,
    /// Mails its owner a link that sets a new password.
    MailPasswordLink,
}

/// A new username for an account, by an operator.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct RenameAccount {
    /// The new username. Reserved names are allowed.
    #[cfg_attr(feature = "ssr", schema(value_type = String, min_length = 3, example = "annie"))]
    pub username: Text,
}

/// A group that an account joins or leaves.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct ChangeGroup {
    /// The group's name.
    #[cfg_attr(feature = "ssr", schema(value_type = String, min_length = 1, example = "editors"))]
    pub name: Text,
}

/// The name of a new group, or the new name of a group.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct NameGroup {
    /// At most 64 letters, digits, single spaces and `. _ - : / @ +`. Capitals make no difference.
    #[cfg_attr(
        feature = "ssr",
        schema(value_type = String, min_length = 1, max_length = 64, example = "editors")
    )]
    pub name: Text,
}

/// A deletion of a group.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct DeleteGroup {
    /// Whether to delete a group that has members. They keep their accounts.
    #[serde(default)]
    pub force: bool,
}

/// An invitation to create.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Invite {
    /// The only email that can register with it. Without one, any can.
    #[cfg_attr(feature = "ssr", schema(nullable = true, format = Email, max_length = 254, example = "ann@example.org"))]
    pub email: Option<String>,
    /// How many accounts can register with it, 1 by default. An invitation for one email has one use.
    #[cfg_attr(feature = "ssr", schema(value_type = u32, minimum = 1, maximum = 10000))]
    pub uses: Uses,
    /// How many days it is valid, 7 by default.
    #[cfg_attr(feature = "ssr", schema(value_type = u32, minimum = 1, maximum = 90))]
    pub days: Days,
    /// The names of the groups that a new account joins.
    pub groups: Vec<String>,
    /// A remark for operators, in one line.
    #[cfg_attr(feature = "ssr", schema(value_type = String, max_length = 200))]
    pub note: Note,
    /// Whether to send the link to the email. Registration then confirms the email. Otherwise the response has the link's
    /// token.
    pub send: bool,
}

/// Sends an invitation again.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct SendInvitation {
    /// How many days the new link is valid, 7 by default.
    #[serde(default)]
    #[cfg_attr(feature = "ssr", schema(value_type = u32, minimum = 1, maximum = 90))]
    pub days: Days,
}

/// A new role of an account.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct ChangeRole {
    /// The role, or null to take it away.
    #[serde(deserialize_with = "Option::deserialize")]
    #[cfg_attr(feature = "ssr", schema(required))]
    pub role: Option<Role>,
}

/// A decision to decline a registration.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct DeclineAccount {
    /// Whether to notify the account's email.
    #[serde(default)]
    pub notify: bool,
}

/// A deletion. The username guards against a deletion by accident.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct DeleteAccount {
    /// The account's username.
    #[cfg_attr(feature = "ssr", schema(value_type = String, min_length = 3, example = "ann"))]
    pub username: Text,
}

/// A link from an email, and the account's password.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct FollowLink {
    /// The part of the link after the `#`.
    #[cfg_attr(feature = "ssr", schema(value_type = String, pattern = "^vsl_[0-9A-Za-z]{49}$"))]
    pub token: Text,
    /// The account's password. It is required because a click on a link alone proves nothing.
    #[cfg_attr(
        feature = "ssr",
        schema(value_type = String, format = Password, min_length = 1, example = "seven green lanterns")
    )]
    pub password: Text,
}

/// A link from an email, and the new password.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct SetPassword {
    /// The part of the link after the `#`.
    #[cfg_attr(feature = "ssr", schema(value_type = String, pattern = "^vsl_[0-9A-Za-z]{49}$"))]
    pub token: Text,
    /// The new password.
    #[cfg_attr(
        feature = "ssr",
        schema(value_type = String, format = Password, min_length = 8, example = "nine quiet harbours")
    )]
    pub new_password: Text,
}

/// The first admin: a new account, created by the link that the program prints.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct SetUp {
    /// The part of the link after the `#`.
    #[cfg_attr(feature = "ssr", schema(value_type = String, pattern = "^vsl_[0-9A-Za-z]{49}$"))]
    pub token: Text,
    /// The email address. It needs no confirmation.
    #[cfg_attr(
        feature = "ssr",
        schema(value_type = String, format = Email, max_length = 254, example = "ann@example.org")
    )]
    pub email: Text,
    /// The public name: 3 to 32 letters, digits, dots, underscores and hyphens. Reserved names such as admin are allowed.
    #[cfg_attr(feature = "ssr", schema(value_type = String, min_length = 3, example = "ann"))]
    pub username: Text,
    /// The password. The operator may require more than 8 characters. Passwords that are easy to guess are refused.
    #[cfg_attr(
        feature = "ssr",
        schema(value_type = String, format = Password, min_length = 8, example = "seven green lanterns")
    )]
    pub password: Text,
}

/// The first admin: the account of a session, by the link that the program prints.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct BecomeAdmin {
    /// The part of the link after the `#`.
    #[cfg_attr(feature = "ssr", schema(value_type = String, pattern = "^vsl_[0-9A-Za-z]{49}$"))]
    pub token: Text,
    /// The account's password.
    #[cfg_attr(
        feature = "ssr",
        schema(value_type = String, format = Password, min_length = 1, example = "seven green lanterns")
    )]
    pub password: Text,
}

/// A request for a link to set a new password.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct ForgotPassword {
    /// The account's email.
    #[cfg_attr(
        feature = "ssr",
        schema(value_type = String, format = Email, max_length = 254, example = "ann@example.org")
    )]
    pub email: Text,
}

/// A change of the email.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct ChangeEmail {
    /// The new email.
    #[cfg_attr(
        feature = "ssr",
        schema(value_type = String, format = Email, max_length = 254, example = "ann@example.com")
    )]
    pub new_email: Text,
}

/// A request for a new token.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct NewAccessToken {
    /// A name to recognise the token by.
    #[cfg_attr(feature = "ssr", schema(value_type = String, min_length = 1, example = "Nightly report"))]
    pub name: Text,
    /// What the token may do. `read` can only read. `full` can also make changes, except for calls that require a
    /// session or the password. An app that receives the token gets the scope from `me/` and can apply it too.
    #[cfg_attr(feature = "ssr", schema(value_type = super::token_scope::TokenScope, example = "read"))]
    pub scope: Text,
    /// Days until the token expires, 1 to 366.
    #[serde(default, deserialize_with = "other_as_default")]
    #[cfg_attr(feature = "ssr", schema(value_type = u64, required, minimum = 1, maximum = 366, example = 90))]
    pub days: Lenient<i64>,
}
