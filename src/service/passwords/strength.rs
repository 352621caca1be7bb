//! Judges whether a new password is hard enough to guess.
//!
//! NIST SP 800-63B-4, 3.1.1.2: there are no composition rules. Common passwords are rejected, and so are those that
//! an attacker who knows the person tries first.

mod words;
mod work;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use zeroize::Zeroizing;
use zxcvbn::{
    Entropy,
    feedback::{Suggestion, Warning},
    zxcvbn,
};

pub use self::words::Words;
use self::work::Compared;
use crate::{
    domain::{account::Strength, password::Password},
    error::{Advice, Problem},
};

/// A new password, ready to be judged.
pub struct Candidate {
    /// The estimator's input: the password without words that an attacker knows, and without repeated words.
    core: Zeroizing<String>,
    words: Words,
    /// The maximum processor time for judging it.
    cost: Duration,
    /// Whether it contained words that an attacker knows.
    personal: bool,
    /// Whether it contained a word more than once.
    repeats: bool,
}

impl Candidate {
    /// Prepares a password. Fails if it has fewer than `min_length` code points.
    ///
    /// Control characters become spaces, because the estimator doesn't recognize repeated line breaks. Words that an
    /// attacker knows are removed from the whole text before it is truncated.
    pub fn new(password: &Password, words: &Words, min_length: u32) -> Result<Self, Problem> {
        let text = Zeroizing::new(password.expose().replace(char::is_control, " "));
        if text.chars().count() < min_length as usize {
            return Err(Problem::PasswordTooShort { min_length });
        }
        let unknown = words.taken_out_of(&text);
        let rest = unknown.as_ref().map_or(text.as_str(), |rest| rest.as_str());
        let once = each_word_once(rest);
        let compared = Compared::new(&words.texts());
        let core = compared.beginning(once.as_ref().map_or(rest, |once| once.as_str()));
        let (cost, core) = (compared.cost(core), Zeroizing::new(core.to_owned()));
        Ok(Self { core, words: words.clone(), cost, personal: unknown.is_some(), repeats: once.is_some() })
    }

    /// Returns the maximum processor time for judging it.
    #[must_use]
    pub fn cost(&self) -> Duration {
        self.cost
    }

    /// Rejects it if its zxcvbn score is below 3 of 4.
    pub fn judge(&self) -> Result<(), Problem> {
        let Strength { score, advice } = self.strength();
        if score >= MIN_SCORE { Ok(()) } else { Err(Problem::PasswordGuessable(advice)) }
    }

    /// Returns its score, and advice if the score is too low.
    #[must_use]
    pub fn strength(&self) -> Strength {
        self.strength_by(zxcvbn)
    }

    /// If the estimator panics, the password is considered guessable. The user then chooses another one instead of
    /// seeing an error.
    fn strength_by(&self, estimate: impl FnOnce(&str, &[&str]) -> Entropy) -> Strength {
        let words = self.words.texts();
        let Ok(estimate) = catch_unwind(AssertUnwindSafe(|| estimate(&self.core, &words))) else {
            return Strength { score: 0, advice: vec![Advice::AddWords] };
        };
        let score = estimate.score() as u8;
        if score >= MIN_SCORE {
            return Strength { score, advice: Vec::new() };
        }
        let feedback = estimate.feedback();
        let warning = feedback.and_then(zxcvbn::feedback::Feedback::warning).map(warning_advice);
        let repeats = self.repeats.then_some(Advice::Repeats);
        let reason_advice = if self.personal { Some(Advice::Personal) } else { warning };
        let suggestions =
            feedback.map_or(&[][..], |feedback| feedback.suggestions()).iter().copied().map(suggestion_advice);
        let mut advice = Vec::new();
        for one in repeats.into_iter().chain(reason_advice).chain(suggestions) {
            if !advice.contains(&one) {
                advice.push(one);
            }
        }
        Strength { score, advice }
    }
}

/// The minimum score of a new password.
const MIN_SCORE: u8 = 3;

/// Minimum length of words that are checked for repetition, in characters.
const MIN_WORD_LENGTH: usize = 3;

/// Removes repeated words. Returns `None` if there are none. An attacker tries repetitions early, but the estimator
/// counts each one as a different word.
fn each_word_once(text: &str) -> Option<Zeroizing<String>> {
    let is_no_letter = |c: char| !c.is_alphanumeric();
    let (mut seen, mut repeated) = (Vec::new(), false);
    let mut once = Zeroizing::new(String::with_capacity(text.len()));
    // Each piece is a word with the separator that follows it.
    for piece in text.split_inclusive(is_no_letter) {
        let word = Zeroizing::new(piece.trim_end_matches(is_no_letter).to_lowercase());
        if word.chars().count() >= MIN_WORD_LENGTH && seen.contains(&word) {
            repeated = true;
        } else {
            once.push_str(piece);
            seen.push(word);
        }
    }
    let end = once.trim_end_matches(is_no_letter).len();
    once.truncate(end);
    repeated.then_some(once)
}

fn warning_advice(warning: Warning) -> Advice {
    match warning {
        Warning::StraightRowsOfKeysAreEasyToGuess => Advice::KeyRow,
        Warning::ShortKeyboardPatternsAreEasyToGuess => Advice::KeyPattern,
        Warning::RepeatsLikeAaaAreEasyToGuess | Warning::RepeatsLikeAbcAbcAreOnlySlightlyHarderToGuess => {
            Advice::Repeats
        }
        Warning::ThisIsATop10Password | Warning::ThisIsATop100Password | Warning::ThisIsACommonPassword => {
            Advice::Common
        }
        Warning::ThisIsSimilarToACommonlyUsedPassword => Advice::NearCommon,
        Warning::SequencesLikeAbcAreEasyToGuess => Advice::Sequence,
        Warning::RecentYearsAreEasyToGuess => Advice::Year,
        Warning::AWordByItselfIsEasyToGuess => Advice::SingleWord,
        Warning::DatesAreOftenEasyToGuess => Advice::Date,
        Warning::NamesAndSurnamesByThemselvesAreEasyToGuess | Warning::CommonNamesAndSurnamesAreEasyToGuess => {
            Advice::Name
        }
    }
}

fn suggestion_advice(suggestion: Suggestion) -> Advice {
    match suggestion {
        Suggestion::UseAFewWordsAvoidCommonPhrases => Advice::UseWords,
        Suggestion::NoNeedForSymbolsDigitsOrUppercaseLetters => Advice::NoSymbolsNeeded,
        Suggestion::AddAnotherWordOrTwo => Advice::AddWords,
        Suggestion::CapitalizationDoesntHelpVeryMuch | Suggestion::AllUppercaseIsAlmostAsEasyToGuessAsAllLowercase => {
            Advice::Capitals
        }
        Suggestion::ReversedWordsArentMuchHarderToGuess => Advice::Reversed,
        Suggestion::PredictableSubstitutionsDontHelpVeryMuch => Advice::Substitutions,
        Suggestion::UseALongerKeyboardPatternWithMoreTurns => Advice::KeyPattern,
        Suggestion::AvoidRepeatedWordsAndCharacters => Advice::Repeats,
        Suggestion::AvoidSequences => Advice::Sequence,
        Suggestion::AvoidRecentYears | Suggestion::AvoidYearsThatAreAssociatedWithYou => Advice::Year,
        Suggestion::AvoidDatesAndYearsThatAreAssociatedWithYou => Advice::Date,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidate(text: &str) -> Result<Candidate, Problem> {
        let password = Password::parse(text).expect("a password");
        let names = ["vestibule".to_owned(), "Brindlewick".to_owned(), "accounts.example.net".to_owned()];
        Candidate::new(&password, &Words::new("ann.beetle@example.org", "annbeetle", &names), 8)
    }

    fn judge(text: &str) -> Result<(), Problem> {
        candidate(text)?.judge()
    }

    #[test]
    fn a_password_may_contain_any_character_r7() {
        for good in [
            "tidal marmot kettle",
            "tidal tidal marmot kettle",
            "q$#@q&!*)~^%",
            "🦀🦞🐙🐢🦑 ok 🐠🐟🐬🐳 ok",
            "ünïcödé wörds füll",
            "🦀🦞🐙 tide pool walk",
            "Vq3#kz8!Lw",
        ] {
            assert_eq!(judge(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn a_password_that_panics_the_estimator_is_weak_r84() {
        let strength =
            candidate("tidal marmot kettle").map(|candidate| candidate.strength_by(|_, _| panic!("a fault")));
        assert_eq!(strength, Ok(Strength { score: 0, advice: vec![Advice::AddWords] }));
    }

    #[test]
    fn a_password_is_compared_with_lists_uncut_r8() {
        let email = "a.local.part.of.an.email.that.is.longer.than.what.is.judged@example.org";
        let words = Words::new(email, "annbeetle", &[]);
        let judge = |text: &str| Candidate::new(&Password::parse(text).expect("a password"), &words, 8)?.judge();
        let Err(Problem::PasswordGuessable(advice)) = judge(email) else { panic!("{email} was accepted") };
        assert!(advice.contains(&Advice::Personal), "{advice:?}");
    }

    #[test]
    fn words_sent_with_a_password_count_in_its_cost_and_are_capped_r24() {
        let password = Password::parse("1|7!+4@({[88888888888888888888").expect("a password");
        let cost = |email: &str| {
            let candidate = Candidate::new(&password, &Words::new(email, email, &[]), 8).expect("long enough");
            (candidate.core.to_string(), candidate.cost())
        };
        let parts = |part: fn(usize) -> String| (4..3_000).map(part).collect::<Vec<_>>().join(".");
        let (without, strange) = (cost(""), cost(&parts(|n| format!("word{n}"))));
        assert!(strange.0.len() <= without.0.len() && strange.1 > Duration::ZERO);
        let found = cost(&parts(|n| "b".repeat(n)));
        assert!(found.0.len() < without.0.len(), "less is judged, because words that may match cost more: {}", found.0);
        for (core, cost) in [without, strange, found] {
            assert!(cost <= Duration::from_micros(9_500), "{core}: {cost:?}");
        }
        let short = Password::parse("4@({[<69$5").expect("a password");
        let of =
            |email: &str| Candidate::new(&short, &Words::new(email, "", &[]), 8).map(|candidate| candidate.cost()).ok();
        assert!(of("one.word@example.org") < of(&parts(|n| format!("word{n}"))), "each word adds to the cost");
    }

    #[test]
    fn length_is_counted_in_code_points_r7() {
        assert_eq!(judge("äöüßéèê"), Err(Problem::PasswordTooShort { min_length: 8 }));
    }

    #[test]
    fn each_advice_is_shown_once_and_ends_with_a_suggestion() {
        use Advice::{AddWords, Common, Personal, Repeats};
        let table = [
            ("password", vec![Common, AddWords]),
            ("password-Password", vec![Repeats, Common, AddWords]),
            ("vestibule12345678", vec![Personal, AddWords]),
            ("aaaaaaaaaaaa", vec![Repeats, AddWords]),
            ("aaaaaa aaaaaa", vec![Repeats, AddWords]),
        ];
        for (bad, advice) in table {
            assert_eq!(judge(bad), Err(Problem::PasswordGuessable(advice)), "{bad}");
        }
    }

    #[test]
    fn common_and_personal_passwords_are_refused_with_a_reason_r8() {
        let table = [
            ("password", Advice::Common),
            ("passwordpassword", Advice::Repeats),
            ("password-Password", Advice::Repeats),
            ("vestibule-vestibule", Advice::Personal),
            ("annbeetle annbeetle", Advice::Personal),
            ("qwertyuiop", Advice::Common),
            ("aaaaaaaaaaaa", Advice::Repeats),
            ("abcdefghijk", Advice::Sequence),
            ("vestibule12345678", Advice::Personal),
            ("Brindlewick12345678", Advice::Personal),
            ("accounts.example.net", Advice::Personal),
            ("ann.beetle@example.org", Advice::Personal),
            ("AnnBeetle1", Advice::Personal),
        ];
        for (bad, why) in table {
            let Err(Problem::PasswordGuessable(advice)) = judge(bad) else { panic!("{bad} was accepted") };
            assert!(advice.contains(&why), "{bad}: {advice:?}");
            assert!(advice.contains(&Advice::AddWords) || advice.contains(&Advice::UseWords), "{bad}: {advice:?}");
        }
    }
    #[test]
    fn line_breaks_are_no_better_than_spaces_r8() {
        for text in ["\n".repeat(12), "\r\n".repeat(6), "\u{85}".repeat(12), " ".repeat(12)] {
            let judged = candidate(&text).and_then(|candidate| candidate.judge());
            assert!(matches!(judged, Err(Problem::PasswordGuessable(_))), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_periodic_password_is_rated_without_a_panic_r84(period in "[!-~]{1,4}", times in 2..128_usize) {
            let text: String = period.repeat(times).chars().take(256).collect();
            if let Ok(candidate) = candidate(&text) {
                let estimate = catch_unwind(AssertUnwindSafe(|| zxcvbn(&candidate.core, &candidate.words.texts())));
                prop_assert!(estimate.is_ok(), "{text}");
            }
        }

        #[test]
        fn personal_words_add_no_strength_r8(
            local in "[a-z][a-z0-9.+_-]{0,60}[a-z0-9]",
            domain in "[a-z]{2,20}\\.[a-z]{2,6}",
            username in "[a-z0-9][a-z0-9._-]{2,31}",
            service in "[A-Za-z]{3,12}( [A-Za-z]{2,12})?",
        ) {
            let email = format!("{local}@{domain}");
            let words = Words::new(&email, &username, std::slice::from_ref(&service));
            for word in [&email, &local, &domain, &username, &service] {
                if word.chars().filter(|c| c.is_alphanumeric()).count() < 3 {
                    continue;
                }
                for text in [word.clone(), format!("{word}{word}"), format!("{word}12345678"), word.to_uppercase()] {
                    let password = Password::parse(&text).expect("a password");
                    let outcome = Candidate::new(&password, &words, 8).and_then(|candidate| candidate.judge());
                    prop_assert!(outcome.is_err(), "{text} was accepted");
                }
            }
        }
    }
}
