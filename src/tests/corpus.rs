//! Replays the stored inputs of fuzzing: runs each target's oracle on every input of its corpus.

#[path = "../fuzz/oracles.rs"]
mod oracles;

use std::path::Path;

/// Replays one corpus. Reports the inputs that violate the oracle.
fn replay(name: &str) {
    let (_, oracle) = oracles::ORACLES.into_iter().find(|(known, _)| *known == name).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/fuzz/corpus").join(name);
    let mut inputs: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(inputs.len() >= 8, "there is a corpus");
    for input in inputs {
        let data = std::fs::read(&input).unwrap();
        let outcome = std::panic::catch_unwind(|| oracle(&data));
        assert!(outcome.is_ok(), "{} violates the oracle", input.display());
    }
}

#[test]
fn a_token_is_taken_whole_or_not_at_all() {
    replay("token");
}

#[test]
fn every_spelling_of_an_email_is_one_account_r3() {
    replay("email");
}

#[test]
fn every_spelling_of_a_username_is_one_account_r4() {
    replay("username");
}

#[test]
fn a_tokens_name_is_a_short_line_that_turns_no_text_around_it() {
    replay("token_name");
}

#[test]
fn nothing_a_client_writes_changes_its_address_r89() {
    replay("forwarded_for");
}

#[test]
fn a_stored_hash_reads_back_as_it_was_written() {
    replay("stored_hash");
}

#[test]
fn a_password_is_judged_within_its_budget_and_never_panics_r24_r84() {
    replay("password");
}

#[test]
fn no_body_is_a_fault_of_ours_r16() {
    replay("body");
    oracles::stop_server();
}
