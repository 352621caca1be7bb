//! A locked database, a full disk, a read-only folder, a wrong clock.

use std::os::unix::fs::chown;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use sqlx::{Executor, SqliteConnection};

use super::*;

#[test]
fn a_full_disk_is_a_503_in_time_that_loses_nothing_and_passes_r97() {
    let folder = folder();
    let mut shell = util::program::program(Path::new("sh"), folder.path());
    // Writes past about 500 KB of a file fail, like writes to a full disk.
    shell.args(["-c", "trap '' XFSZ; ulimit -S -f 1000; exec \"$0\"", env!("CARGO_BIN_EXE_vestibule")]);
    shell.env("VESTIBULE_RATE_LIMIT_REGISTER_BURST", "1000").env("VESTIBULE_RATE_LIMIT_LOGIN_BURST", "1000");
    let server = Server::start(&mut shell, &folder.path().join("log"));
    server.register();
    let token = server.token();
    let mut kept = vec!["ann".to_owned()];
    let refused = loop {
        let (name, started) = (format!("user{}", kept.len()), Instant::now());
        match server.try_to_register(&name) {
            (200, ..) => kept.push(name),
            refused => {
                util::assert_in_time(started, "disk full");
                assert!(refused.0 == 503 && refused.1.contains("retry-after: "), "{refused:?}");
                break name;
            }
        }
        assert!(kept.len() < 500, "the disk is not full yet");
    };
    assert_eq!((server.me(&token), server.log_in().0), (200, 503), "a logged-in user stays logged in");
    let endless = Rlimit { current: None, maximum: None };
    prlimit(Some(Pid::from_child(&server.process)), Resource::Fsize, endless).unwrap();
    for name in &kept {
        assert_eq!(server.log_in_as(name).0, 200, "{name}: an acknowledged account exists");
    }
    assert_eq!(server.try_to_register(&refused).0, 200, "nothing was stored in part");
    assert!(server.stop().success());
}

#[test]
fn a_full_disk_prevents_the_rewrite_but_no_start_r97_r110() {
    let folder = folder();
    let server = start(folder.path(), &[]);
    server.register();
    assert!(server.stop().success());
    let runtime = Runtime::new().unwrap();
    let file = format!("sqlite:{}", folder.path().join("vestibule.db").display());
    let mut connection = runtime.block_on(SqliteConnection::connect(&file)).unwrap();
    // Adds rows of about 1 MB. `user_version` records that accounts were deleted.
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000) \
               INSERT INTO users (id, email, email_key, username, username_key, password_hash, created_at) \
               SELECT i, i || 'x', i || 'x', i || 'y', i || 'y', hex(zeroblob(60)), 0 FROM n; PRAGMA user_version = 1";
    runtime.block_on(connection.execute(sql)).unwrap();
    runtime.block_on(connection.close()).unwrap();
    let mut shell = util::program::program(Path::new("sh"), folder.path());
    shell.args(["-c", "trap '' XFSZ; ulimit -S -f 1000; exec \"$0\"", env!("CARGO_BIN_EXE_vestibule")]);
    let server = Server::start(&mut shell, &folder.path().join("log"));
    assert_eq!(server.me("none"), 401);
    assert!(log_of(folder.path()).contains("the database file was not rewritten"), "{}", log_of(folder.path()));
    assert!(server.stop().success());
    let server = start(folder.path(), &[]);
    assert!(log_of(folder.path()).contains("the database file was rewritten"), "the rewrite is done later");
    assert!(server.stop().success());
}

#[test]
fn a_database_locked_by_another_is_a_503_in_time_and_passes_r96() {
    let folder = folder();
    let server = start(folder.path(), &[]);
    server.register();
    let token = server.token();
    let runtime = Runtime::new().unwrap();
    let file = folder.path().join("vestibule.db");
    let mut other = runtime.block_on(SqliteConnection::connect(&format!("sqlite:{}", file.display()))).unwrap();
    runtime.block_on(other.execute("BEGIN EXCLUSIVE")).unwrap();
    let started = Instant::now();
    let (status, head, _) = server.try_to_register("bob");
    assert!(status == 503 && head.contains("retry-after: "), "{head}");
    util::assert_in_time(started, "database locked by another process");
    assert_eq!((server.me(&token), server.log_in().0), (200, 503), "a logged-in user stays logged in");
    runtime.block_on(other.close()).unwrap();
    assert_eq!((server.try_to_register("bob").0, server.log_in().0), (200, 200), "nothing was stored in part");
    assert!(server.stop().success());
}

/// The user `nobody`.
const NOBODY: u32 = 65_534;

/// The program as a user who can't write to read-only folders. If the tests run as root, this is `nobody`.
fn unprivileged(folder: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return program(folder);
    }
    // The user `nobody` may not read the build folder.
    let copy = folder.join("vestibule");
    if !copy.exists() {
        std::fs::copy(env!("CARGO_BIN_EXE_vestibule"), &copy).unwrap();
        chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let mut command = util::program::program(Path::new("setpriv"), folder);
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]).arg(copy);
    command
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_read_only_folder_stops_no_server_and_is_reported_later_r97() {
    let (folder, log) = (folder(), folder());
    let begin = || Server::start(&mut unprivileged(folder.path()), &log.path().join("log"));
    let server = begin();
    server.register();
    set_mode(folder.path(), 0o555);
    assert_eq!(server.try_to_register("bob").0, 200, "the server's files are already open");
    assert!(server.stop().success());
    set_mode(folder.path(), 0o755);
    assert!(begin().stop().success());
    set_mode(folder.path(), 0o555);
    let refused = unprivileged(folder.path()).output().unwrap();
    let error = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{error}");
    assert!(error.contains("vestibule.db") && error.contains("Check the folder and its permissions"), "{error}");
    set_mode(folder.path(), 0o755);
    let server = begin();
    assert_eq!((server.log_in().0, server.log_in_as("bob").0), (200, 200), "nothing is lost");
    assert!(server.stop().success());
}

/// The library that sets a program's clock.
fn faketime() -> String {
    let folders = std::fs::read_dir("/usr/lib").unwrap().flatten().map(|entry| entry.path());
    let found = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|library| library.exists());
    found.expect("libfaketime is needed: apt-get install faketime").to_str().unwrap().to_owned()
}

#[test]
#[ignore = "long: make chaos"]
fn chaos_clock() {
    let folder = folder();
    let time_file = folder.path().join("time");
    let set = |time: &str| std::fs::write(&time_file, time).unwrap();
    set("+0");
    let server = Server::start(
        crate::chaos::command(folder.path())
            .env("LD_PRELOAD", faketime())
            .env("FAKETIME_TIMESTAMP_FILE", &time_file)
            .envs([("FAKETIME_NO_CACHE", "1"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")]),
        &folder.path().join("log"),
    );
    server.register();
    let old = server.token();
    assert_eq!(server.me(&old), 200);
    set("+365d");
    assert_eq!(server.me(&old), 401, "the session has expired after a year");
    let future = server.token();
    assert_eq!(server.me(&future), 200);
    set("+0");
    assert_eq!(
        (server.me(&old), server.me(&future)),
        (401, 401),
        "no expired token becomes valid, and none exceeds its maximum lifetime"
    );
    let now = server.token();
    assert_eq!(server.me(&now), 200);
    set("-365d");
    assert_eq!([&old, &future, &now].map(|token| server.me(token)), [401; 3]);
    let early = server.token();
    assert_eq!((server.me(&early), server.try_to_register("bob").0), (200, 200));
    set("+0");
    assert_eq!(
        [&old, &future, &early].map(|token| server.me(token)),
        [401; 3],
        "no expired token becomes valid after the clock moves back"
    );
    assert_eq!(server.log_in().0, 200);
    util::figure(
        "the clock a year forward, back, and a year back: no expired token became valid, and all accounts could log in",
    );
    assert!(server.stop().success());
}
