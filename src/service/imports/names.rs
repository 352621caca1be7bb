//! Usernames for accounts of other systems, which allow other characters and lengths.

use sha2::{Digest, Sha256};
use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

use crate::{
    domain::{source_account::SourceAccount, username::Username},
    error::Problem,
};

/// The longest username.
const MAX: usize = 32;

/// The usernames that an account may have, the preferred one first: its own if that is valid here, or else one that is
/// like it, then the same with a number. The last one is made from the account's key, so that one is free.
pub fn candidates(source: &SourceAccount) -> Vec<Username> {
    let own = if source.username.trim().is_empty() {
        // The part before a plus sign, which is an address's tag.
        source.email.split(['@', '+']).next().unwrap_or_default()
    } else {
        source.username.trim()
    };
    let base = Username::parse(own).map_or_else(|_| adapted(own, &source.id), |name| name.as_str().to_owned());
    // An operator of the other system may keep a name such as admin.
    let reserved = Username::choose(&base) == Err(Problem::UsernameReserved) && !source.staff;
    let numbered = (2..=9).map(|number| with_suffix(&base, &number.to_string()));
    let last = with_suffix(&base, &digits_of(&source.id));
    let names = (!reserved).then(|| base.clone()).into_iter().chain(numbered).chain([last]);
    names.filter_map(|name| Username::parse(&name).ok()).collect()
}

/// Makes a valid username of any text. Accents are removed, other characters become hyphens, and a name that is too
/// short gets the account's key.
fn adapted(text: &str, id: &str) -> String {
    let mut name: String = text
        .nfkd()
        .filter(|c| !is_combining_mark(*c))
        .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' })
        .take(MAX)
        .collect();
    name = name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()).trim_end_matches('-').to_owned();
    if name.is_empty() {
        "user".clone_into(&mut name);
    }
    if name.len() < 3 || name == "user" {
        let key: String = id.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
        name = with_suffix(&name, if key.is_empty() { "0" } else { &key });
    }
    name
}

/// Adds a suffix, and cuts the name so that the whole is short enough.
fn with_suffix(name: &str, suffix: &str) -> String {
    let kept: String = name.chars().take(MAX - 1 - suffix.len()).collect();
    format!("{kept}-{suffix}")
}

/// Eight digits that are the same for the same key.
fn digits_of(id: &str) -> String {
    let [a, b, c, d, ..]: [u8; 32] = Sha256::digest(id.as_bytes()).into();
    format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(id: &str, username: &str, email: &str, staff: bool) -> Vec<String> {
        let (id, username, email) = (id.to_owned(), username.to_owned(), email.to_owned());
        let source = SourceAccount { id, email, username, staff, ..Default::default() };
        candidates(&source).iter().map(|name| name.as_str().to_owned()).collect()
    }

    fn preferred(username: &str) -> String {
        names("14", username, "mia@example.org", false).remove(0)
    }

    #[test]
    fn a_username_is_kept_or_becomes_a_similar_one() {
        let long = "n".repeat(150);
        for (before, here) in [
            ("Ann.B-1", "Ann.B-1"),
            (" ann ", "ann"),
            ("jürgen", "jurgen"),
            ("kim@work", "kim-work"),
            ("ann@example.org", "ann-example.org"),
            ("m", "m-14"),
            ("Ж", "user-14"),
            ("__x", "x-14"),
            (&long, &long[..32]),
            ("", "mia"),
            ("admin", "admin-2"),
        ] {
            assert_eq!(preferred(before), here, "{before}");
        }
        assert_eq!(names("1", "admin", "", true).remove(0), "admin");
    }

    #[test]
    fn every_account_gets_ten_valid_names() {
        for username in ["ann", "m", "Ж", &"n".repeat(150), "a\0b", "🦀🦀🦀", "-", "ann@example.org"] {
            for id in ["1", "", "0193a2b7-0000-7000-8000-000000000000", "ключ"] {
                let names = names(id, username, "x@example.org", false);
                assert!((9..=10).contains(&names.len()), "{username} {id}: {names:?}");
                let mut other = names.clone();
                other.sort();
                other.dedup();
                assert_eq!(other.len(), names.len(), "{names:?}");
            }
        }
    }
}
