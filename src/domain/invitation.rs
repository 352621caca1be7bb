//! The terms of an invitation.

use std::{fmt, num::ParseIntError, str::FromStr};

use serde::{Deserialize, Serialize};

/// Declares a whole number within limits.
macro_rules! bounded {
    ($(#[$doc:meta])* $name:ident, $max:literal, $text:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "u32", into = "u32")]
        pub struct $name(u32);

        impl $name {
            /// The number.
            #[must_use]
            pub const fn get(self) -> u32 {
                self.0
            }
        }

        impl TryFrom<u32> for $name {
            type Error = &'static str;

            fn try_from(number: u32) -> Result<Self, Self::Error> {
                if (1..=$max).contains(&number) { Ok(Self(number)) } else { Err($text) }
            }
        }

        impl From<$name> for u32 {
            fn from($name(number): $name) -> Self {
                number
            }
        }

        impl FromStr for $name {
            type Err = &'static str;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map_err(|_: ParseIntError| $text).and_then(|number: u32| number.try_into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

bounded!(
    /// How many days an invitation is valid.
    Days,
    90,
    "use a whole number from 1 to 90"
);

bounded!(
    /// How many accounts can register with an invitation.
    Uses,
    10_000,
    "use a whole number from 1 to 10000"
);

impl Default for Days {
    /// A week.
    fn default() -> Self {
        Self(7)
    }
}

impl Default for Uses {
    /// One account.
    fn default() -> Self {
        Self(1)
    }
}

/// A remark about an invitation: at most 200 characters, without control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Note(String);

impl Note {
    /// The longest remark, in characters.
    const MAX_CHARS: usize = 200;

    /// The text.
    #[must_use]
    pub fn into_inner(self) -> String {
        self.0
    }
}

impl TryFrom<String> for Note {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let text = text.trim();
        if text.chars().count() > Self::MAX_CHARS || text.chars().any(char::is_control) {
            return Err("use at most 200 characters in one line");
        }
        Ok(Self(text.to_owned()))
    }
}

impl From<Note> for String {
    fn from(note: Note) -> Self {
        note.0
    }
}

impl FromStr for Note {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.to_owned().try_into()
    }
}

/// An invitation to create.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InvitationRequest {
    /// The only email that can register with it. Without one, any can.
    pub email: Option<String>,
    /// How many accounts can register with it. An invitation for one email has one use.
    pub uses: Uses,
    /// How long it is valid.
    pub days: Days,
    /// The names of the groups that a new account joins.
    pub groups: Vec<String>,
    /// A remark for operators.
    pub note: Note,
    /// Whether to send the link to the email. Otherwise it is shown.
    pub send: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terms_of_an_invitation_are_limited_in_every_form() {
        for (text, valid) in [("1", true), ("90", true), ("0", false), ("91", false), ("-1", false), ("", false)] {
            assert_eq!(text.parse::<Days>().is_ok(), valid, "{text}");
            assert_eq!(serde_json::from_str::<Days>(text).is_ok(), valid, "{text}");
        }
        assert!("10000".parse::<Uses>().is_ok() && "10001".parse::<Uses>().is_err());
        assert!("n".repeat(200).parse::<Note>().is_ok() && "n".repeat(201).parse::<Note>().is_err());
        assert!("a\u{1b}[2J".parse::<Note>().is_err() && serde_json::from_str::<Note>("\"a\\nb\"").is_err());
    }
}
