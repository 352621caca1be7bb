//! The audit trail on the command line.

use std::io::{BufRead as _, BufReader};

use serde_json::Value;

use super::*;

/// The events that a command prints as JSON.
fn events(folder: &Path, args: &[&str]) -> Vec<Value> {
    let (code, out, error) = run(folder, &[&["events"], args].concat(), &[], "");
    assert_eq!((code, error.as_str()), (0, ""), "{args:?}");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn events_are_listed_with_and_without_a_server() {
    let folder = folder();
    run(folder.path(), &["user", "add", "ann@example.org", "ann"], &[], &format!("{PASSWORD}\n"));
    let created = events(folder.path(), &["list", "--person", "ann", "--json"]);
    assert_eq!(created.len(), 1);
    assert_eq!((&created[0]["name"], &created[0]["subject"]["name"]), (&"account.create".into(), &"ann".into()));
    assert!(created[0]["details"]["user"].as_str().is_some_and(|user| !user.is_empty()), "{}", created[0]);

    let server = start(folder.path(), &[]);
    assert_eq!(server.log_in().0, 200);
    run(folder.path(), &["user", "disable", "ann"], &[], "");
    let (code, out, _) = run(folder.path(), &["events", "list", "--from", "1d", "--limit", "4"], &[], "");
    let names: Vec<_> = out.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!((code, names), (0, vec!["account.disable", "session.start", "server.start", "account.create"]), "{out}");
    assert!(out.contains("127.0.0.x") && out.contains("command line ("), "{out}");
    assert_eq!(events(folder.path(), &["list", "--name", "session", "--json"]).len(), 1);
    server.stop();
    let stopped = events(folder.path(), &["list", "--limit", "1", "--json"]);
    assert_eq!(stopped[0]["name"], "server.stop");
}

#[test]
fn wrong_filters_of_events_are_explained() {
    let folder = folder();
    run(folder.path(), &["user", "add", "ann@example.org", "ann"], &[], &format!("{PASSWORD}\n"));
    for (args, word) in [
        (["--name", "logins"], "no event or category"),
        (["--from", "yesterday"], "write a time such as"),
        (["--outcome", "good"], "possible values"),
        (["--person", "nobody"], "no account"),
    ] {
        let (code, _, error) = run(folder.path(), &[&["events", "list"][..], &args].concat(), &[], "");
        assert!(code != 0 && error.contains(word), "{args:?}: {error}");
    }
}

#[test]
fn tail_prints_each_event_once_while_the_server_restarts() {
    let folder = folder();
    run(folder.path(), &["user", "add", "ann@example.org", "ann"], &[], &format!("{PASSWORD}\n"));
    let server = start(folder.path(), &[]);
    let args = ["events", "tail", "--follow", "--after", "0"];
    let tail = program(folder.path()).args(args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut tail = tail.unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().starts_with("TIME"), "the command has found the server");
    run(folder.path(), &["user", "disable", "ann"], &[], "");
    server.stop();
    let server = start(folder.path(), &[]);
    let names: Vec<String> =
        lines.take(5).map(|line| line.split_whitespace().nth(1).unwrap_or_default().to_owned()).collect();
    tail.kill().unwrap();
    tail.wait().unwrap();
    server.stop();
    assert_eq!(names, ["account.create", "server.start", "account.disable", "server.stop", "server.start"]);
}
