//! The identifier that a user logs in with.

use super::{email::Email, username::Username};

/// An email or a username.
#[derive(Clone, Debug)]
pub enum Identifier {
    /// An email.
    Email(Email),
    /// A username.
    Username(Username),
    /// Neither: no account can have this identifier.
    Invalid,
}

impl Identifier {
    /// Parses an email or a username. Never fails: an invalid text is treated like the identifier of an unknown
    /// account.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Email::parse(text)
            .map(Self::Email)
            .or_else(|_| Username::parse(text).map(Self::Username))
            .unwrap_or(Self::Invalid)
    }
}
