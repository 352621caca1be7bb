//! The command line, with and without a running server.

use super::*;

#[test]
fn a_bad_configuration_stops_the_start_in_one_line_r105() {
    let folder = folder();
    let (code, _, error) = run(folder.path(), &[], &[("VESTIBULE_SESSION_IDEL", "4h")], "");
    assert_eq!((code, error.lines().count()), (2, 1), "{error}");
    std::fs::write(folder.path().join("Leptos.toml"), "[password]\nargon2_memory_kib = 8\n").unwrap();
    let (code, _, error) = run(folder.path(), &["check-config"], &[], "");
    assert_eq!((code, error.lines().count()), (2, 1), "R21: {error}");
    assert!(!folder.path().join("vestibule.db").exists(), "nothing is made");
    let (code, _, _) = run(folder.path(), &["--config", "none.toml"], &[], "");
    assert_eq!(code, 2);
}

#[test]
fn a_folder_that_is_not_there_is_told_clearly() {
    let folder = folder();
    let (code, _, error) = run(folder.path(), &["migrate"], &[("DATABASE_URL", "sqlite:/no/such/folder/a.db")], "");
    assert_eq!(code, 1);
    assert!(error.contains("/no/such/folder/a.db") && error.contains("can't be opened"), "{error}");
}

#[test]
fn the_command_line_manages_accounts_with_and_without_a_server() {
    let folder = folder();
    let user = |args: &[&str], input: &str| run(folder.path(), &[&["user"], args].concat(), &[], input);
    let (code, out, error) = user(&["add", "ann@example.org", "ann"], &format!("{PASSWORD}\n"));
    assert_eq!((code, out.as_str()), (0, "The account ann <ann@example.org> is made.\n"), "{error}");
    let (code, _, error) = user(&["add", "ann@example.org", "ann"], &format!("{PASSWORD}\n"));
    assert!(code == 1 && error.contains("exists already"), "{error}");

    let server = start(folder.path(), &[]);
    let token = server.token();
    let (code, out, error) = user(&["list"], "");
    assert!(code == 0 && out.contains("ann@example.org") && out.ends_with("Accounts: 1.\n"), "{out}{error}");
    assert_eq!(
        user(&["disable", "ann"], "").1,
        "The account ann is disabled. Sessions ended: 1. Access tokens are revoked.\n"
    );
    assert_eq!((server.me(&token), server.log_in().0), (401, 400), "at once, in the running server");
    assert_eq!(user(&["enable", "ann@example.org"], "").0, 0);
    let token = server.token();
    assert_eq!(
        user(&["revoke-sessions", "ann"], "").1,
        "The account ann is logged out everywhere. Sessions ended: 1. Access tokens are revoked.\n"
    );
    assert_eq!(server.me(&token), 401);
    let (code, _, error) = user(&["set-password", "ann"], "password\n");
    assert!(code == 1 && error.contains("too easy to guess"), "{error}");
    assert_eq!(user(&["set-password", "ann"], "walrus orchard lantern\n").0, 0);
    assert_eq!(server.log_in().0, 400, "the old password");
    let (code, _, error) = user(&["disable", "ghost"], "");
    assert!(code == 1 && error.contains("no account"), "{error}");
    assert!(server.stop().success());
}

#[test]
fn a_command_in_the_wrong_folder_makes_no_database() {
    let folder = folder();
    for args in [&["user", "list"][..], &["user", "disable", "ann"]] {
        let (code, _, error) = run(folder.path(), args, &[], "");
        assert!(code == 1 && error.contains("there is no vestibule.db"), "{error}");
    }
    assert!(!folder.path().join("vestibule.db").exists());
}

#[test]
fn help_can_be_learned_from() {
    let folder = folder();
    let (code, help, _) = run(folder.path(), &["--help"], &[], "");
    assert_eq!(code, 0);
    for word in ["serve", "user", "migrate", "check-config", "Examples:", "Leptos.toml"] {
        assert!(help.contains(word), "{word}");
    }
    let (code, _, error) = run(folder.path(), &["user", "add", "ann@example.org", "ann", "secret"], &[], "");
    assert_eq!(code, 2, "a password is never an argument: {error}");
}
