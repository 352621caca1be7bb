//! What both doors tell about an account and a session: the wire's types, and nothing that must stay inside. None of them
//! is flattened into another: reading that would cost every visitor 7 kB.

use serde::{Deserialize, Serialize};

use crate::error::Advice;

/// An account as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct Account {
    /// The account's identifier: a UUID, version 7.
    pub id: String,
    /// The email address as it was registered.
    pub email: String,
    /// Whether its owner has proven that it is theirs.
    pub email_verified: bool,
    /// The username as it was registered.
    pub username: String,
    /// When the account was made, RFC 3339 in UTC.
    #[cfg_attr(feature = "ssr", schema(format = DateTime))]
    pub created_at: String,
}

/// Everything that is kept about somebody, for themselves to take along.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct Export {
    /// The account.
    pub account: Account,
    /// When somebody logged in to it for the last time, RFC 3339 in UTC, if ever.
    #[cfg_attr(feature = "ssr", schema(required, format = DateTime))]
    pub last_login_at: Option<String>,
    /// Failed logins that are remembered, if there are any: of strangers, and from where its owner has logged in.
    #[cfg_attr(feature = "ssr", schema(required))]
    pub failed_logins: Option<FailedLogins>,
    /// When its owner proved that the email is theirs, RFC 3339 in UTC, if so.
    #[cfg_attr(feature = "ssr", schema(required, format = DateTime))]
    pub email_verified_at: Option<String>,
    /// The networks that it knows for 90 days after a login. Each is kept as a hash, by which only the same network is known again.
    pub known_networks: Vec<KnownNetwork>,
    /// Its sessions, those that have ended and are not swept out yet among them.
    pub sessions: Vec<ExportedSession>,
    /// Its personal access tokens, those that have ended and are not swept out yet among them.
    pub access_tokens: Vec<AccessTokenLine>,
    /// Mail about it that waits to be sent.
    pub mails: Vec<ExportedMail>,
    /// Links in mails about it that can still be followed, or are not swept out yet; without what would open them.
    pub links: Vec<ExportedLink>,
}

/// A mail that waits to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct ExportedMail {
    /// What it is to say.
    pub kind: String,
    /// Where it goes, if not to the account's address; else empty.
    pub address: String,
    /// Since when it waits, RFC 3339 in UTC.
    #[cfg_attr(feature = "ssr", schema(format = DateTime))]
    pub created_at: String,
    /// When it is due, RFC 3339 in UTC.
    #[cfg_attr(feature = "ssr", schema(format = DateTime))]
    pub due_at: String,
    /// How often it could not be sent.
    pub attempts: i64,
}

/// A link that was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct ExportedLink {
    /// What following it does.
    pub kind: String,
    /// The address that it proves, or brings back.
    pub address: String,
    /// When its mail was asked for, RFC 3339 in UTC.
    #[cfg_attr(feature = "ssr", schema(format = DateTime))]
    pub created_at: String,
    /// Until when it works, RFC 3339 in UTC.
    #[cfg_attr(feature = "ssr", schema(format = DateTime))]
    pub expires_at: String,
}

/// A network from which somebody has logged in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct KnownNetwork {
    /// When last, to the day, RFC 3339 in UTC.
    #[cfg_attr(feature = "ssr", schema(format = DateTime))]
    pub last_login_at: String,
}

/// Failed logins of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct FailedLogins {
    /// How many.
    pub count: i64,
    /// When the last one was, RFC 3339 in UTC.
    #[cfg_attr(feature = "ssr", schema(format = DateTime))]
    pub last_at: String,
}

/// A session with all that is kept of it, but for the hash of its token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct ExportedSession {
    /// As in the list of sessions.
    pub session: SessionLine,
    /// The client's own name for itself.
    pub client_name: String,
    /// When somebody logged in for the last time before, RFC 3339 in UTC, if ever.
    #[cfg_attr(feature = "ssr", schema(required, format = DateTime))]
    pub previous_login_at: Option<String>,
    /// When the password was last proven in it, RFC 3339 in UTC.
    #[cfg_attr(feature = "ssr", schema(format = DateTime))]
    pub proven_at: String,
}

/// The answer to a successful login: the only time that a token leaves the server.
#[derive(Clone, Serialize, Deserialize)]
pub struct SignIn {
    /// The bearer token.
    pub token: String,
    /// Who has signed in.
    pub identity: Identity,
}

/// How hard a password is to guess.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strength {
    /// From 0, which is guessed at once, to 4. A new password needs 3.
    pub score: u8,
    /// Why it is easy to guess, and how to find a better one; empty where it isn't.
    pub advice: Vec<Advice>,
}

/// The page's answer to a registration.
#[derive(Clone, Serialize, Deserialize)]
pub struct Registered {
    /// The account.
    pub account: Account,
    /// The session that has begun, where one may begin at once.
    pub sign_in: Option<SignIn>,
}

/// Who is behind a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The account.
    pub account: Account,
    /// When this session ends at the latest, RFC 3339 in UTC.
    pub expires_at: String,
    /// When somebody logged in to the account for the last time before this session, RFC 3339 in UTC, if ever.
    pub previous_login_at: Option<String>,
}

/// One of an account's personal access tokens, as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct AccessTokenLine {
    /// The token's identifier: a UUID, version 7. It lets nobody in.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// `read` or `full`.
    pub scope: String,
    /// When it was made, RFC 3339 in UTC.
    #[cfg_attr(feature = "ssr", schema(format = DateTime))]
    pub created_at: String,
    /// When it was last used, to the minute, RFC 3339 in UTC, if ever.
    #[cfg_attr(feature = "ssr", schema(required, format = DateTime))]
    pub last_used_at: Option<String>,
    /// When it ends, RFC 3339 in UTC.
    #[cfg_attr(feature = "ssr", schema(format = DateTime))]
    pub expires_at: String,
}

/// One of an account's sessions, as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct SessionLine {
    /// The session's identifier: a UUID, version 7. It lets nobody in.
    pub id: String,
    /// The client in words, such as "Firefox on Windows".
    pub client: String,
    /// The network that it began from, such as `192.0.2.x`; empty if it isn't known.
    pub network: String,
    /// When it began, RFC 3339 in UTC.
    #[cfg_attr(feature = "ssr", schema(format = DateTime))]
    pub created_at: String,
    /// When it was last used, to the minute, RFC 3339 in UTC.
    #[cfg_attr(feature = "ssr", schema(format = DateTime))]
    pub last_seen_at: String,
    /// When it ends at the latest, RFC 3339 in UTC.
    #[cfg_attr(feature = "ssr", schema(format = DateTime))]
    pub expires_at: String,
    /// Whether it is the session that asks.
    pub current: bool,
}
