//! Words that an attacker who knows the person tries first, and their removal from a password.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use super::work::MAX_CHARS;

/// Minimum length of a searched word, in characters. Shorter ones are in half of all passwords.
const MIN_LENGTH: usize = 3;
/// Minimum length of a part of an email or a username that is searched separately, in characters.
const MIN_PART_LENGTH: usize = 4;
/// Maximum length of a word, in characters: the length of the longest email. A form may send longer texts.
const MAX_LENGTH: usize = 254;
/// How many parts of an email and a username are searched. Further parts are ignored.
const MAX_PARTS: usize = 16;
/// How many names of the service and its hosts are searched. Further names are ignored.
const MAX_NAMES: usize = 16;

/// Names of a person and of the service, in lower case.
#[derive(Clone, Debug, Default)]
pub struct Words {
    texts: Vec<String>,
}

impl Words {
    /// Collects an email with its parts, a username with its parts, and other names. Each is also included backwards.
    ///
    /// The texts may be malformed. They come unchecked from a form, so each one is truncated before it is split.
    pub fn new(email: &str, username: &str, names: &[String]) -> Self {
        let (email, username) = (cut(email), cut(username));
        let (local, domain) = email.rsplit_once('@').unwrap_or((email, ""));
        let names = names.iter().map(|name| cut(name)).take(MAX_NAMES);
        let parts = [local, username, domain].into_iter().flat_map(|text| text.split(['.', '_', '-', '+']));
        let parts = parts.filter(|part| part.chars().count() >= MIN_PART_LENGTH).take(MAX_PARTS);
        let mut words = Self::default();
        for word in [email, local, domain, username].into_iter().chain(names).chain(parts) {
            let word: String = word.trim().nfc().flat_map(char::to_lowercase).collect();
            let backwards: String = word.chars().rev().collect();
            let count = if word.chars().count() >= MIN_PART_LENGTH { 2 } else { 1 };
            for word in [word, backwards].into_iter().take(count) {
                if !word.is_empty() && !words.texts.contains(&word) {
                    words.texts.push(word);
                }
            }
        }
        words
    }

    /// Returns the words that are short enough to occur in the judged part of a password.
    pub fn texts(&self) -> Vec<&str> {
        self.texts.iter().map(String::as_str).filter(|word| word.chars().count() <= MAX_CHARS).collect()
    }

    /// Removes these words from a text, in upper or lower case, and also with other characters between their letters.
    /// Returns `None` if the text contains none of them.
    pub fn taken_out_of(&self, text: &str) -> Option<Zeroizing<String>> {
        // For each character, the end of the longest word that starts there. Searching a list of all matches would be
        // slower.
        let mut ends = vec![0; text.chars().count()];
        for keep in [|_| true, char::is_alphanumeric] {
            let folded = fold(text, keep);
            for word in &self.texts {
                let word: Vec<char> = fold(word, keep).into_iter().map(|(c, _)| c).collect();
                if word.len() >= MIN_LENGTH {
                    for Range { start, end } in places(&word, &folded) {
                        if let Some(longest) = ends.get_mut(start) {
                            *longest = end.max(*longest);
                        }
                    }
                }
            }
        }
        let mut rest = Zeroizing::new(String::with_capacity(text.len()));
        let mut removed_until = 0;
        for ((at, c), end) in text.chars().enumerate().zip(&ends) {
            removed_until = removed_until.max(*end);
            if at >= removed_until {
                rest.push(c);
            }
        }
        (removed_until > 0).then_some(rest)
    }
}

/// Truncates a text to the maximum length of a word.
fn cut(text: &str) -> &str {
    let text = text.trim();
    text.char_indices().nth(MAX_LENGTH).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

/// Converts the selected characters of a text to lower case, each with the index of its original character.
fn fold(text: &str, keep: fn(char) -> bool) -> Vec<(char, usize)> {
    let characters = text.chars().enumerate().filter(|(_, c)| keep(*c));
    characters.flat_map(|(at, c)| c.to_lowercase().map(move |c| (c, at))).collect()
}

/// Returns the ranges of all occurrences of a word, including overlapping ones.
fn places(word: &[char], folded: &[(char, usize)]) -> Vec<Range<usize>> {
    let windows = folded.windows(word.len().max(1));
    let here = windows.filter(|window| window.iter().map(|(c, _)| c).eq(word));
    here.filter_map(|window| Some(window.first()?.1..window.last()?.1 + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn personal_words_are_found_in_any_case_and_spacing_r8() {
        let words = Words::new("ann.beetle@example.org", "maya", &["Brindle Wick".to_owned(), "-+*/!?=".to_owned()]);
        let table = [
            ("tidal marmot kettle", None),
            ("Ann.Beetle1", Some("1")),
            ("annbeetle-ANN BEETLE", Some("-")),
            ("xx ann.beetle@example.org yy", Some("xx  yy")),
            ("brindlewick12345678", Some("12345678")),
            ("m.a.y.a tidal mayamaya", Some(" tidal ")),
            ("EXAMPLE.ORG", Some("")),
            ("-+*/!?=", Some("")),
        ];
        for (text, rest) in table {
            assert_eq!(words.taken_out_of(text).as_ref().map(|rest| rest.as_str()), rest, "{text}");
        }
        let overlapping = Words::new("", "aba", &[]);
        assert_eq!(overlapping.taken_out_of("xababax").as_ref().map(|rest| rest.as_str()), Some("xx"));
    }

    #[test]
    fn parts_of_an_email_and_reversed_words_are_found_r8() {
        let words = Words::new("max.oberhuber+news@weird-corp.example", "quagga_fan", &[]);
        for (text, rest) in [
            ("oberhuber1987!", "1987!"),
            ("QuiteWeird2024", "Quite2024"),
            ("naf_aggauq77", "77"),
            ("rebuhrebo-swen", "-"),
            ("quagga99", "99"),
        ] {
            assert_eq!(words.taken_out_of(text).as_ref().map(|rest| rest.as_str()), Some(rest), "{text}");
        }
        assert_eq!(
            words.taken_out_of("maximum tidal kettle"),
            None,
            "a part of three letters is in too many passwords"
        );
    }

    #[test]
    fn personal_words_are_limited_in_number_and_length_r24() {
        let long = "x".repeat(16_000);
        assert!(Words::new(&long, &long, &[]).texts.iter().all(|word| word.len() <= MAX_LENGTH));
        let parts = |first: usize| (first..first + 3_000).map(|n| format!("p{n:05}")).collect::<Vec<_>>().join(".");
        let (email, username) = (format!("{}@{}", parts(0), parts(3_000)), parts(6_000));
        let hosts: Vec<String> = (0..3_000).map(|n| format!("host{n}.example.org")).collect();
        let words = Words::new(&email, &username, &hosts);
        assert!(words.texts.iter().all(|word| word.len() <= MAX_LENGTH));
        // The email, its two sides, and the username are words as well. Each word is also included backwards.
        assert!(words.texts.len() <= 2 * (4 + MAX_PARTS + MAX_NAMES), "{}", words.texts.len());
        for word in ["p00000", "p00015", "host0.example.org", "host15.example.org"] {
            assert!(words.texts().contains(&word), "{word}");
        }
        for word in ["p00016", "p00040", "p06000", "host16.example.org"] {
            assert!(!words.texts().contains(&word), "{word}");
        }
        // Text past the maximum length of an email is ignored.
        let late = Words::new(&format!("{}.late", "x".repeat(MAX_LENGTH)), "", &[]);
        assert!(!late.texts().contains(&"late"));
    }

    #[test]
    fn a_word_of_two_letters_is_not_removed() {
        assert_eq!(Words::new("a@b.c", "it", &[]).taken_out_of("a bitter itch"), None);
    }
}
