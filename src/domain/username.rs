//! Usernames.

use crate::error::Problem;

/// Reserved names, so that no user can pose as the service's operator. The operator may assign them to accounts.
const RESERVED: [&str; 28] = [
    "abuse",
    "account",
    "accounts",
    "admin",
    "administrator",
    "anonymous",
    "api",
    "everyone",
    "guest",
    "help",
    "hostmaster",
    "login",
    "logout",
    "me",
    "moderator",
    "nobody",
    "null",
    "operator",
    "postmaster",
    "register",
    "root",
    "security",
    "staff",
    "support",
    "system",
    "undefined",
    "vestibule",
    "webmaster",
];

/// A username: 3 to 32 of `a-z 0-9 . _ -`, beginning with a letter or a digit.
///
/// It contains no `@`, so that no username can be another user's email address (CVE-2024-1722). It is ASCII, so that no
/// two names look alike (UTS #39).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Username {
    name: String,
    key: String,
}

impl Username {
    /// Parses a username that a user chooses. Rejects reserved names and names that look like an account's id.
    /// Reports the first rule that the text breaks.
    pub fn choose(text: &str) -> Result<Self, Problem> {
        let name = Self::parse(text)?;
        if RESERVED.contains(&name.key.as_str()) || is_like_an_identifier(&name.key) {
            return Err(Problem::UsernameReserved);
        }
        Ok(name)
    }

    /// Parses any username, and reports the first rule that the text breaks. White space around the name is removed.
    /// Capitals are preserved for display and folded for comparison.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let name = text.trim();
        if name.is_empty() {
            return Err(Problem::Missing);
        }
        if !(3..=32).contains(&name.chars().take(33).count()) {
            return Err(Problem::UsernameLength);
        }
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
            return Err(Problem::UsernameCharacter);
        }
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err(Problem::UsernameStart);
        }
        Ok(Self { name: name.to_owned(), key: name.to_ascii_lowercase() })
    }

    /// The name as it was typed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The canonical form, which is equal for all spellings of a name.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// Whether a name looks like a UUID without its hyphens.
fn is_like_an_identifier(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_username_is_stored_as_typed_and_compared_case_folded_r4() {
        let name = Username::parse(" Ann.B-1_x ").expect("a good name");
        assert_eq!((name.as_str(), name.key()), ("Ann.B-1_x", "ann.b-1_x"));
        assert_eq!(Username::parse(name.key()).expect("a good key").key(), name.key());
    }

    #[test]
    fn each_broken_rule_of_a_username_has_its_own_problem_r4() {
        let long = "a".repeat(33);
        let table = [
            ("", Problem::Missing),
            ("   ", Problem::Missing),
            ("ab", Problem::UsernameLength),
            (long.as_str(), Problem::UsernameLength),
            ("ann@example.org", Problem::UsernameCharacter),
            ("аdmin", Problem::UsernameCharacter),
            ("ann bee", Problem::UsernameCharacter),
            ("ann\0bee", Problem::UsernameCharacter),
            ("ann\u{1b}[2J", Problem::UsernameCharacter),
            ("<script>", Problem::UsernameCharacter),
            (".ann", Problem::UsernameStart),
            ("-ann", Problem::UsernameStart),
            ("Admin", Problem::UsernameReserved),
            ("ROOT", Problem::UsernameReserved),
            ("01a21d031b7c7d0f8a3b5c6d7e8f9A0B", Problem::UsernameReserved),
        ];
        for (text, problem) in table {
            assert_eq!(Username::choose(text), Err(problem), "{text:?}");
        }
    }

    #[test]
    fn a_reserved_username_is_parsed_but_cannot_be_chosen_r4() {
        for name in RESERVED.into_iter().filter(|name| name.len() >= 3) {
            assert_eq!(Username::parse(name).expect("a name that the operator may assign").key(), name);
            assert_eq!(Username::choose(name), Err(Problem::UsernameReserved));
        }
        for name in ["01a21d031b7c7d0f8a3b5c6d7e8f9a0", "01a21d031b7c7d0f8a3b5c6d7e8f9a0g", "deadbeef"] {
            assert_eq!(Username::choose(name).expect("a name that doesn't look like an identifier").key(), name);
        }
    }
}
