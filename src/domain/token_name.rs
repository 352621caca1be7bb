//! Names of personal access tokens.

use crate::error::Problem;

/// The maximum length, in characters.
const MAX_CHARS: usize = 64;

/// A name by which the owner recognises the program that uses the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenName(String);

impl TokenName {
    /// Parses a name. White space around it is removed. [`Problem::TokenNameCharacter`] rejects characters that are
    /// invisible or change the direction of the surrounding text.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let name = text.trim();
        if name.is_empty() {
            return Err(Problem::Missing);
        }
        if name.chars().count() > MAX_CHARS {
            return Err(Problem::NameTooLong);
        }
        if name.chars().any(|c| c.is_control() || is_format(c)) {
            return Err(Problem::TokenNameCharacter);
        }
        Ok(Self(name.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Unicode's bidirectional controls and the characters that it ignores by default (UAX #44).
pub(super) const fn is_format(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_name_is_one_line_of_plain_text() {
        assert_eq!(TokenName::parse("  Backup on the NAS ").map(|name| name.0), Ok("Backup on the NAS".to_owned()));
        assert!(TokenName::parse(&"ä".repeat(64)).is_ok());
        assert_eq!(TokenName::parse(&"ä".repeat(65)), Err(Problem::NameTooLong));
        assert_eq!(TokenName::parse(" \t"), Err(Problem::Missing));
        for hostile in ["a\nb", "a\0b", "a\u{202e}b", "a\u{200b}b", "a\u{feff}b", "\u{1b}[2J"] {
            assert_eq!(TokenName::parse(hostile), Err(Problem::TokenNameCharacter), "{hostile:?}");
        }
    }
}
