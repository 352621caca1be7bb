//! Ownership of files, and which users may send commands.

use std::{
    io::{BufRead, BufReader},
    os::unix::{
        fs::{MetadataExt, chown, symlink},
        net::UnixStream,
    },
};

use rustix::process::{Uid, geteuid};

use super::*;

/// The user `nobody`.
const NOBODY: u32 = 65_534;

/// Whether the tests run as root, as they do in CI. Elsewhere the test prints that it was skipped.
fn is_root(test: &str) -> bool {
    let root = geteuid().is_root();
    if !root {
        eprintln!("{test} was skipped: it requires root");
    }
    root
}

fn mode_of(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn everything_is_made_private_whatever_the_umask_is_r111() {
    let folder = folder();
    let open = |args: &str| {
        let mut shell = util::program::program(Path::new("sh"), folder.path());
        shell.args(["-c", &format!("umask 0; exec \"$0\" {args}"), env!("CARGO_BIN_EXE_vestibule")]);
        shell
    };
    let server = Server::start(&mut open(""), &folder.path().join("log"));
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process.id())).unwrap();
    assert!(status.contains("Umask:\t0077"), "new files are private before their mode can be set: {status}");
    server.register();
    assert!(open("backup copy.db").output().unwrap().status.success());
    let mail = folder.path().join("mail");
    let deadline = Instant::now() + Duration::from_secs(10);
    while std::fs::read_dir(&mail).into_iter().flatten().count() == 0 {
        assert!(Instant::now() < deadline, "no mail arrives");
        thread::yield_now();
    }
    for entry in
        std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap).filter(|entry| entry.file_name() != "log")
    {
        let wanted = if entry.file_name() == "mail" { 0o700 } else { 0o600 };
        assert_eq!(mode_of(&entry.path()), wanted, "{:?}", entry.file_name());
    }
    for entry in std::fs::read_dir(&mail).unwrap() {
        assert_eq!(mode_of(&entry.unwrap().path()), 0o600);
    }
    assert!(server.stop().success());
}

/// Sends a command to a socket as another user, and returns the response.
fn ask_as(user: u32, socket: &Path) -> String {
    let socket = socket.to_owned();
    let asked = thread::spawn(move || {
        let user = Uid::from_raw(user);
        rustix::thread::set_thread_res_uid(user, user, user).unwrap();
        let mut stream = UnixStream::connect(socket).unwrap();
        // This fails if the server has already closed the connection.
        drop(stream.write_all(b"{\"command\":\"list\",\"after\":\"\"}\n"));
        let mut answer = String::new();
        drop(BufReader::new(stream).read_line(&mut answer));
        answer
    });
    asked.join().unwrap()
}

#[test]
fn the_control_socket_obeys_its_own_user_and_root_alone_r111() {
    if !is_root("the_control_socket_obeys_its_own_user_and_root_alone_r111") {
        return;
    }
    let folder = folder();
    let server = start(folder.path(), &[]);
    let socket = folder.path().join("vestibule.db.sock");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666)).unwrap();
    for _ in 0..3 {
        assert_eq!(ask_as(NOBODY, &socket), "");
    }
    assert_eq!(ask_as(0, &socket).trim(), r#"{"reply":"users","users":[]}"#);
    assert!(server.stop().success());
    let log = log_of(folder.path());
    assert_eq!(log.matches("a command of another user was refused").count(), 1, "logged once an hour: {log}");
}

#[test]
fn commands_of_root_follow_no_link_in_the_services_folder_r111() {
    if !is_root("commands_of_root_follow_no_link_in_the_services_folder_r111") {
        return;
    }
    let (service, roots) = (folder(), folder());
    chown(service.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let victim = roots.path().join("victim");
    let write_victim = || {
        std::fs::write(&victim, "keep me").unwrap();
        std::fs::set_permissions(&victim, std::fs::Permissions::from_mode(0o644)).unwrap();
    };
    for link in ["vestibule.db", "vestibule.db.lock", "vestibule.db-wal", "vestibule.db.mark", "vestibule.db.sock"] {
        for args in [&["user", "list"][..], &["migrate"], &["backup", "copy.db"], &["restore", "/etc/hostname"]] {
            write_victim();
            symlink(&victim, service.path().join(link)).unwrap();
            run(service.path(), args, &[], "");
            let kept = (std::fs::read_to_string(&victim).unwrap(), mode_of(&victim));
            assert_eq!(kept, ("keep me".to_owned(), 0o644), "{link} {args:?}");
            for name in std::fs::read_dir(service.path()).unwrap() {
                std::fs::remove_file(name.unwrap().path()).unwrap();
            }
        }
    }
    std::fs::set_permissions(roots.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let planted = format!("[database]\nurl = \"sqlite:{}/planted.db\"\n", roots.path().display());
    std::fs::write(service.path().join("Leptos.toml"), planted).unwrap();
    let (code, _, error) = run(service.path(), &["migrate"], &[], "");
    assert!(code == 1 && error.contains("ermission denied"), "{error}");
    assert!(!roots.path().join("planted.db").exists());
}

#[test]
fn roots_files_belong_to_the_service_and_its_backups_to_root() {
    if !is_root("roots_files_belong_to_the_service_and_its_backups_to_root") {
        return;
    }
    let (service, roots) = (folder(), folder());
    chown(service.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let (code, _, error) =
        run(service.path(), &["user", "add", "ann@example.org", "ann"], &[], &format!("{PASSWORD}\n"));
    assert_eq!(code, 0, "{error}");
    for entry in std::fs::read_dir(service.path()).unwrap().map(Result::unwrap) {
        assert_eq!(entry.metadata().unwrap().uid(), NOBODY, "{:?}", entry.file_name());
    }
    let copy = roots.path().join("copy.db");
    let (code, _, error) = run(service.path(), &["backup", copy.to_str().unwrap()], &[], "");
    assert_eq!((code, copy.metadata().unwrap().uid(), mode_of(&copy)), (0, 0, 0o600), "{error}");
    let (code, _, error) = run(service.path(), &["restore", copy.to_str().unwrap()], &[], "");
    assert_eq!((code, service.path().join("vestibule.db").metadata().unwrap().uid()), (0, NOBODY), "{error}");
}

#[test]
fn a_file_with_two_names_has_one_server_r104() {
    let folder = folder();
    let server = start(folder.path(), &[]);
    std::fs::hard_link(folder.path().join("vestibule.db"), folder.path().join("other.db")).unwrap();
    let (code, _, error) = run(folder.path(), &[], &[("DATABASE_URL", "sqlite:other.db")], "");
    assert!(code == 1 && error.contains("other.db is in use by another process"), "{error}");
    let (code, _, error) = run(folder.path(), &["backup", "copy.db"], &[("DATABASE_URL", "sqlite:other.db")], "");
    assert!(code == 1 && error.contains("other.db is in use by another process under another name"), "{error}");
    assert!(!folder.path().join("copy.db").exists());
    let (code, _, error) = run(folder.path(), &["backup", "copy.db"], &[], "");
    assert_eq!(code, 0, "the name that the server uses works: {error}");
    assert!(server.stop().success());
}

#[test]
fn after_a_kill_no_backup_is_made_by_the_files_second_name_r106() {
    let folder = folder();
    let mut server = start(folder.path(), &[]);
    server.register();
    server.process.kill().unwrap();
    server.process.wait().unwrap();
    std::fs::hard_link(folder.path().join("vestibule.db"), folder.path().join("other.db")).unwrap();
    let (code, _, error) = run(folder.path(), &["backup", "copy.db"], &[("DATABASE_URL", "sqlite:other.db")], "");
    assert!(code == 1 && error.contains("other.db has 2 names") && error.lines().count() == 1, "{error}");
    assert!(!folder.path().join("copy.db").exists());
    let (code, _, error) = run(folder.path(), &["backup", "copy.db"], &[], "");
    assert_eq!(code, 0, "the log is beside the first name: {error}");
    let (code, _, error) = run(folder.path(), &["restore", "copy.db"], &[], "");
    assert_eq!(code, 0, "{error}");
    let server = start(folder.path(), &[]);
    assert_eq!(server.log_in().0, 200);
    assert!(server.stop().success());
}

#[test]
fn a_link_in_the_place_of_the_database_is_refused_in_words() {
    let folder = folder();
    std::fs::write(folder.path().join("real.db"), "").unwrap();
    symlink("real.db", folder.path().join("vestibule.db")).unwrap();
    let (code, _, error) = run(folder.path(), &["migrate"], &[], "");
    assert!(code == 1 && error.contains("symbolic link; name the file that it points to"), "{error}");
}

#[test]
fn a_readable_mail_folder_is_closed_and_a_shared_one_refused() {
    let folder = folder();
    let mail = folder.path().join("mail");
    std::fs::create_dir(&mail).unwrap();
    std::fs::set_permissions(&mail, std::fs::Permissions::from_mode(0o755)).unwrap();
    let server = start(folder.path(), &[]);
    server.register();
    let deadline = Instant::now() + Duration::from_secs(10);
    while std::fs::read_dir(&mail).unwrap().count() == 0 {
        assert!(Instant::now() < deadline, "no mail arrives");
        thread::yield_now();
    }
    assert_eq!(mode_of(&mail), 0o700);
    std::fs::set_permissions(&mail, std::fs::Permissions::from_mode(0o1777)).unwrap();
    assert_eq!(server.try_to_register("bob").0, 200);
    let deadline = Instant::now() + Duration::from_secs(10);
    while !log_of(folder.path()).contains("is open to other users") {
        assert!(Instant::now() < deadline, "nothing is logged");
        thread::yield_now();
    }
    assert_eq!(mail.metadata().unwrap().permissions().mode() & 0o7777, 0o1777, "a shared folder stays unchanged");
    assert!(server.stop().success());
}
