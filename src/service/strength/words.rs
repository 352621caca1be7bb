//! Words that a guesser who knows the person tries first, and taking them out of a password.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use super::work::MOST_CHARS;

/// Characters of the shortest word that is looked for: shorter ones are in half of all passwords.
const SHORTEST: usize = 3;
/// Characters of the shortest part of an email or a username that is looked for by itself.
const SHORTEST_PART: usize = 4;
/// Characters of a word that are looked at: those of the longest email. What a form sends may be longer.
const LONGEST: usize = 254;
/// Parts of an email and a username that are looked for: the first ones.
const MOST_PARTS: usize = 16;
/// Names of the service and its hosts that are looked for: the first ones.
const MOST_NAMES: usize = 16;

/// What a person and the service are called, in lower case.
#[derive(Clone, Debug, Default)]
pub struct Words {
    texts: Vec<String>,
}

impl Words {
    /// An email with its parts, a username with its parts, and other names; each also backwards. None of them needs to be
    /// well-formed. A form sends them unchecked, so each is cut before it is split.
    pub fn new(email: &str, username: &str, names: &[String]) -> Self {
        let (email, username) = (cut(email), cut(username));
        let (local, domain) = email.rsplit_once('@').unwrap_or((email, ""));
        let names = names.iter().map(|name| cut(name)).take(MOST_NAMES);
        let parts = [local, username, domain].into_iter().flat_map(|text| text.split(['.', '_', '-', '+']));
        let parts = parts.filter(|part| part.chars().count() >= SHORTEST_PART).take(MOST_PARTS);
        let mut words = Self::default();
        for word in [email, local, domain, username].into_iter().chain(names).chain(parts) {
            let word: String = word.trim().nfc().flat_map(char::to_lowercase).collect();
            let backwards: String = word.chars().rev().collect();
            let count = if word.chars().count() >= SHORTEST_PART { 2 } else { 1 };
            for word in [word, backwards].into_iter().take(count) {
                if !word.is_empty() && !words.texts.contains(&word) {
                    words.texts.push(word);
                }
            }
        }
        words
    }

    /// The words that are short enough to stand in what is judged of a password.
    pub fn texts(&self) -> Vec<&str> {
        self.texts.iter().map(String::as_str).filter(|word| word.chars().count() <= MOST_CHARS).collect()
    }

    /// What a text is without these words, in any case: as they are, and with anything between their letters. `None` if it holds
    /// none of them.
    pub fn taken_out_of(&self, text: &str) -> Option<Zeroizing<String>> {
        // Where the longest word ends that begins at each character: a list of all places would be gone through for each of them.
        let mut ends = vec![0; text.chars().count()];
        for keep in [|_| true, char::is_alphanumeric] {
            let folded = fold(text, keep);
            for word in &self.texts {
                let word: Vec<char> = fold(word, keep).into_iter().map(|(c, _)| c).collect();
                if word.len() >= SHORTEST {
                    for Range { start, end } in places(&word, &folded) {
                        if let Some(longest) = ends.get_mut(start) {
                            *longest = end.max(*longest);
                        }
                    }
                }
            }
        }
        let mut rest = Zeroizing::new(String::with_capacity(text.len()));
        let mut taken_until = 0;
        for ((at, c), end) in text.chars().enumerate().zip(&ends) {
            taken_until = taken_until.max(*end);
            if at >= taken_until {
                rest.push(c);
            }
        }
        (taken_until > 0).then_some(rest)
    }
}

/// As much of a text as is looked at.
fn cut(text: &str) -> &str {
    let text = text.trim();
    text.char_indices().nth(LONGEST).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

/// Some characters of a text in lower case, each with the number of the one that it comes from.
fn fold(text: &str, keep: fn(char) -> bool) -> Vec<(char, usize)> {
    let characters = text.chars().enumerate().filter(|(_, c)| keep(*c));
    characters.flat_map(|(at, c)| c.to_lowercase().map(move |c| (c, at))).collect()
}

/// Where a word stands, from its first character to its last: also where two of them overlap.
fn places(word: &[char], folded: &[(char, usize)]) -> Vec<Range<usize>> {
    let windows = folded.windows(word.len().max(1));
    let here = windows.filter(|window| window.iter().map(|(c, _)| c).eq(word));
    here.filter_map(|window| Some(window.first()?.1..window.last()?.1 + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_any_case_and_spacing_r8() {
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
    fn parts_of_an_email_and_words_backwards_are_found_r8() {
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
    fn words_are_few_and_short_however_much_a_form_sends_r24() {
        let long = "x".repeat(16_000);
        assert!(Words::new(&long, &long, &[]).texts.iter().all(|word| word.len() <= LONGEST));
        let parts = |first: usize| (first..first + 3_000).map(|n| format!("p{n:05}")).collect::<Vec<_>>().join(".");
        let (email, username) = (format!("{}@{}", parts(0), parts(3_000)), parts(6_000));
        let hosts: Vec<String> = (0..3_000).map(|n| format!("host{n}.example.org")).collect();
        let words = Words::new(&email, &username, &hosts);
        assert!(words.texts.iter().all(|word| word.len() <= LONGEST));
        // The email, its two sides, and the username are words as well. Each word is there backwards, too.
        assert!(words.texts.len() <= 2 * (4 + MOST_PARTS + MOST_NAMES), "{}", words.texts.len());
        for word in ["p00000", "p00015", "host0.example.org", "host15.example.org"] {
            assert!(words.texts().contains(&word), "{word}");
        }
        for word in ["p00016", "p00040", "p06000", "host16.example.org"] {
            assert!(!words.texts().contains(&word), "{word}");
        }
        // What lies behind the longest email is no part.
        let late = Words::new(&format!("{}.late", "x".repeat(LONGEST)), "", &[]);
        assert!(!late.texts().contains(&"late"));
    }

    #[test]
    fn a_word_of_two_letters_is_left_where_it_is() {
        assert_eq!(Words::new("a@b.c", "it", &[]).taken_out_of("a bitter itch"), None);
    }
}
