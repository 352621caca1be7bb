//! The parts of the account view, each with an address of its own.

/// A part, in the order in which they are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Email and username.
    Profile,
    /// The password, and whatever else a login asks for.
    Security,
    /// Where one is logged in.
    Sessions,
    /// Personal access tokens.
    Tokens,
    /// Downloading one's data, and deleting the account.
    Data,
}

impl Part {
    /// All parts.
    pub const ALL: [Self; 5] = [Self::Profile, Self::Security, Self::Sessions, Self::Tokens, Self::Data];

    /// The part at a path without a slash at its end.
    #[must_use]
    pub fn at(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.path() == path)
    }

    /// The part's own path.
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

    /// The part's name: its heading, and the link that leads there.
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
