//! Data of accounts and sessions as the page and the API return it, without anything internal. No type is flattened
//! into another, because serde's code for that would add 7 kB to every first visit.

use serde::{Deserialize, Serialize};

use super::role::Role;
use crate::error::Advice;

/// An account as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct Account {
    /// A UUID, version 7.
    pub id: String,
    /// The email address as it was registered.
    pub email: String,
    /// Whether the owner has confirmed the email.
    pub email_verified: bool,
    /// The username as it was registered.
    pub username: String,
    /// When the account was created, RFC 3339 in UTC.
    #[cfg_attr(feature = "ssr", schema(format = DateTime))]
    pub created_at: String,
    /// The role of an operator; absent for other accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "ssr", schema(nullable = false))]
    pub role: Option<Role>,
    /// The names of the groups that the account belongs to, in alphabetical order.
    #[serde(default)]
    #[cfg_attr(feature = "ssr", schema(required))]
    pub groups: Vec<String>,
}

/// An export of all data that is stored about a user. The page gets it as text.
#[cfg(feature = "ssr")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Export {
    /// The account itself.
    pub account: Account,
    /// The time of the last login, RFC 3339 in UTC; null if there was none.
    #[cfg_attr(feature = "ssr", schema(required, format = DateTime))]
    pub last_login_at: Option<String>,
    /// Recent failed logins, from known and unknown networks; null if there were none.
    #[cfg_attr(feature = "ssr", schema(required))]
    pub failed_logins: Option<FailedLogins>,
    /// When the owner confirmed the email, RFC 3339 in UTC; null if it is not confirmed.
    #[cfg_attr(feature = "ssr", schema(required, format = DateTime))]
    pub email_verified_at: Option<String>,
    /// Networks of logins in the last 90 days. Each is stored as a hash that only identifies the same network again.
    pub known_networks: Vec<KnownNetwork>,
    /// Sessions, including expired ones that are not deleted yet.
    pub sessions: Vec<ExportedSession>,
    /// Personal access tokens, including expired ones that are not deleted yet.
    pub access_tokens: Vec<AccessTokenLine>,
    /// Messages about the account in the queue.
    pub mails: Vec<ExportedMail>,
    /// Links in emails that are valid, or expired and not deleted yet; without their tokens.
    pub links: Vec<ExportedLink>,
    /// What was done to the account, the newest first.
    pub events: Vec<super::event::EventLine>,
    /// The systems that the account was imported from.
    pub imports: Vec<ExportedImport>,
}

/// The origin of an imported account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct ExportedImport {
    /// The operator's name for the other system.
    pub source: String,
    /// The account's key there.
    pub source_id: String,
    /// When it was last imported, RFC 3339 in UTC.
    #[cfg_attr(feature = "ssr", schema(format = DateTime))]
    pub imported_at: String,
}

/// A message in the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct ExportedMail {
    /// The kind of message.
    pub kind: String,
    /// The recipient; empty if it is the account's address.
    pub address: String,
    /// When it was queued, RFC 3339 in UTC.
    #[cfg_attr(feature = "ssr", schema(format = DateTime))]
    pub created_at: String,
    /// The time of the next attempt to send it, RFC 3339 in UTC.
    #[cfg_attr(feature = "ssr", schema(format = DateTime))]
    pub due_at: String,
    /// The number of failed attempts to send it.
    pub attempts: i64,
}

/// A link in an email.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct ExportedLink {
    /// What the link does.
    pub kind: String,
    /// The address that it confirms or restores.
    pub address: String,
    /// When its message was requested, RFC 3339 in UTC.
    #[cfg_attr(feature = "ssr", schema(format = DateTime))]
    pub created_at: String,
    /// When it expires, RFC 3339 in UTC.
    #[cfg_attr(feature = "ssr", schema(format = DateTime))]
    pub expires_at: String,
}

/// A network of an earlier login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct KnownNetwork {
    /// The time of the last login from it, to the day, RFC 3339 in UTC.
    #[cfg_attr(feature = "ssr", schema(format = DateTime))]
    pub last_login_at: String,
}

/// Failed logins of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct FailedLogins {
    /// The number of failed logins.
    pub count: i64,
    /// The time of the last one, RFC 3339 in UTC.
    #[cfg_attr(feature = "ssr", schema(format = DateTime))]
    pub last_at: String,
}

/// All stored data of a session, except the hash of its token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct ExportedSession {
    /// The session as in the list of sessions.
    pub session: SessionLine,
    /// The client's `User-Agent`.
    pub client_name: String,
    /// The time of the login before this session, RFC 3339 in UTC; null if there was none.
    #[cfg_attr(feature = "ssr", schema(required, format = DateTime))]
    pub previous_login_at: Option<String>,
    /// When the password was last checked in it, RFC 3339 in UTC.
    #[cfg_attr(feature = "ssr", schema(format = DateTime))]
    pub proven_at: String,
}

/// An event in the account's history, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryLine {
    /// A UUID, version 7.
    pub id: String,
    /// When it happened, RFC 3339 in UTC.
    pub at: String,
    /// What happened.
    pub text: String,
    /// The network of the client, such as `192.0.2.x`; empty if there is none.
    pub network: String,
    /// A description of the client, such as "Firefox on Windows"; empty if unknown.
    pub client: String,
}

/// A page of the account's history, the newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryPage {
    /// The events.
    pub lines: Vec<HistoryLine>,
    /// The identifier before which the next page begins; `None` on the last page.
    pub next: Option<String>,
}

/// The result of a successful login. The server returns the token only here.
#[derive(Clone, Serialize, Deserialize)]
pub struct LoginResult {
    /// The bearer token.
    pub token: String,
    /// The new session. Pages of an older version that are still open know it under this name.
    #[serde(rename = "identity")]
    pub session: CurrentSession,
}

/// How hard a password is to guess.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strength {
    /// From 0 (guessed at once) to 4. A new password requires 3.
    pub score: u8,
    /// Why the password is easy to guess, and how to choose a better one; empty if it is strong enough.
    pub advice: Vec<Advice>,
}

/// The result of a registration on the page.
#[derive(Clone, Serialize, Deserialize)]
pub struct RegistrationResult {
    /// The new account.
    pub account: Account,
    /// Whether the account waits for an operator's approval.
    pub pending: bool,
    /// The new session; `None` if the email must be confirmed or the account approved before a login.
    pub login: Option<LoginResult>,
}

/// The session of a token, and its account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurrentSession {
    /// The session's account.
    pub account: Account,
    /// The latest time at which this session expires, RFC 3339 in UTC.
    pub expires_at: String,
    /// The time of the login before this session, RFC 3339 in UTC; `None` if there was none.
    pub previous_login_at: Option<String>,
}

/// A personal access token, as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct AccessTokenLine {
    /// A UUID, version 7. It can't be used to authenticate.
    pub id: String,
    /// The name chosen by the owner.
    pub name: String,
    /// `read` or `full`.
    pub scope: String,
    /// When it was created, RFC 3339 in UTC.
    #[cfg_attr(feature = "ssr", schema(format = DateTime))]
    pub created_at: String,
    /// When it was last used, to the minute, RFC 3339 in UTC; null if never.
    #[cfg_attr(feature = "ssr", schema(required, format = DateTime))]
    pub last_used_at: Option<String>,
    /// When it expires, RFC 3339 in UTC.
    #[cfg_attr(feature = "ssr", schema(format = DateTime))]
    pub expires_at: String,
}

/// A change of the account's email that was requested and is not confirmed yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct PendingEmailChange {
    /// The address that the confirmation link is sent to.
    pub new_email: String,
    /// When the change was requested, RFC 3339 in UTC.
    #[cfg_attr(feature = "ssr", schema(format = DateTime))]
    pub requested_at: String,
}

/// A session, as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct SessionLine {
    /// A UUID, version 7. It can't be used to authenticate.
    pub id: String,
    /// A description of the client, such as "Firefox on Windows".
    pub client: String,
    /// The network of its login, such as `192.0.2.x`; empty if unknown.
    pub network: String,
    /// The time of its login, RFC 3339 in UTC.
    #[cfg_attr(feature = "ssr", schema(format = DateTime))]
    pub created_at: String,
    /// When it was last used, to the minute, RFC 3339 in UTC.
    #[cfg_attr(feature = "ssr", schema(format = DateTime))]
    pub last_seen_at: String,
    /// The latest time at which it expires, RFC 3339 in UTC.
    #[cfg_attr(feature = "ssr", schema(format = DateTime))]
    pub expires_at: String,
    /// Whether it is the session of this request.
    pub current: bool,
}
