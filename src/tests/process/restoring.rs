//! Backups of the database, and restoring them.

use super::*;

/// A database with logouts, disabled accounts and other changes between a backup and its restore.
struct Before {
    folder: TempDir,
    ann: String,
    access_token: String,
}

fn register_all(server: &Server, names: &[&str]) {
    for name in names {
        assert_eq!(server.try_to_register(name).0, 200);
    }
}

fn access_token(server: &Server, session: &str) -> String {
    let request = r#"{"name":"cron","scope":"read","days":30}"#;
    let (status, text) = server.call("POST", "/api/accounts/tokens/", session, request);
    assert_eq!(status, 200, "{text}");
    serde_json::from_str::<serde_json::Value>(&text).unwrap()["token"].as_str().unwrap().to_owned()
}

/// A stopped server with a backup, and with later changes that a restore must report.
fn before() -> Before {
    let folder = folder();
    let server = start(folder.path(), &[]);
    register_all(&server, &["ann", "bob", "carl", "dave"]);
    let ann = server.token();
    let access_token = access_token(&server, &ann);
    let (code, out, error) = run(folder.path(), &["backup", "copy.db"], &[], "");
    assert!(
        code == 0 && out.starts_with(&format!("The backup is in {}", folder.path().join("copy.db").display())),
        "{out}{error}"
    );
    assert_eq!(server.me(&ann), 200, "the server keeps running");
    assert_eq!(server.call("POST", "/api/accounts/logout/", &ann, "{}").0, 204);
    register_all(&server, &["eve"]);
    let user = |args: &[&str], input: &str| {
        let (code, _, error) = run(folder.path(), &[&["user"], args].concat(), &[], input);
        assert_eq!(code, 0, "{error}");
    };
    user(&["disable", "bob"], "");
    user(&["set-password", "carl"], "walrus orchard lantern\n");
    let body = format!(r#"{{"email":"dave","password":"{PASSWORD}"}}"#);
    let (_, text) = server.call("POST", "/api/accounts/api_auth/", "", &body);
    let dave = serde_json::from_str::<serde_json::Value>(&text).unwrap()["token"].as_str().unwrap().to_owned();
    assert_eq!(server.call("POST", "/api/accounts/delete/", &dave, r#"{"username":"dave"}"#).0, 204);
    let (code, _, error) = run(folder.path(), &["restore", "copy.db"], &[], "");
    assert!(code == 1 && error.contains("a server has vestibule.db open. Stop it first"), "{error}");
    assert!(server.stop().success());
    Before { folder, ann, access_token }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.filter(|name| name.contains(".part") || name.contains(".db")).collect();
    names.sort();
    names
}

#[test]
fn a_restore_keeps_what_was_acknowledged_and_revives_nothing_r106_r107() {
    let Before { folder, ann, access_token } = before();
    assert_eq!(
        names(folder.path()),
        ["copy.db", "vestibule.db", "vestibule.db.key", "vestibule.db.lock", "vestibule.db.mark"],
        "no temporary file remains"
    );
    let (code, out, error) = run(folder.path(), &["restore", "copy.db"], &[], "");
    assert_eq!(code, 0, "{error}");
    for words in [
        &format!("The backup is in place: {}. Its newest entry is from ", folder.path().join("vestibule.db").display()),
        "Sessions ended: 1. Links in emails revoked: ",
        "Access tokens revoked: 1.",
        "Accounts created since then (lost): 1.",
        "Accounts deleted since then (now disabled): dave.",
        "Accounts disabled since then (now disabled): bob.",
        "Accounts with a new password since then (old password valid again): carl.",
    ] {
        assert!(out.contains(words), "{words}: {out}");
    }
    assert!(out.lines().all(|line| line == line.trim_end()), "{out}");
    let [copy, present, aside, key, lock, mark] = <[String; 6]>::try_from(names(folder.path())).unwrap();
    assert_eq!(
        [&*copy, &*present, &*key, &*lock, &*mark],
        ["copy.db", "vestibule.db", "vestibule.db.key", "vestibule.db.lock", "vestibule.db.mark"]
    );
    assert!(aside.starts_with("vestibule.db.before-") && out.contains(&aside), "{aside}");
    for name in [&copy, &present, &aside] {
        assert_eq!(folder.path().join(name).metadata().unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    let server = start(folder.path(), &[]);
    assert_eq!((server.me(&ann), server.me(&access_token)), (401, 401));
    let statuses = ["ann", "bob", "carl", "dave", "eve"].map(|name| server.log_in_as(name).0);
    assert_eq!(statuses, [200, 400, 200, 400, 400]);
    assert!(server.stop().success());
    // The previous database is complete, and can be restored in the same way. The current one doesn't contain eve, so
    // the restore treats her as deleted since.
    let (code, _, error) = run(folder.path(), &["restore", &aside, "--trust-backup"], &[], "");
    assert_eq!(code, 0, "{error}");
    let server = start(folder.path(), &[]);
    assert_eq!(["ann", "carl", "eve"].map(|name| server.log_in_as(name).0), [200, 400, 200]);
    assert!(server.stop().success());
}

#[test]
fn the_operator_may_restore_access_tokens_and_open_accounts() {
    let Before { folder, access_token, .. } = before();
    let args = ["restore", "copy.db", "--keep-access-tokens", "--trust-backup"];
    let (code, out, error) = run(folder.path(), &args, &[], "");
    assert!(code == 0 && out.contains("(enabled again): bob."), "{out}{error}");
    let server = start(folder.path(), &[]);
    assert_eq!((server.me(&access_token), server.log_in_as("bob").0, server.log_in_as("dave").0), (200, 200, 200));
    assert!(server.stop().success());
}

/// Changes a database that no server has open.
fn change(file: &Path, sql: &'static str) {
    Runtime::new().unwrap().block_on(async {
        let url = format!("sqlite:{}", file.display());
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}

#[test]
fn a_restore_disables_accounts_whose_email_changed_since_r107() {
    for (option, fay, words) in [
        (&[][..], 400, "Accounts with a new email since then (old email restored, now disabled): fay."),
        (&["--trust-backup"], 200, "Accounts with a new email since then (old email restored): fay."),
    ] {
        let folder = folder();
        let user = |args: &[&str], input: &str| {
            let (code, _, error) = run(folder.path(), &[&["user"], args].concat(), &[], input);
            assert_eq!(code, 0, "{error}");
        };
        for (email, name) in [("fay@example.org", "fay"), ("gina@example.org", "gina"), ("hal@example.org", "hal")] {
            user(&["add", email, name], &format!("{PASSWORD}\n"));
        }
        assert_eq!(run(folder.path(), &["backup", "copy.db"], &[], "").0, 0);
        user(&["rename", "gina", "regina"], "");
        let moved = "UPDATE users SET email = 'fay@example.net', email_key = 'fay@example.net' WHERE username = 'fay'";
        change(&folder.path().join("vestibule.db"), moved);
        let (code, out, error) = run(folder.path(), &[&["restore", "copy.db"], option].concat(), &[], "");
        assert!(code == 0 && out.contains(words), "{out}{error}");
        assert!(out.contains("Accounts with a new username since then (old username restored): gina."), "{out}");
        let server = start(folder.path(), &[]);
        assert_eq!(["fay", "gina", "hal"].map(|name| server.log_in_as(name).0), [fay, 200, 200]);
        assert!(server.stop().success());
    }
}

/// Queries a number from a database that no server has open.
fn count(file: &Path, sql: &'static str) -> i64 {
    Runtime::new().unwrap().block_on(async {
        let url = format!("sqlite:{}", file.display());
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        let count = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        count
    })
}

/// A folder with the database of a stopped server, and a backup. The SQL in `before` runs before the backup, and that
/// in `since` after it.
fn backed_up(register: &[&str], before: &'static str, since: &'static str) -> (TempDir, std::path::PathBuf) {
    let folder = folder();
    let file = folder.path().join("vestibule.db");
    let server = start(folder.path(), &[]);
    register_all(&server, register);
    for name in register {
        assert_eq!(server.log_in_as(name).0, 200);
    }
    assert!(server.stop().success());
    change(&file, before);
    assert_eq!(run(folder.path(), &["backup", "copy.db"], &[], "").0, 0);
    change(&file, since);
    (folder, file)
}

#[test]
fn an_account_that_was_claimed_since_is_disabled_by_a_restore_r107() {
    let claimed = "UPDATE users SET email_verified_at = 1, password_hash = 'another' WHERE username IN ('fay', 'gina'); \
                   UPDATE users SET email_verified_at = 1 WHERE username = 'hal'";
    let confirmed = "UPDATE users SET email_verified_at = 1 WHERE username = 'gina'";
    let (folder, _) = backed_up(&["fay", "gina", "hal"], confirmed, claimed);
    let (code, out, error) = run(folder.path(), &["restore", "copy.db"], &[], "");
    let words = "Accounts claimed since then by the owner of their email (now disabled): fay.\n";
    assert!(code == 0 && out.contains(words), "{out}{error}");
    let server = start(folder.path(), &[]);
    assert_eq!(["fay", "gina", "hal"].map(|name| server.log_in_as(name).0), [400, 200, 200]);
    assert!(server.stop().success());
}

/// The roles and the groups of accounts.
fn rights<const N: usize>(folder: &Path, names: [&str; N]) -> [(serde_json::Value, serde_json::Value); N] {
    names.map(|name| {
        let shown = run(folder, &["user", "show", name, "--json"], &[], "").1;
        let mut shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        (shown["role"].take(), shown["groups"].take())
    })
}

#[test]
fn a_restore_brings_no_role_and_no_membership_back_r107() {
    let before = "UPDATE users SET role = 'admin' WHERE username <> 'eve'; \
                  UPDATE users SET role = 'support' WHERE username = 'fay'; \
                  INSERT INTO groups VALUES ('1', 'editors', 'editors', 0), ('2', 'writers', 'writers', 0); \
                  INSERT INTO group_members SELECT '1', id FROM users; \
                  INSERT INTO group_members SELECT '2', id FROM users WHERE username = 'ann'";
    let since = "UPDATE users SET role = NULL WHERE username = 'ann'; \
                 UPDATE users SET role = 'admin' WHERE username IN ('eve', 'fay'); DELETE FROM users WHERE username = 'gus'; \
                 DELETE FROM groups WHERE id = '2'; \
                 DELETE FROM group_members WHERE user_id = (SELECT id FROM users WHERE username = 'bob')";
    for (option, words, left) in [
        (
            &[][..],
            [
                "role since then (now without a role): ann, fay, gus.",
                "left a group since then (memberships removed): ann, bob, gus.",
            ],
            [(json!(null), json!(["editors"])), (json!("admin"), json!([])), (json!(null), json!(["editors"]))],
        ),
        (
            &["--trust-backup"],
            [
                "role since then (old role restored): ann, fay, gus.",
                "left a group since then (memberships restored): ann, bob, gus.",
            ],
            [
                (json!("admin"), json!(["editors", "writers"])),
                (json!("admin"), json!(["editors"])),
                (json!(null), json!(["editors"])),
            ],
        ),
    ] {
        let (folder, _) = backed_up(&["ann", "bob", "eve", "fay", "gus"], before, since);
        let (code, out, error) = run(folder.path(), &[&["restore", "copy.db"], option].concat(), &[], "");
        assert!(code == 0 && words.iter().all(|words| out.contains(words)), "{out}{error}");
        assert_eq!(rights(folder.path(), ["ann", "bob", "eve"]), left);
        let roles = rights(folder.path(), ["fay", "gus"]).map(|(role, _)| role);
        let expected = if option.is_empty() { [json!(null), json!(null)] } else { [json!("support"), json!("admin")] };
        assert_eq!(roles, expected);
    }
}

#[test]
fn a_restore_lists_changes_since_a_version_without_groups() {
    let since = "DROP TABLE group_members; UPDATE users SET username = 'regina', username_key = 'regina'";
    let (folder, _) = backed_up(&["ann"], "", since);
    let (code, out, error) = run(folder.path(), &["restore", "copy.db"], &[], "");
    let words = "Accounts with a new username since then (old username restored): ann.\n";
    assert!(code == 0 && out.contains(words), "{out}{error}");
}

#[test]
fn a_restore_that_leaves_no_admin_says_so() {
    let (folder, _) = backed_up(&["ann"], "UPDATE users SET role = 'admin'", "UPDATE users SET role = NULL");
    let (code, out, error) = run(folder.path(), &["restore", "copy.db"], &[], "");
    assert!(
        code == 0 && out.contains("There is no enabled admin: make one with `vestibule operator role"),
        "{out}{error}"
    );
    let (code, out, error) = run(folder.path(), &["restore", "copy.db", "--trust-backup"], &[], "");
    assert!(code == 0 && !out.contains("There is no enabled admin"), "{out}{error}");
}

#[test]
fn a_restore_makes_no_network_known_again_r107() {
    let (folder, file) = backed_up(&["ann"], "", "DELETE FROM known_networks");
    assert_eq!(count(&folder.path().join("copy.db"), "SELECT COUNT(*) FROM known_networks"), 1);
    assert_eq!(run(folder.path(), &["restore", "copy.db"], &[], "").0, 0);
    assert_eq!(count(&file, "SELECT COUNT(*) FROM known_networks"), 0);
}

#[test]
fn a_restore_keeps_valid_links_that_undo_an_email_change_r107() {
    let links = "INSERT INTO links (token_hash, kind, user_id, address, created_at, expires_at) \
                 SELECT x'aa', 'undo_email', id, 'ann@example.net', 0, 9000000000000 FROM users UNION ALL \
                 SELECT x'bb', 'undo_email', id, 'ann@example.net', 0, 9000000000000 FROM users UNION ALL \
                 SELECT x'cc', 'reset', id, 'ann@example.net', 0, 9000000000000 FROM users";
    let (folder, file) = backed_up(&["ann"], links, "DELETE FROM links WHERE token_hash = x'bb'");
    let (code, out, error) = run(folder.path(), &["restore", "copy.db"], &[], "");
    assert!(code == 0 && out.contains("Links in emails revoked: 3."), "{out}{error}");
    assert_eq!(count(&file, "SELECT COUNT(*) FROM links WHERE token_hash = x'aa'"), 1);
    assert_eq!(count(&file, "SELECT COUNT(*) FROM links"), 1);
}

#[test]
fn a_restore_keeps_no_token_of_an_account_disabled_since_r107() {
    let folder = folder();
    let server = start(folder.path(), &[]);
    register_all(&server, &["ann", "bob"]);
    let tokens = ["ann", "bob"].map(|name| {
        let (_, text) = server.log_in_as(name);
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        access_token(&server, answer["token"].as_str().unwrap())
    });
    let run = |args: &[&str]| assert_eq!(run(folder.path(), args, &[], "").0, 0, "{args:?}");
    run(&["backup", "copy.db"]);
    run(&["user", "disable", "ann"]);
    assert!(server.stop().success());
    run(&["restore", "copy.db", "--keep-access-tokens"]);
    run(&["user", "enable", "ann"]);
    let server = start(folder.path(), &[]);
    assert_eq!(tokens.map(|token| server.me(&token)), [401, 200]);
    assert!(server.stop().success());
}

#[test]
fn a_plain_copy_of_a_stopped_servers_file_has_everything() {
    let (folder, other) = (folder(), self::folder());
    let server = start(folder.path(), &[]);
    register_all(&server, &["ann", "bob"]);
    assert!(server.stop().success());
    assert_eq!(
        names(folder.path()),
        ["vestibule.db", "vestibule.db.key", "vestibule.db.lock", "vestibule.db.mark"],
        "no log remains beside the database"
    );
    std::fs::copy(folder.path().join("vestibule.db"), other.path().join("vestibule.db")).unwrap();
    let server = start(other.path(), &[]);
    assert_eq!((server.log_in_as("ann").0, server.log_in_as("bob").0), (200, 200));
    assert!(server.stop().success());
}

#[test]
fn a_plain_copy_of_a_running_servers_file_has_its_tables() {
    let (folder, other) = (folder(), self::folder());
    let server = start(folder.path(), &[]);
    let copy = other.path().join("copy.db");
    std::fs::copy(folder.path().join("vestibule.db"), &copy).unwrap();
    let counted = Runtime::new().unwrap().block_on(async {
        let mut connection = sqlx::SqliteConnection::connect(&format!("sqlite:{}", copy.display())).await?;
        sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM users").fetch_one(&mut connection).await
    });
    assert_eq!(counted.unwrap(), 0);
    assert!(server.stop().success());
}

#[test]
fn a_backup_overwrites_nothing_and_goes_into_a_file_alone() {
    let folder = folder();
    let server = start(folder.path(), &[]);
    std::fs::write(folder.path().join("notes.txt"), "Buy milk.").unwrap();
    for (file, words) in [
        ("-", "can't be written to standard output"),
        ("notes.txt", "notes.txt already exists"),
        ("/dev/null", "is a terminal or a device"),
        ("no/such/folder/copy.db", "the folder no/such/folder doesn't exist"),
    ] {
        let (code, _, error) = run(folder.path(), &["backup", file], &[], "");
        assert!(code == 1 && error.contains(words) && error.lines().count() == 1 && error.ends_with(".\n"), "{error}");
    }
    std::fs::create_dir(folder.path().join("inner")).unwrap();
    let (code, out, error) = run(folder.path(), &["backup", "inner/../copy.db"], &[], "");
    let place = format!("The backup is in {} (", folder.path().join("copy.db").display());
    assert!(code == 0 && out.starts_with(&place), "{out}{error}");
    assert_eq!(std::fs::read_to_string(folder.path().join("notes.txt")).unwrap(), "Buy milk.");
    assert!(server.stop().success());
    let empty = self::folder();
    let (code, _, error) = run(empty.path(), &["backup", "copy.db"], &[], "");
    assert!(code == 1 && error.contains("there is no vestibule.db"), "{error}");
    assert_eq!(names(empty.path()), [""; 0], "nothing is left behind");
}

/// A file's bytes.
fn bytes(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).unwrap()
}

#[test]
fn a_finished_backup_survives_the_next_one_whatever_its_name_is() {
    let folder = folder();
    let server = start(folder.path(), &[]);
    server.register();
    for name in ["vestibule.db.backup", "vestibule.db.restore", "tue.db.part", "vestibule.db.restore.part"] {
        let (code, _, error) = run(folder.path(), &["backup", name], &[], "");
        assert_eq!(code, 0, "{name}: {error}");
        let whole = bytes(folder.path(), name);
        let (code, _, error) = run(folder.path(), &["backup", "tue.db"], &[], "");
        assert_eq!((code, bytes(folder.path(), name) == whole), (0, true), "{name}: {error}");
        std::fs::remove_file(folder.path().join("tue.db")).unwrap();
    }
    assert!(server.stop().success());
    let whole = bytes(folder.path(), "vestibule.db.restore");
    let (code, _, error) = run(folder.path(), &["restore", "vestibule.db.restore"], &[], "");
    assert_eq!((code, bytes(folder.path(), "vestibule.db.restore") == whole), (0, true), "{error}");
}

#[test]
fn no_backup_has_a_name_that_the_database_uses() {
    let folder = folder();
    let server = start(folder.path(), &[]);
    for name in ["-journal", ".key", ".backup-0123456789abcdef.draft"] {
        let name = format!("./vestibule.db{name}");
        drop(std::fs::remove_file(folder.path().join(&name)));
        let (code, _, error) = run(folder.path(), &["backup", &name], &[], "");
        assert!(code == 1 && error.contains("is a name that the database itself uses"), "{name}: {error}");
        assert!(!folder.path().join(&name).exists(), "{name}");
    }
    assert!(server.stop().success());
    let before = bytes(folder.path(), "vestibule.db");
    let (code, _, error) = run(folder.path(), &["restore", "vestibule.db"], &[], "");
    assert!(code == 1 && error.contains("belongs to the database itself"), "{error}");
    assert!(bytes(folder.path(), "vestibule.db") == before);
}

#[test]
fn what_a_killed_backup_left_is_removed_or_named() {
    let folder = folder();
    let server = start(folder.path(), &[]);
    let (draft, part) = ("vestibule.db.backup-0123456789abcdef.draft", "mon.db.0123456789abcdef.part");
    for name in [draft, part] {
        std::fs::write(folder.path().join(name), "half").unwrap();
    }
    let (code, out, error) = run(folder.path(), &["backup", "tue.db"], &[], "");
    assert!(code == 0 && out.contains("mon.db.0123456789abcdef.part is an unfinished backup."), "{out}{error}");
    assert!(!folder.path().join(draft).exists() && bytes(folder.path(), part) == b"half");
    assert!(server.stop().success());
}

#[test]
fn a_file_that_is_no_whole_backup_is_refused_without_a_change() {
    let folder = folder();
    let server = start(folder.path(), &[]);
    server.register();
    let token = server.token();
    assert_eq!(run(folder.path(), &["backup", "copy.db"], &[], "").0, 0);
    assert!(server.stop().success());
    let copy = std::fs::read(folder.path().join("copy.db")).unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    write("notes.txt", "Buy milk. ".repeat(1000).as_bytes());
    write("cut.db", &copy[..copy.len() / 2]);
    write("empty.db", b"");
    write("newer.db", &copy);
    write("halved.db", &copy);
    write("halved.db-wal", b"the rest");
    Runtime::new().unwrap().block_on(async {
        let change = async |file: &str, sql: &'static str| {
            let url = format!("sqlite:{}?mode=rwc", folder.path().join(file).display());
            let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        };
        change("newer.db", "INSERT INTO _sqlx_migrations VALUES (9999, 'x', 0, 1, x'00', 0)").await;
        change("other.db", "CREATE TABLE users (name TEXT)").await;
    });
    for (file, words) in [
        ("-", "can't be read from standard input"),
        ("none.db", "can't be read"),
        (".", "is not a file"),
        ("notes.txt", "notes.txt is not a SQLite database."),
        ("cut.db", "cut.db is damaged"),
        ("empty.db", "empty.db is empty"),
        ("newer.db", "by a newer Vestibule"),
        ("other.db", "other.db has tables of another program"),
        ("halved.db", "is not whole"),
    ] {
        let (code, _, error) = run(folder.path(), &["restore", file], &[], "");
        assert!(code == 1 && error.contains(words) && error.lines().count() == 1, "{file}: {error}");
        assert!(error.ends_with(".\n") && !error.ends_with("..\n"), "{error}");
    }
    let server = start(folder.path(), &[]);
    assert_eq!(server.me(&token), 200, "no session was ended");
    assert!(server.stop().success());
}

#[test]
fn a_backup_is_restored_where_there_is_no_database() {
    let Before { folder, .. } = before();
    let other = self::folder();
    let copy = folder.path().join("copy.db");
    let (code, out, error) = run(other.path(), &["restore", copy.to_str().unwrap()], &[], "");
    assert!(code == 0 && out.contains("no previous database could be read"), "{out}{error}");
    let server = start(other.path(), &[]);
    assert_eq!(server.log_in().0, 200);
    assert!(server.stop().success());
}

#[test]
fn the_log_of_another_database_is_not_replayed_into_a_restore_r107() {
    for remove in [true, false] {
        let folder = folder();
        let mut server = start(folder.path(), &[]);
        server.register();
        assert_eq!(run(folder.path(), &["backup", "copy.db"], &[], "").0, 0);
        let token = server.token();
        server.process.kill().unwrap();
        server.process.wait().unwrap();
        let (file, log) = (folder.path().join("vestibule.db"), bytes(folder.path(), "vestibule.db-wal"));
        assert!(!log.is_empty());
        if remove {
            std::fs::remove_file(&file).unwrap();
        } else {
            std::fs::write(&file, "").unwrap();
        }
        let (code, out, error) = run(folder.path(), &["restore", "copy.db"], &[], "");
        assert_eq!(code, 0, "{error}");
        let names = names(folder.path());
        let kept = names.iter().find(|name| name.contains(".before-") && name.ends_with("-wal")).unwrap();
        assert!(bytes(folder.path(), kept) == log && out.contains(kept), "{out}");
        let server = start(folder.path(), &[]);
        assert_eq!((server.me(&token), server.log_in().0), (401, 200));
        assert!(server.stop().success());
    }
}

#[test]
fn after_a_restore_of_postgres_one_command_ends_what_came_back_r107() {
    let folder = folder();
    let url = Runtime::new().unwrap().block_on(crate::util::postgres::fresh_database());
    let env = [("DATABASE_URL", url.as_str())];
    let server = start(folder.path(), &env);
    server.register();
    let session = server.token();
    let access_token = access_token(&server, &session);
    let (code, _, error) = run(folder.path(), &["backup", "copy.db"], &env, "");
    assert!(code == 1 && error.contains("pg_dump") && error.contains("vestibule restored"), "{error}");
    let (code, _, error) = run(folder.path(), &["restore", "Leptos.toml"], &env, "");
    assert!(code == 1 && error.contains("can't be read"), "{error}");
    let (code, out, error) = run(folder.path(), &["restored"], &env, "");
    assert!(
        code == 0 && out.contains("Sessions ended: 1.") && out.contains("Access tokens revoked: 1."),
        "{out}{error}"
    );
    assert_eq!((server.me(&session), server.me(&access_token), server.log_in().0), (401, 401, 200));
    assert!(server.stop().success());
}

#[test]
fn a_copy_of_the_last_moments_before_a_stop_is_noticed_r107() {
    let folder = folder();
    let server = start(folder.path(), &[]);
    server.register();
    let token = server.token();
    // The mark has this value once the first sweep has advanced it.
    let deadline = Instant::now() + Duration::from_secs(10);
    while bytes(folder.path(), "vestibule.db.mark") != b"2" {
        assert!(Instant::now() < deadline, "the mark has not advanced");
        thread::yield_now();
    }
    assert_eq!(run(folder.path(), &["backup", "copy.db"], &[], "").0, 0);
    assert_eq!(server.call("POST", "/api/accounts/logout/", &token, "{}").0, 204);
    assert!(server.stop().success());
    std::fs::copy(folder.path().join("copy.db"), folder.path().join("vestibule.db")).unwrap();
    let (code, _, error) = run(folder.path(), &["user", "list"], &[], "");
    assert!(code == 1 && error.contains("is older than when it was last in use here"), "{error}");
}

#[test]
fn a_server_without_its_database_starts_over() {
    let folder = folder();
    let server = start(folder.path(), &[]);
    server.register();
    assert!(server.stop().success());
    std::fs::remove_file(folder.path().join("vestibule.db")).unwrap();
    let server = start(folder.path(), &[]);
    server.register();
    assert!(server.stop().success());
}

#[test]
fn a_copy_put_back_by_hand_is_noticed_and_its_sessions_end_r107() {
    let folder = folder();
    let (file, copy) = (folder.path().join("vestibule.db"), folder.path().join("copy.db"));
    let server = start(folder.path(), &[]);
    server.register();
    let token = server.token();
    assert!(server.stop().success());
    std::fs::copy(&file, &copy).unwrap();
    let server = start(folder.path(), &[]);
    assert_eq!(server.call("POST", "/api/accounts/logout/", &token, "{}").0, 204);
    assert!(server.stop().success());
    std::fs::copy(&copy, &file).unwrap();
    for args in [&[][..], &["user", "list"]] {
        let (code, _, error) = run(folder.path(), args, &[], "");
        assert!(code == 1 && error.contains("is older than when it was last in use here"), "{error}");
    }
    let (code, out, error) = run(folder.path(), &["restored"], &[], "");
    assert!(code == 0 && out.contains("Sessions ended: 1."), "{out}{error}");
    let server = start(folder.path(), &[]);
    assert_eq!((server.me(&token), server.log_in().0), (401, 200));
    assert!(server.stop().success());
}

/// A stopped server with one account, after several starts. Its folder contains two copies of the database: an early
/// one, and one from the last stop. Returns the folder and a session's token.
fn used() -> (TempDir, String) {
    let folder = folder();
    let server = start(folder.path(), &[]);
    server.register();
    let token = server.token();
    assert!(server.stop().success());
    let copy = |name: &str| std::fs::copy(folder.path().join("vestibule.db"), folder.path().join(name)).unwrap();
    copy("early.db");
    for _ in 0..3 {
        assert!(start(folder.path(), &[]).stop().success());
    }
    copy("late.db");
    (folder, token)
}

/// Replaces the database file with a copy. The program must reject it.
fn put_back(folder: &Path, file: &str) {
    std::fs::rename(folder.join(file), folder.join("vestibule.db")).unwrap();
    let (code, _, error) = run(folder, &["user", "list"], &[], "");
    assert!(code == 1 && error.contains("is older than when it was last in use here"), "{error}");
}

#[test]
fn the_database_before_a_restore_is_noticed_if_it_is_put_back_r107() {
    let (folder, token) = used();
    let (code, _, error) = run(folder.path(), &["restore", "early.db"], &[], "");
    assert_eq!(code, 0, "{error}");
    let server = start(folder.path(), &[]);
    assert_eq!(server.me(&token), 401);
    assert!(server.stop().success());
    let aside = names(folder.path()).into_iter().find(|name| name.contains(".before-")).unwrap();
    put_back(folder.path(), &aside);
    assert_eq!(run(folder.path(), &["restored"], &[], "").0, 0);
    let server = start(folder.path(), &[]);
    assert_eq!((server.me(&token), server.log_in().0), (401, 200));
    assert!(server.stop().success());
}

#[test]
fn an_old_copy_is_noticed_after_a_start_without_a_database_r107() {
    let (folder, _) = used();
    std::fs::remove_file(folder.path().join("vestibule.db")).unwrap();
    assert_eq!(run(folder.path(), &["migrate"], &[], "").0, 0);
    put_back(folder.path(), "early.db");
    assert_eq!(run(folder.path(), &["restored"], &[], "").0, 0);
    assert!(start(folder.path(), &[]).stop().success());
}

#[test]
fn after_a_copy_was_put_back_by_hand_a_later_one_is_noticed_too_r107() {
    let (folder, token) = used();
    put_back(folder.path(), "early.db");
    assert_eq!(run(folder.path(), &["restored"], &[], "").0, 0);
    put_back(folder.path(), "late.db");
    assert_eq!(run(folder.path(), &["restored"], &[], "").0, 0);
    let server = start(folder.path(), &[]);
    assert_eq!(server.me(&token), 401);
    assert!(server.stop().success());
}

#[test]
fn no_control_character_in_a_backup_reaches_the_terminal() {
    let folder = folder();
    let run = |args: &[&str]| run(folder.path(), args, &[], PASSWORD);
    assert_eq!(run(&["user", "add", "ann@example.org", "ann"]).0, 0);
    let hostile = "UPDATE users SET username = 'ann' || char(27) || ']0;' || char(10) || 'root'";
    change(&folder.path().join("vestibule.db"), hostile);
    assert_eq!(run(&["backup", "copy.db"]).0, 0);
    assert_eq!(run(&["user", "disable", "ann@example.org"]).0, 0);
    let (code, out, error) = run(&["restore", "copy.db"]);
    let line = "Accounts disabled since then (now disabled): ann\u{fffd}]0;\u{fffd}root.\n";
    assert!(code == 0 && out.contains(line), "{out:?}{error}");
}
