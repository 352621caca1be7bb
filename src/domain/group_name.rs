//! Names of groups.

use unicode_normalization::UnicodeNormalization as _;

use super::token_name::is_format;
use crate::error::Problem;

/// The maximum length, in characters.
const MAX_CHARS: usize = 64;

/// The name of a group: 1 to 64 letters, digits, single spaces and `. _ - : / @ +`.
///
/// Apps put it into claims and headers, where a comma separates names, so it contains no comma.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupName {
    name: String,
    key: String,
}

impl GroupName {
    /// Parses a name. White space around it is removed. Capitals are preserved for display and folded for comparison.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let name: String = text.trim().nfc().collect();
        if name.is_empty() {
            return Err(Problem::Missing);
        }
        if name.chars().count() > MAX_CHARS {
            return Err(Problem::NameTooLong);
        }
        let allowed = |c: char| (c.is_alphanumeric() && !is_format(c)) || " ._-:/@+".contains(c);
        if !name.chars().all(allowed) || name.contains("  ") {
            return Err(Problem::GroupNameCharacter);
        }
        // Each letter on its own, so that the key of a word doesn't depend on its last letter.
        Ok(Self { key: name.chars().flat_map(char::to_lowercase).collect(), name })
    }

    /// The name as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The name in lower case, for comparison.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_name_is_a_path_or_words_and_ignores_case() {
        for (text, key) in [
            ("Editors", "editors"),
            (" editors/night ", "editors/night"),
            ("Équipe 2", "équipe 2"),
            ("E\u{301}", "é"),
            ("ΟΔΟΣ", "οδοσ"),
        ] {
            assert_eq!(GroupName::parse(text).map(|name| name.key().to_owned()), Ok(key.to_owned()), "{text}");
        }
        assert!(GroupName::parse(&"ä".repeat(64)).is_ok());
        assert_eq!(GroupName::parse(&"ä".repeat(65)), Err(Problem::NameTooLong));
        assert_eq!(GroupName::parse(" \t"), Err(Problem::Missing));
        for hostile in
            ["a,b", "a  b", "a\nb", "a\u{202e}b", "a\u{200b}b", "a;b", "<b>", "a\"b", "a'b", "a\u{a0}b", "a\u{3164}"]
        {
            assert_eq!(GroupName::parse(hostile), Err(Problem::GroupNameCharacter), "{hostile:?}");
        }
    }
}
