//! How much work the estimator has with a text, known before it begins.
//!
//! It looks at every part of the text, once as it is and once for each way to read its look-alikes as letters. Those ways
//! multiply: a text of forty look-alikes has 1,440 and keeps a processor for six hashes.

use std::time::Duration;

/// Characters that the estimator is given.
const MOST_CHARS: usize = 40;
/// Processor time that a text may cost: half of a hash on the machine where it was measured.
const MOST_TIME: Duration = Duration::from_micros(9_500);
/// What a text costs beside its readings, in readings.
const WITHOUT_READINGS: u32 = 8;
/// Nanoseconds of a processor for one reading of a pair of characters, measured in a release build on the machine on which a hash
/// took 19 ms: 0.8 ms for forty letters, 11 ms for the dearest text of 3,200 that were bred for it.
const NANOS: u32 = 100;

/// What zxcvbn 3 takes for a letter, by letter.
const LOOK_ALIKES: [&str; 12] = ["4@", "8", "({[<", "3", "69", "1!|", "1|7", "0", "$5", "+7", "%", "2"];

/// As much of a text as is judged. What is hard to guess so far doesn't become easy by what follows.
pub fn beginning(text: &str) -> &str {
    let mut judged = "";
    for (start, c) in text.char_indices().take(MOST_CHARS) {
        let longer = text.get(..start + c.len_utf8()).unwrap_or(judged);
        if cost(longer) > MOST_TIME {
            break;
        }
        judged = longer;
    }
    judged
}

/// The processor time that judging a text takes at the most, on a machine such as the one where it was measured.
pub fn cost(judged: &str) -> Duration {
    let chars = u32::try_from(judged.chars().count()).unwrap_or(u32::MAX);
    let work = chars.saturating_mul(chars).saturating_mul(WITHOUT_READINGS.saturating_add(readings(judged)));
    Duration::from_nanos(u64::from(work) * u64::from(NANOS))
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

    #[test]
    fn what_is_judged_of_a_usual_password_is_all_of_it() {
        for text in ["tidal marmot kettle", "ünïcödé", "Vq3#kz8!Lw", "7%Rk2!pQ9&xZ4@mL", "12345678!@#$%^&*"] {
            assert_eq!(beginning(text), text);
        }
        assert_eq!(beginning(&"ü".repeat(50)).chars().count(), 40);
    }

    proptest! {
        #[test]
        fn no_password_costs_more_than_half_a_hash_r24(text in "[48({\\[<369!1|0$5+7%2@aü]{1,256}") {
            let judged = beginning(&text);
            prop_assert!(cost(judged) <= MOST_TIME, "{judged}");
            prop_assert!(judged.chars().count() >= 10.min(text.chars().count()), "enough is judged to find it strong: {judged}");
        }
    }
}
