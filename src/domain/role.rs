//! Roles of operators.

use serde::{Deserialize, Serialize};

/// What an operator works on. Most accounts have no role. `me/` returns it, so that an app can use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Runs the service.
    Admin,
    /// Helps its users.
    Support,
    /// Only looks.
    Auditor,
}

impl Role {
    /// All roles, those with the most rights first.
    pub const ALL: [Self; 3] = [Self::Admin, Self::Support, Self::Auditor];

    /// The role's name in the API, the database and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Support => "support",
            Self::Auditor => "auditor",
        }
    }

    /// The role with a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}
