//! How much work the estimator has with a text, known before it begins.
//!
//! It looks at every part of the text, once as it is and once for each way to read its look-alikes as letters. Those ways
//! multiply: a text of forty look-alikes has 1,440 and keeps a processor for six hashes. For each of them it takes all words anew,
//! and keeps every place where one is found.

use std::time::Duration;

use zeroize::Zeroizing;

/// Characters that the estimator is given.
pub const MOST_CHARS: usize = 40;
/// Processor time that a text may cost: half of a hash on the machine where it was measured.
const MOST_TIME: Duration = Duration::from_micros(9_500);
/// What a text costs beside its readings, in readings.
const WITHOUT_READINGS: u64 = 8;
/// Nanoseconds of a processor for one reading of a pair of characters, measured in a release build on the machine on which a hash
/// took 19 ms: 0.8 ms for forty letters, 11 ms for the dearest text of 3,200 that were bred for it.
const PAIR_NANOS: u64 = 100;
/// Nanoseconds for a word in one reading, for the estimator hashes all words again: up to 77 were measured.
const WORD_NANOS: u64 = 100;
/// Nanoseconds for a place in one reading where a word may be found: up to 760 were measured for texts within [`MOST_TIME`].
const PLACE_NANOS: u64 = 1_000;

/// What zxcvbn 3 takes for a letter, by letter.
const LOOK_ALIKES: [&str; 12] = ["4@", "8", "({[<", "3", "69", "1!|", "1|7", "0", "$5", "+7", "%", "2"];

/// Letters that share look-alikes, with what may be read as one of them. A letter stands first.
const ALIKE: [&str; 10] = ["a4@", "b8", "c({[<", "e3", "g69", "ilt1!|7+", "o0", "s$5", "x%", "z2"];

/// The words that the estimator compares a text with.
pub struct Compared {
    /// Each with one letter for all that look alike.
    words: Vec<Vec<char>>,
}

impl Compared {
    /// Takes the words as the estimator is given them.
    pub fn new(words: &[&str]) -> Self {
        Self { words: words.iter().map(|word| word.chars().map(unify).collect()).collect() }
    }

    /// As much of a text as is judged. What is hard to guess so far doesn't become easy by what follows.
    pub fn beginning<'a>(&self, text: &'a str) -> &'a str {
        let mut judged = "";
        for (start, c) in text.char_indices().take(MOST_CHARS) {
            let longer = text.get(..start + c.len_utf8()).unwrap_or(judged);
            if self.cost(longer) > MOST_TIME {
                break;
            }
            judged = longer;
        }
        judged
    }

    /// The processor time that judging a text takes at the most, on a machine such as the one where it was measured.
    pub fn cost(&self, judged: &str) -> Duration {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let chars = count(judged.chars().count());
        let pairs = chars.saturating_mul(chars).saturating_mul(PAIR_NANOS);
        let words = count(self.words.len()).saturating_mul(WORD_NANOS);
        let places = count(self.places(judged)).saturating_mul(PLACE_NANOS);
        let reading = pairs.saturating_add(words).saturating_add(places);
        Duration::from_nanos(reading.saturating_mul(WITHOUT_READINGS.saturating_add(readings(judged).into())))
    }

    /// In how many places of a text the estimator may find a word, whichever way it reads the look-alikes.
    fn places(&self, text: &str) -> usize {
        let text: Zeroizing<Vec<char>> = Zeroizing::new(text.chars().flat_map(char::to_lowercase).map(unify).collect());
        let words = self.words.iter().filter(|word| !word.is_empty());
        words.map(|word| text.windows(word.len()).filter(|window| window == word).count()).sum()
    }
}

/// The one letter for all that look alike.
fn unify(c: char) -> char {
    ALIKE.iter().find(|alike| alike.contains(c)).and_then(|alike| alike.chars().next()).unwrap_or(c)
}

/// How many ways there are to read a text's look-alikes as letters. One that stands for two letters doubles those of the second.
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
    fn look_alikes_multiply() {
        let table =
            [("tidal marmot", 1), ("4@", 2), ("({[<", 4), ("17", 6), ("4@8({[<369!1|0$5+7%2", 1440), ("ünïcödé", 1)];
        for (text, ways) in table {
            assert_eq!(readings(text), ways, "{text}");
        }
    }

    /// As many words as there can be, each as long as it can be, and none of which is in any password.
    fn crowd() -> Vec<String> {
        (0..72).map(|n| format!("{}{n:02}", "ж".repeat(MOST_CHARS - 2))).collect()
    }

    fn compared<T: AsRef<str>>(words: &[T]) -> Compared {
        Compared::new(&words.iter().map(AsRef::as_ref).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_judged_of_a_usual_password_is_all_of_it() {
        for compared in [compared::<&str>(&[]), compared(&crowd())] {
            for text in ["tidal marmot kettle", "ünïcödé", "Vq3#kz8!Lw", "7%Rk2!pQ9&xZ4@mL", "12345678!@#$%^&*"] {
                assert_eq!(compared.beginning(text), text);
            }
            assert_eq!(compared.beginning(&"ü".repeat(50)).chars().count(), 40);
        }
    }

    #[test]
    fn a_word_is_found_in_every_reading_of_a_text_r24() {
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
    fn no_text_costs_less_than_was_measured_of_it_r24() {
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
        fn no_password_costs_more_than_half_a_hash_r24(text in "[48({\\[<369!1|0$5+7%2@aü]{1,256}") {
            let crowd = crowd();
            let repeated: Vec<String> = (1..25).map(|n| "b".repeat(n)).collect();
            for words in [&crowd[..0], &crowd, &repeated] {
                let compared = compared(words);
                let judged = compared.beginning(&text);
                prop_assert!(compared.cost(judged) <= MOST_TIME, "{judged}");
                let next = text.chars().nth(judged.chars().count());
                let longer: String = judged.chars().chain(next).collect();
                let ends = next.is_none() || judged.chars().count() == MOST_CHARS;
                prop_assert!(ends || compared.cost(&longer) > MOST_TIME, "no more is cut off than must be: {judged}");
                let enough = judged.chars().count() >= 10.min(text.chars().count());
                prop_assert!(enough || words == repeated, "enough is judged to find it strong: {judged}");
            }
            let (few, many) = (compared(&crowd[..10]), compared(&crowd));
            prop_assert!(many.cost(&text) > few.cost(&text), "each word costs");
        }
    }
}
