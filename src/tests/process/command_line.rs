//! The command line, with and without a running server.

use std::io::{BufRead as _, BufReader};

use super::*;
use crate::util::port::ReservedPort;

#[test]
fn a_start_says_where_the_page_and_the_api_are() {
    let folder = folder();
    let mut process = program(folder.path()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
    let (page, api) = (lines.next().unwrap(), lines.next().unwrap());
    process.kill().unwrap();
    process.wait().unwrap();
    let address = page.strip_prefix("Vestibule is ready: http://").unwrap();
    assert!(address.starts_with("127.0.0.1:"), "{page}");
    assert_eq!(api, format!("API: http://{address}/api/docs"));
}

#[test]
fn a_bad_configuration_stops_the_start_in_one_line_r105() {
    let folder = folder();
    let (code, _, error) = run(folder.path(), &[], &[("VESTIBULE_SESSION_IDEL", "4h")], "");
    assert_eq!((code, error.lines().count()), (2, 1), "{error}");
    std::fs::write(folder.path().join("vestibule.toml"), "[password]\nargon2_memory_kib = 8\n").unwrap();
    let (code, _, error) = run(folder.path(), &["check-config"], &[], "");
    assert_eq!((code, error.lines().count()), (2, 1), "R21: {error}");
    assert!(!folder.path().join("vestibule.db").exists(), "nothing is created");
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
    assert_eq!((code, out.as_str()), (0, "The account ann <ann@example.org> was created.\n"), "{error}");
    let (code, _, error) = user(&["add", "ann@example.org", "ann"], &format!("{PASSWORD}\n"));
    assert!(code == 1 && error.contains("already exists"), "{error}");

    let server = start(folder.path(), &[]);
    let token = server.token();
    let (code, out, error) = user(&["list"], "");
    assert!(code == 0 && out.contains("ann@example.org") && out.ends_with("Accounts: 1.\n"), "{out}{error}");
    assert_eq!(
        user(&["disable", "ann"], "").1,
        "The account ann is disabled. Sessions ended: 1. Access tokens are revoked.\n"
    );
    assert_eq!((server.me(&token), server.log_in().0), (401, 400), "the running server applies the change at once");
    assert_eq!(user(&["enable", "ann@example.org"], "").0, 0);
    let token = server.token();
    assert_eq!(
        user(&["revoke-sessions", "ann"], "").1,
        "The account ann is logged out everywhere. Sessions ended: 1. Access tokens are revoked.\n"
    );
    assert_eq!(server.me(&token), 401);
    let (code, _, error) = user(&["set-password", "ann"], &format!("{}\n", "12".repeat(20)));
    assert!(code == 1 && error.contains("too easy to guess"), "{code}: {error}");
    let (code, _, error) = user(&["set-password", "ann"], "password\n");
    assert!(code == 1 && error.contains("too easy to guess"), "{error}");
    assert_eq!(user(&["set-password", "ann"], "walrus orchard lantern\n").0, 0);
    assert_eq!(server.log_in().0, 400, "the old password is rejected");
    let (code, _, error) = user(&["set-password", "ann"], "");
    assert!(code == 1 && error.contains("the password is empty; enter one."), "{error}");
    let (code, _, error) = user(&["disable", "unknown"], "");
    assert!(code == 1 && error.contains("no account"), "{error}");
    assert!(server.stop().success());
}

/// The number of password prompts that a terminal showed.
fn prompts(seen: &[u8]) -> usize {
    let seen = String::from_utf8_lossy(seen);
    seen.matches("New password: ").count() + seen.matches("Repeat it: ").count()
}

#[test]
fn a_terminal_is_asked_again_for_a_password_that_is_refused() {
    let folder = folder();
    let line = format!("{} user add ann@example.org ann", env!("CARGO_BIN_EXE_vestibule"));
    let mut terminal = util::program::program(Path::new("script"), folder.path());
    terminal.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = terminal.spawn().unwrap();
    let (mut input, mut output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
    let mut seen = Vec::new();
    for (number, typed) in ["password", "password", PASSWORD, "another", PASSWORD, PASSWORD].into_iter().enumerate() {
        while prompts(&seen) <= number {
            let mut byte = [0];
            output.read_exact(&mut byte).unwrap();
            seen.extend(byte);
        }
        input.write_all(format!("{typed}\n").as_bytes()).unwrap();
    }
    output.read_to_end(&mut seen).unwrap();
    let seen = String::from_utf8(seen).unwrap();
    assert!(process.wait().unwrap().success(), "{seen}");
    assert!(seen.contains("too easy to guess") && seen.contains("the two passwords differ"), "{seen}");
    assert!(seen.contains("The account ann <ann@example.org> was created."), "{seen}");
}

/// The link in a text that the program printed, and the token at its end.
fn setup_link_in(text: &str) -> (String, String) {
    let link = text.lines().find(|line| line.contains("/setup#")).unwrap_or_else(|| panic!("no link: {text}"));
    let token = link.split_once('#').unwrap().1;
    (link.trim().to_owned(), token.trim().to_owned())
}

impl Server {
    fn set_up(&self, token: &str) -> u16 {
        let body =
            format!(r#"{{"token":"{token}","email":"ann@example.org","username":"ann","password":"{PASSWORD}"}}"#);
        self.call("POST", "/api/admin/setup/", "", &body).0
    }
}

#[test]
fn no_secret_of_the_setup_link_reaches_a_log_r142() {
    let folder = folder();
    let server = start(folder.path(), &[("VESTIBULE_LOG_LEVEL", "trace")]);
    let (code, out, error) = run(folder.path(), &["operator", "link"], &[], "");
    assert_eq!(code, 0, "{error}");
    let (link, token) = setup_link_in(&out);
    assert!(link.starts_with(&format!("http://{}/setup#vsl_", server.address)), "{link}");
    assert_eq!(server.set_up(&token), 200);
    let (code, _, error) = run(folder.path(), &["operator", "link"], &[], "");
    assert!(code == 1 && error.contains("the server has an admin already"), "{error}");
    assert!(server.stop().success());
    let log = log_of(folder.path());
    assert!(log.contains("vestibule operator link") && log.contains("first admin created by link"), "{log}");
    assert!(!log.contains("vsl_"), "{log}");
    let server = start(folder.path(), &[]);
    assert!(server.stop().success());
    assert!(!log_of(folder.path()).contains("vestibule operator link"), "an admin exists");
}

#[test]
fn a_setup_link_of_the_command_line_works_after_the_start() {
    let folder = folder();
    let (code, _, error) = run(folder.path(), &["operator", "link"], &[], "");
    assert!(code == 1 && error.contains("there is no vestibule.db"), "{error}");
    assert_eq!(run(folder.path(), &["migrate"], &[], "").0, 0);
    let everywhere = [("VESTIBULE_SERVER_ADDRESS", "0.0.0.0:8000")];
    let (_, out, _) = run(folder.path(), &["operator", "link"], &everywhere, "");
    assert!(setup_link_in(&out).0.starts_with("http://localhost:8000/setup#"), "{out}");
    assert!(out.contains("another address"), "{out}");
    let public = [("VESTIBULE_SERVER_PUBLIC_URL", "https://accounts.example.org")];
    let (_, out, _) = run(folder.path(), &["operator", "link"], &public, "");
    let (link, token) = setup_link_in(&out);
    assert!(link.starts_with("https://accounts.example.org/setup#") && !out.contains("another address"), "{out}");
    let server = start(folder.path(), &[]);
    assert_eq!(server.set_up(&token), 200);
    assert!(server.stop().success());
}

#[test]
fn a_start_on_a_terminal_prints_a_setup_link() {
    let folder = folder();
    let mut terminal = util::program::program(Path::new("script"), folder.path());
    terminal.args(["-qec", env!("CARGO_BIN_EXE_vestibule"), "/dev/null"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut process = terminal.spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
    let address = lines.find_map(|line| Some(line.split_once("ready: http://")?.1.trim().to_owned())).unwrap();
    let link = lines.find(|line| line.contains("/setup#")).unwrap();
    let (link, token) = setup_link_in(&link);
    assert!(link.starts_with(&format!("http://{address}/setup#vsl_")), "{link}");
    let server = Server { process, address: address.parse().unwrap() };
    assert_eq!(server.set_up(&token), 200);
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
    for word in
        ["serve", "user", "operator", "group", "migrate", "check-config", "Examples:", "vestibule.toml", "--env-file"]
    {
        assert!(help.contains(word), "{word}");
    }
    assert!(help.contains("--port"), "{help}");
    for (args, listens) in
        [(&["health", "--help"][..], true), (&["user", "add", "--help"], false), (&["backup", "--help"], false)]
    {
        assert_eq!(run(folder.path(), args, &[], "").1.contains("--port"), listens, "{args:?}");
    }
    let (code, out, error) = run(folder.path(), &["check-config", "--port", "8123"], &[], "");
    assert!(code == 0 && out.contains("Listens on: 127.0.0.1:8123"), "{out}{error}");
    let (code, _, error) = run(folder.path(), &["user", "add", "ann@example.org", "ann", "secret"], &[], "");
    assert_eq!(code, 2, "a password is never an argument: {error}");
}

#[test]
fn vestibule_toml_is_read_and_a_foreign_leptos_toml_is_not() {
    let folder = folder();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let check = || run(folder.path(), &["check-config"], &[], "");
    assert!(check().1.contains("there is no vestibule.toml"));
    write("Leptos.toml", "[package]\nname = \"shop\"\n");
    let (code, out, error) = check();
    assert!(code == 0 && out.contains("Leptos.toml has no Vestibule section and was not read"), "{out}{error}");
    let server = start(folder.path(), &[]);
    assert!(server.stop().success());
    assert_eq!(log_of(folder.path()).matches("it has no Vestibule section").count(), 1, "{}", log_of(folder.path()));
    write("Leptos.toml", "[database]\nurl = \"sqlite:old.db\"\n");
    assert!(check().1.contains("SQLite old.db"));
    write("vestibule.toml", "[database]\nurl = \"sqlite:new.db\"\n");
    let (_, out, _) = check();
    assert!(out.contains("read from vestibule.toml") && out.contains("SQLite new.db"), "{out}");
}

#[test]
fn commands_find_what_the_unit_of_the_server_names() {
    let (server, elsewhere) = (folder(), folder());
    let path = |folder: &TempDir, name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path(&elsewhere, "vestibule.toml"), "[password]\nmin_length = 12\n").unwrap();
    std::fs::write(path(&elsewhere, "env"), "# secrets\nDATABASE_URL=\"sqlite:accounts.db\"\n").unwrap();
    let (data, config, env) = (path(&server, ""), path(&elsewhere, "vestibule.toml"), path(&elsewhere, "env"));
    let options = ["-C", &data, "--config", &config, "--env-file", &env];
    let user =
        |args: &[&str], input: &str| run(elsewhere.path(), &[&options[..], &["user"], args].concat(), &[], input);
    assert_eq!(user(&["add", "ann@example.org", "ann"], PASSWORD).0, 0);
    assert!(server.path().join("accounts.db").exists());
    let mut process = program(server.path());
    let running = Server::start(process.args(["--config", &config, "--env-file", &env]), &server.path().join("log"));
    assert!(user(&["list"], "").1.contains("ann@example.org"), "the running server is asked");
    assert_eq!(user(&["disable", "ann"], "").0, 0);
    assert_eq!(running.log_in().0, 400);
    assert!(running.stop().success());
    let overridden =
        run(elsewhere.path(), &[&options[..], &["user", "list"]].concat(), &[("DATABASE_URL", "sqlite:b.db")], "");
    assert!(overridden.0 == 1 && overridden.2.contains("there is no b.db"), "{}", overridden.2);
    for (option, word) in [
        (["--env-file", "none"], "none can't be read"),
        (["-C", "none"], "the folder none doesn't exist"),
        (["-C", "/dev/null"], "/dev/null is not a folder"),
    ] {
        let (code, _, error) = run(elsewhere.path(), &[&option[..], &["check-config"]].concat(), &[], "");
        assert!(code == 2 && error.contains(word), "{error}");
    }
}

#[test]
fn an_operator_manages_accounts_with_and_without_a_server() {
    let folder = folder();
    let user = |args: &[&str], input: &str| run(folder.path(), &[&["user"], args].concat(), &[], input);
    let show =
        |who: &str| -> serde_json::Value { serde_json::from_str(&user(&["show", who, "--json"], "").1).unwrap() };
    let server = start(folder.path(), &[]);
    server.register();
    let token = server.token();
    let ann = show("ann");
    assert_eq!((&ann["email_verified"], &ann["sessions"], &ann["disabled"]), (&json!(false), &json!(1), &json!(false)));
    assert!(ann["last_login_at"].is_string() && ann["email_verified_at"].is_null(), "{ann}");
    let id = ann["id"].as_str().unwrap();
    assert_eq!(show(id), show("ann@example.org"), "the account's id works too");
    assert_eq!(user(&["rename", id, "Admin"], "").1, "The account ann was renamed to Admin.\n");
    assert_eq!(user(&["confirm", "admin"], "").1, "The account Admin has a confirmed email now.\n");
    let (_, me) = server.call("GET", "/api/accounts/me/", &token, "");
    let me: serde_json::Value = serde_json::from_str(&me).unwrap();
    assert_eq!(
        (&me["username"], &me["email_verified"]),
        (&json!("Admin"), &json!(true)),
        "active sessions show the change at once"
    );
    let (code, out, error) = user(&["delete", "admin"], "ann\n");
    assert!(code == 1 && out.is_empty() && error.contains("nothing was deleted"), "{error}");
    assert_eq!(user(&["delete", "admin"], "ADMIN\n").1, "The account Admin was deleted. Sessions ended: 1.\n");
    assert_eq!(server.me(&token), 401, "the running server applies the change at once");
    assert!(user(&["show", id], "").2.contains("there is no account"));
    server.register();
    assert!(server.stop().success());

    let (_, out, _) = user(&["show", "ann"], "");
    assert!(
        out.contains("Username:      ann\n")
            && out.contains("Confirmed:     no\n")
            && out.contains("Last login:    never\n"),
        "{out}"
    );
    let (code, _, error) = user(&["rename", "ann", "a"], "");
    assert!(code == 1 && error.contains("Use 3 to 32 characters"), "{error}");
    assert_eq!(user(&["delete", "ann", "--yes"], "").0, 0);
    assert!(user(&["list"], "").1.ends_with("Accounts: 0.\n"));
}

#[test]
fn the_command_line_manages_operators_with_and_without_a_server() {
    let folder = folder();
    let operator = |args: &[&str], input: &str| run(folder.path(), &[&["operator"], args].concat(), &[], input);
    let (code, _, error) = operator(&["list"], "");
    assert!(code == 1 && error.contains("there is no vestibule.db"), "{error}");
    let created = operator(&["add", "root@example.org", "admin"], PASSWORD).1;
    assert_eq!(created, "The account admin <root@example.org> was created with the role admin.\n");

    let server = start(folder.path(), &[]);
    server.register();
    let token = server.token();
    let (code, _, error) = operator(&["role", "ann", "support"], "");
    assert!(code == 1 && error.contains("run `vestibule user confirm` first"), "{error}");
    assert_eq!(run(folder.path(), &["user", "confirm", "ann"], &[], "").0, 0);
    assert_eq!(
        operator(&["role", "ann", "support"], "").1,
        "The account ann has the role support now. Sessions ended: 1. Access tokens are revoked.\n"
    );
    assert_eq!(server.me(&token), 401, "the running server applies the change at once");
    assert_eq!(
        operator(&["role", "ann", "support"], "").1,
        "The account ann has the role support already. Nothing was changed.\n"
    );
    let (code, _, error) = operator(&["add", "ann@example.org", "bob"], PASSWORD);
    assert!(code == 1 && error.contains("give it a role with `vestibule operator role`"), "{error}");
    let listed = operator(&["list"], "").1;
    assert!(listed.lines().any(|line| line.starts_with("ann ") && line.contains("  support  ")), "{listed}");
    assert!(listed.ends_with("Accounts: 2.\n"), "{listed}");
    let json: serde_json::Value = serde_json::from_str(&operator(&["list", "--json"], "").1).unwrap();
    assert_eq!((&json[0]["username"], &json[0]["role"]), (&json!("admin"), &json!("admin")));
    let (code, _, error) = operator(&["role", "admin", "none"], "");
    assert!(code == 1 && error.contains("make another one first") && error.contains("--force"), "{error}");
    let (code, _, error) = operator(&["role", "ann", "owner"], "");
    assert!(code == 2 && error.contains("admin, support, auditor, none"), "{error}");
    assert!(server.stop().success());

    let (code, _, error) = run(folder.path(), &["user", "delete", "admin", "--yes"], &[], "");
    assert!(code == 1 && error.contains("the last enabled admin"), "{error}");
    assert_eq!(
        operator(&["role", "admin", "none", "--force"], "").1,
        "The account admin has no role now. Sessions ended: 0. Access tokens are revoked.\n"
    );
    let shown = run(folder.path(), &["user", "show", "ann"], &[], "").1;
    assert!(shown.contains("Role:          support\n"), "{shown}");
}

#[test]
fn the_command_line_manages_groups_with_and_without_a_server() {
    let folder = folder();
    let group = |args: &[&str]| run(folder.path(), &[&["group"], args].concat(), &[], "");
    let (code, _, error) = group(&["add", "editors"]);
    assert!(code == 1 && error.contains("there is no vestibule.db"), "{error}");
    let server = start(folder.path(), &[]);
    server.register();
    let token = server.token();
    assert_eq!(group(&["list"]).1, "MEMBERS  CREATED     NAME\nGroups: 0.\n");
    assert_eq!(group(&["list", "--json"]).1, "[]\n");
    assert_eq!(group(&["add", "editors"]).1, "The group editors was created.\n");
    assert_eq!(group(&["join", "editors", "ann"]).1, "The account ann belongs to editors now.\n");
    let groups = || {
        let (_, me) = server.call("GET", "/api/accounts/me/", &token, "");
        serde_json::from_str::<serde_json::Value>(&me).unwrap()["groups"].clone()
    };
    assert_eq!(groups(), json!(["editors"]));
    assert_eq!(group(&["rename", "editors", "Staff"]).1, "The group Staff is the new name of editors.\n");
    assert_eq!(groups(), json!(["Staff"]));
    let json: serde_json::Value = serde_json::from_str(&group(&["list", "--json"]).1).unwrap();
    assert_eq!((&json[0]["name"], &json[0]["members"]), (&json!("Staff"), &json!(1)));
    let json: serde_json::Value = serde_json::from_str(&group(&["members", "staff", "--json"]).1).unwrap();
    assert_eq!((&json[0]["username"], &json[0]["groups"]), (&json!("ann"), &json!(["Staff"])));
    assert!(server.stop().success());

    assert!(group(&["members", "staff"]).1.ends_with("Accounts: 1.\n"));
    let shown = run(folder.path(), &["user", "show", "ann"], &[], "").1;
    assert!(shown.contains("Groups:        Staff\n"), "{shown}");
    for (args, message) in [
        (&["add", "STAFF"][..], "already a group with this name"),
        (&["add", "a,b"], "Use letters, digits"),
        (&["delete", "staff"], "the group has members (1)"),
        (&["join", "staff", "ann", "unknown"], "there is no account unknown"),
        (&["members", "unknown"], "there is no group"),
    ] {
        let (code, _, error) = group(args);
        assert!(code == 1 && error.contains(message), "{args:?}: {error}");
    }
    assert_eq!(group(&["leave", "staff", "ann"]).1, "The account ann doesn't belong to Staff any more.\n");
    assert_eq!(group(&["delete", "staff"]).1, "The group Staff was deleted.\n");
}

#[test]
fn accounts_are_listed_for_people_and_for_programs_all_or_some() {
    let folder = folder();
    let user = |args: &[&str], input: &str| run(folder.path(), &[&["user"], args].concat(), &[], input);
    let listed = |args: &[&str]| -> Vec<String> {
        let (code, out, error) = user(&[&["list", "--json"], args].concat(), "");
        assert_eq!(code, 0, "{error}");
        let list: Vec<serde_json::Value> = serde_json::from_str(&out).unwrap();
        list.iter().map(|line| line["username"].as_str().unwrap().to_owned()).collect()
    };
    for name in ["ann", "bob"] {
        assert_eq!(user(&["add", &format!("{name}@example.org"), name], PASSWORD).0, 0);
    }
    let server = start(folder.path(), &[]);
    assert_eq!(server.try_to_register("eve").0, 200);
    assert_eq!(server.log_in().0, 200);
    assert_eq!(user(&["disable", "bob"], "").0, 0);
    assert_eq!(listed(&[]), ["ann", "bob", "eve"]);
    assert_eq!(listed(&["--never"]), ["bob", "eve"]);
    assert_eq!(listed(&["--unconfirmed"]), ["eve"]);
    assert_eq!(listed(&["--state", "disabled"]), ["bob"]);
    assert_eq!(listed(&["--search", "EVE@"]), ["eve"]);
    assert_eq!(listed(&["--search", "nobody"]), Vec::<String>::new());
    let (_, table, _) = user(&["list"], "");
    let ann = table.lines().find(|line| line.starts_with("ann ")).unwrap();
    assert!(ann.contains(" enabled ") && ann.contains(" yes ") && ann.ends_with("ann@example.org"), "{table}");
    assert!(table.lines().any(|line| line.starts_with("eve ") && line.contains(" never ") && line.contains(" no ")));
    assert!(table.ends_with("Accounts: 3.\n"));
    assert!(server.stop().success());
}

/// A username with terminal commands, as an attacker could write it into the database.
const HOSTILE: &str = "ann\u{1b}]0;title\u{7}\r\u{9b}2J\u{7f}\nroot";

#[test]
fn no_control_character_of_an_account_reaches_the_terminal() {
    let folder = folder();
    let user = |args: &[&str], input: &str| run(folder.path(), &[&["user"], args].concat(), &[], input);
    assert_eq!(user(&["add", "ann@example.org", "ann"], PASSWORD).0, 0);
    let url = format!("sqlite:{}", folder.path().join("vestibule.db").display());
    Runtime::new().unwrap().block_on(async {
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        sqlx::query("UPDATE users SET username = $1").bind(HOSTILE).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
    let server = start(folder.path(), &[]);
    let calls: [(&[&str], i32, usize); 6] = [
        (&["list"], 0, 3),
        (&["list", "--json"], 0, 3),
        (&["show", "ann@example.org"], 0, 12),
        (&["show", "ann@example.org", "--json"], 0, 1),
        (&["delete", "ann@example.org"], 1, 1),
        (&["disable", "ann@example.org"], 0, 1),
    ];
    for (args, status, lines) in calls {
        let (code, out, error) = user(args, "bob\n");
        let text = out.clone() + &error;
        assert_eq!((code, text.lines().count()), (status, lines), "{args:?}: {text:?}");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{args:?}: {text:?}");
        assert!(text.contains("ann"), "{text:?}");
        if args == ["show", "ann@example.org", "--json"] {
            let shown: serde_json::Value = serde_json::from_str(&out).unwrap();
            assert_eq!(shown["username"], json!(HOSTILE), "JSON escapes the username completely");
        }
    }
    assert!(server.stop().success());
}

#[test]
fn output_that_cannot_be_written_is_a_failure_without_a_panic() {
    let folder = folder();
    assert_eq!(run(folder.path(), &["user", "add", "ann@example.org", "ann"], &[], PASSWORD).0, 0);
    let commands: [&[&str]; 8] = [
        &["user", "list"],
        &["user", "list", "--json"],
        &["user", "show", "ann"],
        &["user", "enable", "ann"],
        &["check-config"],
        &["migrate"],
        &["--help"],
        &["--version"],
    ];
    for args in commands {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let Output { status, stderr, .. } = program(folder.path()).args(args).stdout(full).output().unwrap();
        let error = String::from_utf8(stderr).unwrap();
        assert!(
            status.code() == Some(1) && error.contains("the output can't be written"),
            "{args:?} {status}: {error}"
        );
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let Output { status, stderr, .. } = program(folder.path()).args(args).stdout(writer).output().unwrap();
        assert_eq!(
            (status.code(), String::from_utf8(stderr).unwrap()),
            (Some(1), String::new()),
            "{args:?}: a closed pipe"
        );
    }
}

#[test]
fn an_address_in_use_is_told_with_the_way_to_another_port() {
    let (folder, other) = (folder(), folder());
    let server = start(folder.path(), &[]);
    let port = server.address.port().to_string();
    let (code, _, error) = run(other.path(), &["--port", &port], &[], "");
    assert!(code == 1 && error.contains("vestibule --port "), "{error}");
    assert_eq!(std::fs::read_dir(other.path()).unwrap().count(), 0, "nothing is created");
    let next = Server::start(program(other.path()).args(["--port", "0"]), &other.path().join("log"));
    assert_ne!(next.address.port(), server.address.port());
    let health = |port: u16| run(other.path(), &["--port", &port.to_string(), "health"], &[], "");
    assert_eq!(health(next.address.port()).0, 0);
    let (gone, address) = (next.address.port(), next.address);
    assert!(next.stop().success());
    let (code, _, error) = health(gone);
    assert!(code == 1 && error.contains(&address.to_string()) && error.contains("--port"), "{error}");
    assert!(server.stop().success());
}

#[test]
fn a_server_of_every_address_is_healthy_from_inside() {
    let folder = folder();
    let env = [("VESTIBULE_SERVER_ADDRESS", "0.0.0.0:0")];
    let server = start(folder.path(), &env);
    let port = server.address.port().to_string();
    assert_eq!(run(folder.path(), &["--port", &port, "health"], &env, ""), (0, String::new(), String::new()));
    assert!(server.stop().success());
}

#[test]
fn check_config_tells_which_database_it_is_without_the_password() {
    let folder = folder();
    let check = |url: &str| run(folder.path(), &["check-config"], &[("DATABASE_URL", url)], "");
    let (code, out, _) = check("postgres://ann:secret@127.0.0.1:6000/accounts");
    assert!(code == 0 && out.contains("Database: PostgreSQL ann@127.0.0.1:6000/accounts\n"), "{out}");
    let (code, out, _) = check("postgres://ann:secret@db.example.org/accounts?sslmode=prefer");
    assert!(
        code == 0 && out.contains("Warning: the connection to PostgreSQL ann@db.example.org:5432/accounts"),
        "{out}"
    );
    let (code, _, error) = check("postgres://app:p@ss/word@host/db");
    assert!(code == 2 && error.contains("%2F for /") && !error.contains("ss/word"), "{error}");
    let (code, out, _) = check("sqlite://vestibule.db?mode=rwc");
    assert!(code == 0 && out.contains("Database: SQLite vestibule.db\n"), "{out}");
}

#[test]
fn a_start_waits_for_postgres_and_says_so_once() {
    let folder = folder();
    let real = Runtime::new().unwrap().block_on(crate::util::postgres::fresh_database());
    let (target, name) = real.rsplit_once('@').unwrap().1.rsplit_once('/').unwrap();
    let (database, own) = (ReservedPort::new(), ReservedPort::new());
    let url = format!("postgres://postgres@127.0.0.1:{}/{name}", database.number());
    let own_address = format!("127.0.0.1:{}", own.number());
    let server = thread::scope(|scope| {
        let starting =
            scope.spawn(|| start(folder.path(), &[("DATABASE_URL", &url), ("VESTIBULE_SERVER_ADDRESS", &own_address)]));
        let deadline = Instant::now() + Duration::from_mins(1);
        let log = folder.path().join("log");
        while !std::fs::read_to_string(&log).is_ok_and(|log| log.contains("waiting for the database")) {
            assert!(Instant::now() < deadline, "the server doesn't report that it waits");
            thread::yield_now();
        }
        assert!(TcpStream::connect(&own_address).is_err(), "the server accepts no connection before it is ready");
        let listener = database.listen();
        let target = target.to_owned();
        thread::spawn(move || {
            for here in listener.incoming().map(Result::unwrap) {
                let there = TcpStream::connect(&target).unwrap();
                for (mut from, mut to) in [(&here, &there), (&there, &here)]
                    .map(|(from, to)| (from.try_clone().unwrap(), to.try_clone().unwrap()))
                {
                    thread::spawn(move || drop(std::io::copy(&mut from, &mut to)));
                }
            }
        });
        starting.join().unwrap()
    });
    server.register();
    assert_eq!(log_of(folder.path()).matches("waiting for the database").count(), 1);
    assert!(server.stop().success());
    let env = [("DATABASE_URL", "postgres://postgres@127.0.0.1:1/none"), ("VESTIBULE_DATABASE_WAIT", "1ms")];
    let (code, _, error) = run(folder.path(), &[], &env, "");
    assert!(code == 1 && error.contains("PostgreSQL postgres@127.0.0.1:1/none can't be used"), "{error}");
}
