//! The parts of the account view. Each has its own path.

/// A part of the account view. The variants are in the order of the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Email and username.
    Profile,
    /// The password and other credentials.
    Security,
    /// The list of sessions.
    Sessions,
    /// Personal access tokens.
    Tokens,
    /// Data export and account deletion.
    Data,
}

impl Part {
    /// All parts.
    pub const ALL: [Self; 5] = [Self::Profile, Self::Security, Self::Sessions, Self::Tokens, Self::Data];

    /// The part at a path without a trailing slash.
    #[must_use]
    pub fn at(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.path() == path)
    }

    /// The part's path.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Profile => "/account",
            Self::Security => "/account/security",
            Self::Sessions => "/account/sessions",
            Self::Tokens => "/account/tokens",
            Self::Data => "/account/data",
        }
    }

    /// The part's name, for its heading and the navigation.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Profile => "Profile",
            Self::Security => "Security",
            Self::Sessions => "Sessions",
            Self::Tokens => "Tokens",
            Self::Data => "Data",
        }
    }
}
