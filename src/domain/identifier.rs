//! What somebody calls their account by.

use super::{email::Email, username::Username};

/// An email or a username.
#[derive(Clone, Debug)]
pub enum Identifier {
    /// Its email.
    Email(Email),
    /// Its username.
    Username(Username),
    /// Nothing that any account could have.
    Invalid,
}

impl Identifier {
    /// Reads an email or a username. Never fails: what can't be either is nobody's, and is treated like a name that
    /// nobody has.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Email::parse(text)
            .map(Self::Email)
            .or_else(|_| Username::parse(text).map(Self::Username))
            .unwrap_or(Self::Invalid)
    }
}
