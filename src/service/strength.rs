//! Whether a new password is hard enough to guess (NIST SP 800-63B-4, 3.1.1.2: no rules on what it is made of, but
//! none that is common, or that an attacker who knows the person tries first).

use zxcvbn::{
    feedback::{Suggestion, Warning},
    zxcvbn,
};

use crate::{
    domain::{account::Strength, email::Email, password::Password, username::Username},
    error::{Advice, Problem},
};

/// Characters that the estimator is given.
const JUDGED_CHARS: usize = 40;

/// What a guesser tries first, whoever the person is.
const SERVICE_NAME: &str = "vestibule";

/// Refuses a password that is too short, or that zxcvbn scores under 3 of 4 when it knows the person's email and
/// username and the service's name.
pub fn check(password: &Password, email: &Email, username: &Username, least: u32) -> Result<(), Problem> {
    let text = password.expose();
    if text.chars().count() < least as usize {
        return Err(Problem::PasswordTooShort { least });
    }
    let Strength { score, advice } = judge(password, Some(email), Some(username));
    if score >= LEAST { Ok(()) } else { Err(Problem::PasswordGuessable(advice)) }
}

/// The least score of a new password.
const LEAST: u8 = 3;

/// How hard a password is to guess for whoever knows as much of the person.
pub fn judge(password: &Password, email: Option<&Email>, username: Option<&Username>) -> Strength {
    let (text, email) = (password.expose(), email.map_or("", Email::key));
    let (local, domain) = email.split_once('@').unwrap_or((email, ""));
    let personal = [email, local, domain, username.map_or("", Username::key), SERVICE_NAME];
    let judged = beginning(text);
    let once = each_word_once(judged);
    let estimate = zxcvbn(once.as_deref().unwrap_or(judged), &personal);
    let score = estimate.score() as u8;
    if score >= LEAST {
        return Strength { score, advice: Vec::new() };
    }
    let folded = text.to_lowercase();
    let personal = personal.iter().any(|word| word.chars().count() >= 3 && folded.contains(word));
    let feedback = estimate.feedback();
    let warning = feedback.and_then(zxcvbn::feedback::Feedback::warning).map(reason);
    let why = if personal { Some(Advice::Yours) } else { warning };
    let ways_out = feedback.map_or(&[][..], |feedback| feedback.suggestions()).iter().copied().map(way_out);
    let mut advice = Vec::new();
    for one in once.map(|_| Advice::Repeats).into_iter().chain(why).chain(ways_out) {
        if !advice.contains(&one) {
            advice.push(one);
        }
    }
    Strength { score, advice }
}

/// As much of a password as is judged. What is hard to guess so far doesn't become easy by what follows, and the estimator
/// takes seconds over a hundred characters that are chosen to keep it busy.
fn beginning(text: &str) -> &str {
    text.char_indices().nth(JUDGED_CHARS).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

/// Characters of the shortest word whose repetition is looked for.
const SHORTEST_WORD: usize = 3;

/// The text without its words' second and later appearances, if there are any: a guesser tries those soon, and the
/// estimator takes each for another word.
fn each_word_once(text: &str) -> Option<String> {
    let is_no_letter = |c: char| !c.is_alphanumeric();
    let (mut seen, mut once, mut repeated) = (Vec::new(), String::new(), false);
    // Each piece is a word with what follows it.
    for piece in text.split_inclusive(is_no_letter) {
        let word = piece.trim_end_matches(is_no_letter).to_lowercase();
        if word.chars().count() >= SHORTEST_WORD && seen.contains(&word) {
            repeated = true;
        } else {
            once.push_str(piece);
            seen.push(word);
        }
    }
    repeated.then(|| once.trim_end_matches(is_no_letter).to_owned())
}

fn reason(warning: Warning) -> Advice {
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

fn way_out(suggestion: Suggestion) -> Advice {
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
    use super::*;

    fn judge(text: &str) -> Result<(), Problem> {
        let password = Password::parse(text).expect("a password");
        let email = Email::parse("ann.beetle@example.org").expect("an email");
        let username = Username::parse("annbeetle").expect("a username");
        check(&password, &email, &username, 8)
    }

    #[test]
    fn any_characters_make_a_good_password_r7() {
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
    fn a_password_that_keeps_the_estimator_busy_costs_no_more_than_forty_characters_r24() {
        let busy = "4@8({[<369!1|0$5+7%2".repeat(12);
        assert_eq!(beginning(&busy).chars().count(), 40);
        assert_eq!(beginning("ünïcödé"), "ünïcödé");
    }

    #[test]
    fn length_is_counted_in_code_points_r7() {
        assert_eq!(judge("äöüßéèê"), Err(Problem::PasswordTooShort { least: 8 }));
    }

    #[test]
    fn each_advice_is_told_once_and_ends_with_a_way_out() {
        use Advice::{AddWords, Common, Repeats, Yours};
        let table = [
            ("password", vec![Common, AddWords]),
            ("password-Password", vec![Repeats, Common, AddWords]),
            ("vestibule12345678", vec![Yours, AddWords]),
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
            ("vestibule-vestibule", Advice::Yours),
            ("annbeetle annbeetle", Advice::Yours),
            ("qwertyuiop", Advice::Common),
            ("aaaaaaaaaaaa", Advice::Repeats),
            ("abcdefghijk", Advice::Sequence),
            ("vestibule12345678", Advice::Yours),
            ("ann.beetle@example.org", Advice::Yours),
            ("AnnBeetle1", Advice::Yours),
        ];
        for (bad, why) in table {
            let Err(Problem::PasswordGuessable(advice)) = judge(bad) else { panic!("{bad} was taken") };
            assert!(advice.contains(&why), "{bad}: {advice:?}");
            assert!(advice.contains(&Advice::AddWords) || advice.contains(&Advice::UseWords), "{bad}: {advice:?}");
        }
    }
}
