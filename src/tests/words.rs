//! The language of the repository: standard terms, so that newcomers can skim and search it.

use std::path::{Path, PathBuf};

use super::repository::root;

/// Words that have a plain or a technical equivalent: notify, return, report; valid; requires; active; expired; fixed.
const WORDS: [&str; 15] = [
    "anew",
    "dearer",
    "letterhead",
    "living",
    "mended",
    "nobody's",
    "postman",
    "spent",
    "tell",
    "telling",
    "tells",
    "told",
    "wants",
    "whoever",
    "whomever",
];

/// The same for phrases.
const PHRASES: [&str; 9] = [
    "by heart",
    "counts again",
    "held back",
    "no longer counts",
    "of one's own",
    "still counts",
    "what is over",
    "what matters",
    "who is there",
];

/// Collects the files that people read, without generated and recorded ones. Migrations are excluded too, because
/// applied ones are identified by their checksum.
fn texts(folder: &Path, found: &mut Vec<PathBuf>) {
    const APART: [&str; 9] = [
        ".git",
        "target",
        "node_modules",
        "corpus",
        "snapshots",
        "migrations",
        "test-results",
        "words.rs",
        "package-lock.json",
    ];
    const KINDS: [&str; 9] = ["css", "js", "md", "mjs", "rs", "sh", "toml", "ts", ""];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = path.extension().unwrap_or_default().to_str().unwrap();
        if APART.iter().any(|apart| path.ends_with(apart)) {
        } else if path.is_dir() {
            texts(&path, found);
        } else if KINDS.contains(&kind) {
            found.push(path);
        }
    }
}

#[test]
fn the_repository_is_written_in_plain_terms() {
    let mut files = Vec::new();
    texts(root(), &mut files);
    let mut wrong = Vec::new();
    for path in files {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for (number, line) in text.lines().enumerate() {
            let line = line.to_lowercase();
            let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '\'');
            let words: Vec<&str> = line.split(|c| !is_word(c)).filter(|word| !word.is_empty()).collect();
            let spaced = format!(" {} ", words.join(" "));
            for banned in WORDS.into_iter().chain(PHRASES) {
                if spaced.contains(&format!(" {banned} ")) {
                    let name = path.strip_prefix(root()).unwrap().display().to_string();
                    wrong.push(format!("{name}:{}: {banned}", number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "write it in other words:\n{}", wrong.join("\n"));
}
