//! The real program, as a process.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::util::PASSWORD;

/// A running server.
struct Server {
    process: Child,
    address: SocketAddr,
}

fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
    command.current_dir(folder).env("VESTIBULE_SERVER_ADDRESS", "127.0.0.1:0").env_remove("DATABASE_URL");
    command
}

impl Server {
    fn start(folder: &Path, env: &[(&str, &str)]) -> Self {
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let mut process = program(folder).envs(env.iter().copied()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit("http://").next().unwrap();
        let address = address.parse().unwrap_or_else(|_| panic!("{line:?}: {}", log_of(folder)));
        Self { process, address }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.process.wait().unwrap()
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn call(&self, method: &str, path: &str, token: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(request(method, path, token, body).as_bytes()).unwrap();
        read_answer(stream)
    }

    fn register(&self) {
        let body = format!(r#"{{"email":"ann@example.org","username":"ann","password":"{PASSWORD}"}}"#);
        let (status, text) = self.call("POST", "/api/accounts/api_register/", "", &body);
        assert_eq!(status, 200, "{text}");
    }

    fn log_in(&self) -> (u16, String) {
        let body = format!(r#"{{"email":"ann","password":"{PASSWORD}"}}"#);
        self.call("POST", "/api/accounts/api_auth/", "", &body)
    }

    fn token(&self) -> String {
        let (status, text) = self.log_in();
        assert_eq!(status, 200, "{text}");
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        json["token"].as_str().unwrap().to_owned()
    }

    fn me(&self, token: &str) -> u16 {
        self.call("GET", "/api/accounts/me/", token, "").0
    }
}

fn request(method: &str, path: &str, token: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn read_answer(mut stream: TcpStream) -> (u16, String) {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, body.to_owned())
}

fn log_of(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log")).unwrap()
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Runs the program to its end, with a line on standard input.
fn run(folder: &Path, args: &[&str], env: &[(&str, &str)], input: &str) -> (i32, String, String) {
    let mut process = program(folder)
        .args(args)
        .envs(env.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    process.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let Output { status, stdout, stderr } = process.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[test]
fn it_starts_in_an_empty_folder_and_keeps_its_files_private_r111() {
    let folder = folder();
    let server = Server::start(folder.path(), &[]);
    assert_eq!(server.call("GET", "/login", "", "").0, 200);
    assert_eq!(server.call("GET", "/healthz", "", ""), (200, "alive\n".to_owned()));
    assert_eq!(server.call("GET", "/readyz", "", ""), (200, "ready\n".to_owned()));
    server.register();
    for file in std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
        let (name, metadata) = (file.file_name().into_string().unwrap(), file.metadata().unwrap());
        if name.starts_with("vestibule.db") {
            assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name}");
            assert!(name != "vestibule.db.sock" || metadata.file_type().is_socket());
        }
    }
    assert!(server.stop().success());
}

#[test]
fn a_kill_loses_nothing_and_brings_nothing_back_r41() {
    let folder = folder();
    let server = Server::start(folder.path(), &[]);
    server.register();
    let (kept, ended) = (server.token(), server.token());
    assert_eq!(server.call("POST", "/api/accounts/logout/", &ended, "{}").0, 204);
    server.kill();
    let server = Server::start(folder.path(), &[]);
    assert_eq!((server.me(&kept), server.me(&ended)), (200, 401));
    assert_eq!(server.log_in().0, 200);
    assert!(server.stop().success());
}

#[test]
fn a_second_server_on_the_same_file_is_refused_r104() {
    let folder = folder();
    let server = Server::start(folder.path(), &[]);
    let (code, _, error) = run(folder.path(), &[], &[], "");
    assert_eq!(code, 1);
    assert!(error.contains("in use by another process"), "{error}");
    assert!(server.stop().success());
}

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

    let server = Server::start(folder.path(), &[]);
    let token = server.token();
    let (code, out, error) = user(&["list"], "");
    assert!(code == 0 && out.contains("ann@example.org") && out.ends_with("Accounts: 1.\n"), "{out}{error}");
    assert_eq!(user(&["disable", "ann"], "").1, "The account ann is disabled. Sessions ended: 1.\n");
    assert_eq!((server.me(&token), server.log_in().0), (401, 400), "at once, in the running server");
    assert_eq!(user(&["enable", "ann@example.org"], "").0, 0);
    let token = server.token();
    assert_eq!(
        user(&["revoke-sessions", "ann"], "").1,
        "The account ann is logged out everywhere. Sessions ended: 1.\n"
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
fn no_secret_reaches_the_log_r112() {
    let folder = folder();
    let server = Server::start(folder.path(), &[("VESTIBULE_LOG_LEVEL", "trace")]);
    server.register();
    let token = server.token();
    server.me(&token);
    server.call("GET", &format!("/login?token={token}"), &token, "");
    server.call("GET", &format!("/api/accounts/me/{token}"), &token, "");
    server.call("POST", "/api/accounts/api_auth/", "", &format!(r#"{{"email":"{PASSWORD}","password":"{PASSWORD}"}}"#));
    server.call("POST", "/api/accounts/logout/", &token, "{}");
    assert!(server.stop().success());
    let log = log_of(folder.path());
    assert!(log.contains("logged in") && log.lines().count() > 10, "the log is there");
    for secret in [PASSWORD, token.as_str(), "argon2id$", "ann@example.org"] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None);
    }
    assert!(log.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "every line is JSON");
}

#[test]
fn no_core_dump_can_be_written_r29() {
    let folder = folder();
    let server = Server::start(folder.path(), &[]);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.process.id()));
    // A process that can't be dumped hides its limits from everybody but root.
    if let Ok(limits) = limits {
        let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(line.split_whitespace().nth(4), Some("0"), "{line}");
    }
    assert!(server.stop().success());
}

#[test]
fn a_signal_lets_requests_under_way_finish_r100() {
    let folder = folder();
    let server = Server::start(folder.path(), &[]);
    server.register();
    let body = format!(r#"{{"email":"ann","password":"{PASSWORD}"}}"#);
    let text = request("POST", "/api/accounts/api_auth/", "", &body);
    let (head, tail) = text.split_at(text.len() - 5);
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    // The server has the request's head when it answers another one that was sent after it.
    assert_eq!(server.call("GET", "/healthz", "", "").0, 200);
    server.signal(Signal::TERM);
    let patience = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(server.address).is_ok() {
        assert!(Instant::now() < patience, "it still accepts");
        std::thread::yield_now();
    }
    stream.write_all(tail.as_bytes()).unwrap();
    let (status, answer) = read_answer(stream);
    assert_eq!(status, 200, "{answer}");
    let mut server = server;
    assert!(server.process.wait().unwrap().success());
}

#[test]
fn a_second_signal_ends_it_at_once_r100() {
    let folder = folder();
    let mut server = Server::start(folder.path(), &[]);
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.write_all(b"POST /api/accounts/api_auth/ HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{").unwrap();
    assert_eq!(server.call("GET", "/healthz", "", "").0, 200);
    server.signal(Signal::TERM);
    let patience = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(server.address).is_ok() {
        assert!(Instant::now() < patience, "it still accepts");
    }
    server.signal(Signal::TERM);
    assert!(!server.process.wait().unwrap().success());
}

#[test]
fn slow_clients_are_given_up_on_and_others_served_r102() {
    let folder = folder();
    let server = Server::start(
        folder.path(),
        &[
            ("VESTIBULE_SERVER_HEADER_TIMEOUT", "1s"),
            ("VESTIBULE_SERVER_BODY_TIMEOUT", "1s"),
            ("VESTIBULE_SERVER_IDLE_TIMEOUT", "1s"),
            ("VESTIBULE_SERVER_MAX_CONNECTIONS_PER_ADDRESS", "40"),
        ],
    );
    let begin = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    };
    let silent: Vec<TcpStream> = (0..8).map(|_| begin(b"")).collect();
    let headers: Vec<TcpStream> = (0..8).map(|_| begin(b"GET /healthz HTTP/1.1\r\nhost: localh")).collect();
    let bodies: Vec<TcpStream> = (0..8)
        .map(|_| begin(b"POST /api/accounts/api_auth/ HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"))
        .collect();
    let idle = begin(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
    assert_eq!(server.call("GET", "/healthz", "", "").0, 200, "others are served meanwhile");
    for stream in silent.into_iter().chain(headers) {
        assert_ne!(read_answer(stream).0, 200, "closed without an answer that means yes");
    }
    for stream in bodies {
        assert_eq!(read_answer(stream).0, 408);
    }
    assert_eq!(read_answer(idle).0, 200, "answered, and closed when nothing more came");
    assert!(server.stop().success());
}

#[test]
fn one_address_cannot_take_every_connection_r102() {
    let folder = folder();
    let server = Server::start(folder.path(), &[("VESTIBULE_SERVER_MAX_CONNECTIONS_PER_ADDRESS", "3")]);
    let held: Vec<TcpStream> = (0..3)
        .map(|_| {
            let mut stream = TcpStream::connect(server.address).unwrap();
            stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            stream
        })
        .collect();
    let mut refused = TcpStream::connect(server.address).unwrap();
    let mut nothing = Vec::new();
    let read = refused.read_to_end(&mut nothing);
    assert!(read.is_err() || nothing.is_empty(), "closed at once");
    drop(held);
    let patience = Instant::now() + Duration::from_secs(10);
    loop {
        let mut stream = TcpStream::connect(server.address).unwrap();
        let sent = stream.write_all(request("GET", "/healthz", "", "").as_bytes());
        let mut text = String::new();
        if sent.is_ok() && stream.read_to_string(&mut text).is_ok() && text.starts_with("HTTP/1.1 200") {
            break;
        }
        assert!(Instant::now() < patience, "room again when the others are gone");
    }
    assert!(server.stop().success());
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
