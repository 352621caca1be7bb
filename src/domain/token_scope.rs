//! What a personal access token may do.

use serde::{Deserialize, Serialize};

/// What a personal access token may do. An app that is shown one learns it from `me/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum TokenScope {
    /// Tell, and change nothing.
    Read,
    /// Change things as well, but for what its owner must prove the password for.
    Full,
}

impl TokenScope {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Read, Self::Full];

    /// The scope's name, on the wire and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Full => "full",
        }
    }

    /// The scope of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }
}
