//! Estimates the cost of judging a text before zxcvbn runs.
//!
//! zxcvbn examines every part of the text, once as it is and once for each way to read its look-alikes as letters.
//! These readings multiply: a text of forty look-alikes has 1,440, which takes as long as six hashes. For each
//! reading zxcvbn hashes all words again, and stores every match.

use std::time::Duration;

use zeroize::Zeroizing;

/// Maximum length of the estimator's input, in characters.
pub const MAX_CHARS: usize = 40;
/// Maximum processor time for a text: half the time of a hash on the machine where it was measured.
const MAX_TIME: Duration = Duration::from_micros(9_500);
/// The fixed cost of a text, expressed in readings.
const WITHOUT_READINGS: u64 = 8;
/// Processor time for one reading of a pair of characters, in nanoseconds. It was measured in a release build on a
/// machine where a hash took 19 ms. Forty letters took 0.8 ms. The most expensive of 3,200 texts that were evolved for
/// high cost took 11 ms.
const PAIR_NANOS: u64 = 100;
/// Processor time for a word in one reading, in nanoseconds, because the estimator hashes all words again. Up to 77
/// were measured.
const WORD_NANOS: u64 = 100;
/// Processor time for a possible match of a word in one reading, in nanoseconds. Up to 760 were measured for texts
/// within [`MAX_TIME`].
const POSITION_NANOS: u64 = 1_000;

/// The characters that zxcvbn 3 reads as a letter, by letter.
const LOOK_ALIKES: [&str; 12] = ["4@", "8", "({[<", "3", "69", "1!|", "1|7", "0", "$5", "+7", "%", "2"];

/// Groups of letters that share look-alikes, with these look-alikes. Each group starts with a letter.
const ALIKE: [&str; 10] = ["a4@", "b8", "c({[<", "e3", "g69", "ilt1!|7+", "o0", "s$5", "x%", "z2"];

/// The words that the estimator searches in a text.
pub struct Compared {
    /// Each look-alike is replaced by the first letter of its group.
    words: Vec<Vec<char>>,
}

impl Compared {
    /// Creates it from the words that are passed to the estimator.
    pub fn new(words: &[&str]) -> Self {
        Self { words: words.iter().map(|word| word.chars().map(unify).collect()).collect() }
    }

    /// Returns the part of a text that is judged. If its beginning is hard to guess, so is the whole text.
    pub fn beginning<'a>(&self, text: &'a str) -> &'a str {
        let mut judged = "";
        for (start, c) in text.char_indices().take(MAX_CHARS) {
            let longer = text.get(..start + c.len_utf8()).unwrap_or(judged);
            if self.cost(longer) > MAX_TIME {
                break;
            }
            judged = longer;
        }
        judged
    }

    /// Returns the maximum processor time for judging a text, on the machine where it was measured.
    pub fn cost(&self, judged: &str) -> Duration {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let chars = count(judged.chars().count());
        let pairs = chars.saturating_mul(chars).saturating_mul(PAIR_NANOS);
        let words = count(self.words.len()).saturating_mul(WORD_NANOS);
        let places = count(self.places(judged)).saturating_mul(POSITION_NANOS);
        let reading = pairs.saturating_add(words).saturating_add(places);
        Duration::from_nanos(reading.saturating_mul(WITHOUT_READINGS.saturating_add(readings(judged).into())))
    }

    /// Counts the positions where the estimator may find a word, over all readings of the look-alikes.
    fn places(&self, text: &str) -> usize {
        let text: Zeroizing<Vec<char>> = Zeroizing::new(text.chars().flat_map(char::to_lowercase).map(unify).collect());
        let words = self.words.iter().filter(|word| !word.is_empty());
        words.map(|word| text.windows(word.len()).filter(|window| window == word).count()).sum()
    }
}

/// Replaces a look-alike by the first letter of its group.
fn unify(c: char) -> char {
    ALIKE.iter().find(|alike| alike.contains(c)).and_then(|alike| alike.chars().next()).unwrap_or(c)
}

/// Counts the ways to read a text's look-alikes as letters. A look-alike of two letters counts twice for the second
/// letter.
fn readings(text: &str) -> u32 {
    let mut before = String::new();
    let mut readings = 1_u32;
    for look_alikes in LOOK_ALIKES {
        let mut of_letter = 0;
        for c in look_alikes.chars().filter(|c| text.contains(*c)) {
            of_letter += if before.contains(c) { 2 } else { 1 };
            before.push(c);
        }
        readings = readings.saturating_mul(of_letter.max(1));
    }
    readings
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_readings_of_look_alike_characters_multiply() {
        let table =
            [("tidal marmot", 1), ("4@", 2), ("({[<", 4), ("17", 6), ("4@8({[<369!1|0$5+7%2", 1440), ("ünïcödé", 1)];
        for (text, ways) in table {
            assert_eq!(readings(text), ways, "{text}");
        }
    }

    /// The maximum number of words with the maximum length. No password contains any of them.
    fn crowd() -> Vec<String> {
        (0..72).map(|n| format!("{}{n:02}", "ж".repeat(MAX_CHARS - 2))).collect()
    }

    fn compared<T: AsRef<str>>(words: &[T]) -> Compared {
        Compared::new(&words.iter().map(AsRef::as_ref).collect::<Vec<_>>())
    }

    #[test]
    fn a_usual_password_is_rated_whole() {
        for compared in [compared::<&str>(&[]), compared(&crowd())] {
            for text in ["tidal marmot kettle", "ünïcödé", "Vq3#kz8!Lw", "7%Rk2!pQ9&xZ4@mL", "12345678!@#$%^&*"] {
                assert_eq!(compared.beginning(text), text);
            }
            assert_eq!(compared.beginning(&"ü".repeat(50)).chars().count(), 40);
        }
    }

    #[test]
    fn a_word_is_found_in_every_substitution_r24() {
        let places = |word: &str, text: &str| compared(&[word]).places(text);
        let table = [
            ("bbbb", "88888b", 3),
            ("till", "7!|1 +1L7", 2),
            ("acegosxz", "4(3605%2@<39O$%2", 2),
            ("i̇nn", "İNN", 1),
            ("marmot", "tidal", 0),
            ("", "tidal", 0),
        ];
        for (word, text, found) in table {
            assert_eq!(places(word, text), found, "{word} in {text}");
        }
    }

    #[test]
    fn no_text_is_estimated_below_its_measured_cost_r24() {
        let repeated =
            |count: usize| -> Vec<String> { (4..4 + count).map(|n| "b".repeat(n)).chain(["b".to_owned()]).collect() };
        let table = [
            ("4@({[<69$5+7".to_owned(), vec![], 820),
            ("4@({[<69$5+7".to_owned(), crowd(), 1_400),
            (format!("4@!1|{}", "8".repeat(35)), repeated(16), 11_380),
            (format!("1|7!+4@{}", "8".repeat(24)), repeated(16), 20_670),
            (format!("1|7!+4@({{[{}", "8".repeat(8)), repeated(16), 7_300),
            (format!("1|7!+4@({{[{}", "8".repeat(16)), repeated(16), 29_380),
        ];
        for (text, words, micros) in table {
            let cost = compared(&words).cost(&text);
            assert!(cost >= Duration::from_micros(micros), "{text}: {cost:?}");
        }
    }

    proptest! {
        #[test]
        fn rating_a_password_costs_at_most_half_a_hash_r24(text in "[48({\\[<369!1|0$5+7%2@aü]{1,256}") {
            let crowd = crowd();
            let repeated: Vec<String> = (1..25).map(|n| "b".repeat(n)).collect();
            for words in [&crowd[..0], &crowd, &repeated] {
                let compared = compared(words);
                let judged = compared.beginning(&text);
                prop_assert!(compared.cost(judged) <= MAX_TIME, "{judged}");
                let next = text.chars().nth(judged.chars().count());
                let longer: String = judged.chars().chain(next).collect();
                let ends = next.is_none() || judged.chars().count() == MAX_CHARS;
                prop_assert!(ends || compared.cost(&longer) > MAX_TIME, "the part is as long as possible: {judged}");
                let enough = judged.chars().count() >= 10.min(text.chars().count());
                prop_assert!(enough || words == repeated, "the part can have a strong rating: {judged}");
            }
            let (few, many) = (compared(&crowd[..10]), compared(&crowd));
            prop_assert!(many.cost(&text) > few.cost(&text), "each word adds to the cost");
        }
    }
}
