//! `vestibule doctor`.

use std::{
    io::{BufRead as _, BufReader},
    net::TcpListener,
};

use serde_json::Value;

use super::*;
use crate::util::port::ReservedPort;

/// The checks with their results, and the exit code.
fn doctor(folder: &Path, env: &[(&str, &str)]) -> (i32, BTreeMap<String, (String, String)>) {
    let (code, out, _) = run(folder, &["doctor", "--json"], env, "");
    let checks = out.lines().map(|line| {
        let json: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| json[key].as_str().unwrap().to_owned();
        (text("check"), (text("status"), text("message")))
    });
    (code, checks.collect())
}

#[track_caller]
fn expect(checks: &BTreeMap<String, (String, String)>, check: &str, status: &str, part: &str) {
    let (found, message) = checks.get(check).unwrap_or_else(|| panic!("{check}: {checks:#?}"));
    assert!(found == status && message.contains(part), "{check}: {found}: {message}");
}

#[test]
fn the_doctor_examines_a_folder_with_and_without_a_server() {
    let folder = folder();
    let path = folder.path();
    let (code, checks) = doctor(path, &[]);
    assert_eq!(code, 1);
    expect(&checks, "database", "wrong", "-C FOLDER");
    assert!(!path.join("vestibule.db").exists(), "nothing is created");
    assert_eq!(run(path, &["migrate"], &[], "").0, 0);
    let before = std::fs::read_dir(path).unwrap().count();
    let (code, checks) = doctor(path, &[]);
    assert_eq!(code, 0, "{checks:#?}");
    for check in ["database", "permissions", "key file", "log", "disk", "passwords", "mail queue", "rate limits"] {
        expect(&checks, check, "ok", "");
    }
    expect(&checks, "admins", "look", "vestibule operator link");
    expect(&checks, "backup", "look", "backup.every");
    expect(&checks, "mail", "look", "mail.url");
    expect(&checks, "server", "look", "");
    assert_eq!(std::fs::read_dir(path).unwrap().count(), before, "no file is left behind");

    let server = start(path, &[]);
    let address = server.address.to_string();
    let (code, checks) = doctor(path, &[("VESTIBULE_SERVER_ADDRESS", &address)]);
    assert_eq!(code, 0, "{checks:#?}");
    expect(&checks, "server", "ok", &address);
    expect(&checks, "database", "ok", "up to date");
    server.register();
    assert!(server.stop().success());
}

#[test]
fn the_doctor_prints_one_line_a_check_and_what_to_do() {
    let folder = folder();
    let path = folder.path();
    assert_eq!(run(path, &["migrate"], &[], "").0, 0);
    std::fs::set_permissions(path.join("vestibule.db.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let (code, out, error) = run(path, &["doctor"], &[], "");
    assert_eq!((code, error.as_str()), (1, "vestibule: one check found something wrong.\n"));
    assert!(out.lines().any(|line| line.starts_with("wrong  permissions") && line.contains("chmod 600")), "{out}");
    assert!(
        out.lines().all(|line| ["OK    ", "look  ", "wrong "].iter().any(|status| line.starts_with(status))),
        "{out}"
    );
    let (code, checks) = doctor(path, &[("VESTIBULE_SESSION_IDLE", "never")]);
    assert_eq!((code, checks.len()), (1, 1));
    expect(&checks, "configuration", "wrong", "session.idle");
}

#[test]
fn the_doctor_recognizes_newer_tables_and_a_damaged_file() {
    let folder = folder();
    let path = folder.path();
    assert_eq!(run(path, &["migrate"], &[], "").0, 0);
    let file = path.join("vestibule.db");
    let whole = std::fs::read(&file).unwrap();
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let mut connection = sqlx::SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.unwrap();
        let sql = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                   VALUES (9999, 'later', TRUE, x'00', 0)";
        sqlx::query(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
    let (code, checks) = doctor(path, &[]);
    assert_eq!(code, 1);
    expect(&checks, "database", "wrong", "newer Vestibule");
    let mut damaged = whole;
    let end = damaged.len();
    damaged[4096 * 2..end].fill(0x55);
    std::fs::write(&file, damaged).unwrap();
    let (code, checks) = doctor(path, &[]);
    assert_eq!(code, 1);
    expect(&checks, "database", "wrong", "damaged");
}

/// Forwards connections one after the other, and adds lines to the head of each request.
fn proxy(listener: TcpListener, server: SocketAddr, lines: &'static str) {
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut head = String::new();
            let mut reader = BufReader::new(client.try_clone().unwrap());
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
            let mut upstream = TcpStream::connect(server).unwrap();
            upstream.write_all(head.replacen("\r\n", &format!("\r\n{lines}"), 1).as_bytes()).unwrap();
            let mut answer = Vec::new();
            upstream.read_to_end(&mut answer).unwrap();
            client.write_all(&answer).unwrap();
        }
    });
}

#[test]
fn the_doctor_asks_itself_through_the_proxy_r89() {
    for (lines, trusted, status, part) in [
        ("X-Forwarded-For: 192.0.2.7\r\n", "127.0.0.1", "ok", "192.0.2.7"),
        ("X-Forwarded-For: 192.0.2.7\r\n", "", "wrong", "server.trusted_proxies"),
        ("", "127.0.0.1", "ok", "leads here"),
    ] {
        let folder = folder();
        let port = ReservedPort::new();
        let url = format!("http://127.0.0.1:{}", port.number());
        let env = [("VESTIBULE_SERVER_PUBLIC_URL", url.as_str()), ("VESTIBULE_SERVER_TRUSTED_PROXIES", trusted)];
        let server = start(folder.path(), &env);
        proxy(port.listen(), server.address, lines);
        let address = server.address.to_string();
        let (_, checks) = doctor(folder.path(), &[&env[..], &[("VESTIBULE_SERVER_ADDRESS", &address)]].concat());
        expect(&checks, "public URL", status, part);
        assert!(server.stop().success());
    }
}

#[test]
fn only_the_key_opens_the_answer_to_the_doctor_r115() {
    let folder = folder();
    let server = start(folder.path(), &[]);
    let ask = |ticket: &str| {
        let mut stream = TcpStream::connect(server.address).unwrap();
        let head = format!("GET /healthz HTTP/1.0\r\nHost: localhost\r\nX-Vestibule-Probe: {ticket}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        read_answer(stream).2
    };
    for ticket in ["", "x", "1795348800000.probe:00", "9223372036854775807.", "-1.probe:"] {
        assert_eq!(ask(ticket), "alive\n", "{ticket}");
    }
    assert!(server.stop().success());
}
