//! The real program, as a process.

mod audit;
mod backups;
mod command_line;
mod connections;
mod doctor;
mod importing;
mod many;
mod monitoring;
mod private;
mod proxy;
mod restoring;
mod rolling;
mod starving;
mod stopping;

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::Path,
    process::{Command, Output, Stdio},
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::util::{
    self, PASSWORD,
    program::{Server, read_answer, request},
};

/// The program in a folder.
fn program(folder: &Path) -> Command {
    util::program::program(Path::new(env!("CARGO_BIN_EXE_vestibule")), folder)
}

fn start(folder: &Path, env: &[(&str, &str)]) -> Server {
    Server::start(program(folder).envs(env.iter().copied()), &folder.join("log"))
}

impl Server {
    fn register(&self) {
        let (status, _, text) = self.try_to_register("ann");
        assert_eq!(status, 200, "{text}");
    }

    fn try_to_register(&self, name: &str) -> (u16, String, String) {
        let body = format!(r#"{{"email":"{name}@example.org","username":"{name}","password":"{PASSWORD}"}}"#);
        self.exchange("POST", "/api/accounts/api_register/", "", &body)
    }

    fn log_in(&self) -> (u16, String) {
        self.log_in_as("ann")
    }

    fn log_in_as(&self, name: &str) -> (u16, String) {
        let body = format!(r#"{{"email":"{name}","password":"{PASSWORD}"}}"#);
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
    let server = start(folder.path(), &[]);
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
fn a_second_server_on_the_same_file_is_refused_r104() {
    let folder = folder();
    let server = start(folder.path(), &[]);
    let (code, _, error) = run(folder.path(), &[], &[], "");
    assert_eq!(code, 1);
    assert!(error.contains("in use by another process"), "{error}");
    assert!(server.stop().success());
}

#[test]
fn no_secret_reaches_the_log_r112() {
    let folder = folder();
    let server = start(folder.path(), &[("VESTIBULE_LOG_LEVEL", "trace")]);
    server.register();
    let token = server.token();
    server.me(&token);
    server.call("GET", &format!("/login?token={token}"), &token, "");
    server.call("GET", &format!("/api/accounts/me/{token}"), &token, "");
    server.call("POST", "/api/accounts/api_auth/", "", &format!(r#"{{"email":"{PASSWORD}","password":"{PASSWORD}"}}"#));
    server.call("POST", "/api/accounts/logout/", &token, "{}");
    assert!(server.stop().success());
    let log = log_of(folder.path());
    assert!(log.contains("logged in") && log.lines().count() > 10, "the log contains the login");
    for secret in [PASSWORD, token.as_str(), "argon2id$", "ann@example.org"] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None);
    }
    assert!(log.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "every line is JSON");
}

/// Asserts that a process can write no core dump.
fn assert_no_core(process: u32) {
    // Only root can read the limits of a process that is not dumpable.
    let Ok(limits) = std::fs::read_to_string(format!("/proc/{process}/limits")) else { return };
    let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(line.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{line}");
}

#[test]
fn no_core_dump_can_be_written_r29() {
    let folder = folder();
    let server = start(folder.path(), &[]);
    assert_no_core(server.process.id());
    assert!(server.stop().success());
    // Each command reads its configuration from a pipe, so it waits while the test examines it.
    let pipe = folder.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    for args in [&["user", "add", "bob@example.org", "bob"][..], &["check-config"], &["backup", "copy.db"]] {
        let mut command = program(folder.path());
        let mut process = command.arg("--config").arg(&pipe).args(args).stdin(Stdio::null()).spawn().unwrap();
        let waiting = std::fs::OpenOptions::new().write(true).open(&pipe).unwrap();
        assert_no_core(process.id());
        drop(waiting);
        process.wait().unwrap();
    }
}
