//! Suggestions for misspelled names.

/// The name closest to a word, if it is close enough to be a typo.
pub(super) fn closest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let distances = names.into_iter().map(|name| (strsim::damerau_levenshtein(&word, &name.to_lowercase()), name));
    let (distance, name) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + word.len() / 5).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_gets_a_suggestion_and_another_word_none() {
        let names = ["address", "hosts", "public_url", "max_connections"];
        for (word, meant) in [
            ("adress", Some("address")),
            ("ADDRESS", Some("address")),
            ("host", Some("hosts")),
            ("publicurl", Some("public_url")),
            ("public-url", Some("public_url")),
            ("max_conections", Some("max_connections")),
            ("port", None),
            ("", None),
        ] {
            assert_eq!(closest(word, names), meant, "{word}");
        }
    }
}
