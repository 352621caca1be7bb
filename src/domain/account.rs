//! What both doors tell about an account and a session: the wire's types, and nothing that must stay inside.

use serde::{Deserialize, Serialize};

/// An account as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The account's identifier: a UUID, version 7.
    pub id: String,
    /// The email address as it was registered.
    pub email: String,
    /// The username as it was registered.
    pub username: String,
    /// When the account was made, RFC 3339 in UTC.
    pub created_at: String,
}

/// The answer to a successful login: the only time that a token leaves the server.
#[derive(Clone, Serialize, Deserialize)]
pub struct SignIn {
    /// The bearer token.
    pub token: String,
    /// When the session ends at the latest, RFC 3339 in UTC.
    pub expires_at: String,
    /// Who has signed in.
    pub account: Account,
}

/// Who is behind a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The account.
    #[serde(flatten)]
    pub account: Account,
    /// When this session ends at the latest, RFC 3339 in UTC.
    pub expires_at: String,
}
