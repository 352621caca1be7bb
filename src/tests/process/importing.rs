//! `vestibule import`, with and without a running server.

use super::*;

/// The database of a site that Django made.
fn site() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/fixtures/django-site.sqlite3").display().to_string()
}

/// The lines of the report that contain a text.
fn report(folder: &Path, part: &str) -> usize {
    std::fs::read_to_string(folder.join("import-report.jsonl")).unwrap().lines().filter(|l| l.contains(part)).count()
}

#[test]
fn the_command_imports_a_site_beside_a_running_server_r145() {
    let folder = folder();
    let import =
        |args: &[&str]| run(folder.path(), &[&["import", "django", "--from", &site()], args].concat(), &[], "");
    let server = start(folder.path(), &[]);
    let (code, out, error) = import(&["--dry-run"]);
    assert_eq!(code, 3, "{out}{error}");
    assert!(out.starts_with("This was a dry run. Nothing was changed.\nimported         20\n"), "{out}");
    assert!(out.contains("vestibule operator role ann admin"), "{out}");
    let body = json!({ "email": "bob", "password": "bobs-lantern-58-river" }).to_string();
    let log_in = || server.call("POST", "/api/accounts/api_auth/", "", &body).0;
    assert_eq!(log_in(), 400);

    let (code, out, error) = import(&[]);
    assert!(code == 3 && out.starts_with("imported         20\n"), "{out}{error}");
    assert_eq!(log_in(), 200, "the running server knows the accounts at once");
    assert_eq!((report(folder.path(), "\"imported\""), report(folder.path(), "\"email_taken\"")), (20, 1));
    let mode = folder.path().join("import-report.jsonl").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(folder.path().join("import-report.jsonl")).unwrap();
    assert!(!text.contains("pbkdf2") && !text.contains("0123456789abcdef"), "no hash and no token");
    assert!(server.stop().success());

    let (code, out, _) = import(&[]);
    assert!(code == 3 && out.contains("\nunchanged        20\n"), "{out}");
    let (code, out, _) = run(folder.path(), &["user", "show", "kim-work"], &[], "");
    assert!(code == 0 && out.contains("kim@example.org"), "{out}");
}

#[test]
fn accounts_in_a_csv_file_are_imported_r145() {
    let folder = folder();
    let hash = "pbkdf2_sha256$1000$0123456789abcdefABCDEF$/1YD2N6qPaTGhVSCOxb8opDyolKlDwQ3Umzy/bLw6e4=";
    let text = format!("email,username,password_hash,groups\nann@example.org,ann,{hash},editors;night\nnobody,x,,\n");
    std::fs::write(folder.path().join("people.csv"), text).unwrap();
    let (code, out, error) = run(folder.path(), &["import", "csv", "people.csv", "--confirmed"], &[], "");
    assert!(code == 3 && out.starts_with("imported          1\n"), "{out}{error}");
    assert_eq!(report(folder.path(), "\"email_invalid\""), 1);
    let (_, out, _) = run(folder.path(), &["user", "show", "ann", "--json"], &[], "");
    let shown: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&shown["email_verified"], &shown["groups"]), (&json!(true), &json!(["editors", "night"])));
    let server = start(folder.path(), &[]);
    let body = json!({ "email": "ann", "password": "x" }).to_string();
    assert_eq!(server.call("POST", "/api/accounts/api_auth/", "", &body).0, 200);
}

#[test]
fn a_source_that_cannot_be_read_changes_nothing() {
    let folder = folder();
    std::fs::write(folder.path().join("people.csv"), "mail\nann@example.org\n").unwrap();
    for (args, part) in [
        (&["import", "csv", "people.csv"][..], "unknown column \"mail\""),
        (&["import", "csv", "missing.csv"], "missing.csv can't be read"),
        (&["import", "django", "--from", "missing.sqlite3"], "can't be read"),
        (&["import", "django", "--from", "people.csv"], "can't be read"),
        (&["import", "django", "--from", "mysql://localhost/site"], "--from"),
    ] {
        let (code, _, error) = run(folder.path(), args, &[], "");
        assert!(code == 1 && error.contains(part), "{args:?}: {error}");
    }
    assert!(!folder.path().join("vestibule.db").exists());
    std::fs::remove_file(folder.path().join("import-report.jsonl")).unwrap();
    std::os::unix::fs::symlink("people.csv", folder.path().join("import-report.jsonl")).unwrap();
    let (code, _, error) = run(folder.path(), &["import", "django", "--from", &site()], &[], "");
    assert!(code == 1 && error.contains("symbolic link"), "{error}");
}
