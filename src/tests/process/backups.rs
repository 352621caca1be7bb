//! Scheduled backups of the program.

use super::*;

const EVERY_MINUTE: [(&str, &str); 2] = [("VESTIBULE_BACKUP_EVERY", "1m"), ("VESTIBULE_BACKUP_FOLDER", "copies")];

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join("copies")).into_iter().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn is_complete(name: &str) -> bool {
    name.starts_with("vestibule-auto-") && Path::new(name).extension().is_some_and(|kind| kind == "db")
}

/// Waits until the folder of backups has a file of a kind.
#[expect(clippy::disallowed_methods, reason = "no async thread waits here")]
fn await_file(folder: &Path, wanted: impl Fn(&str) -> bool) -> String {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        if let Some(name) = files(folder).into_iter().find(|name| wanted(name)) {
            return name;
        }
        assert!(Instant::now() < deadline, "there is no backup: {}", log_of(folder));
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_scheduled_backup_is_private_and_can_be_restored_r106_r111() {
    let folder = folder();
    let server = start(folder.path(), &[]);
    server.register();
    server.stop();
    let server = start(folder.path(), &EVERY_MINUTE);
    let name = await_file(folder.path(), is_complete);
    let path = folder.path().join("copies");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(path.join(&name).metadata().unwrap().permissions().mode() & 0o777, 0o600);
    server.stop();
    let (code, _, error) = run(folder.path(), &["restore", &format!("copies/{name}")], &[], "");
    assert_eq!(code, 0, "{error}");
    let server = start(folder.path(), &[]);
    assert_eq!(server.log_in().0, 200);
    server.stop();
}

/// Closing any handle of a file releases all locks of the process on it (fcntl(2)). Then another program could change
/// the file's journal mode while the server runs.
#[test]
fn a_scheduled_backup_keeps_sqlites_locks_r95() {
    let folder = folder();
    let server = start(folder.path(), &EVERY_MINUTE);
    server.register();
    await_file(folder.path(), is_complete);
    let runtime = Runtime::new().unwrap();
    let url = format!("sqlite:{}", folder.path().join("vestibule.db").display());
    runtime.block_on(async {
        let mut other = sqlx::SqliteConnection::connect(&url).await.unwrap();
        let changed = sqlx::query("PRAGMA journal_mode = DELETE").execute(&mut other).await;
        assert!(changed.is_err_and(|cause| cause.to_string().contains("locked")), "the server holds its lock");
        other.close().await.unwrap();
    });
    assert_eq!(server.log_in().0, 200);
    server.stop();
}

/// The server is killed as soon as anything is in the folder.
#[test]
fn a_kill_during_a_backup_leaves_none_that_is_incomplete_r106() {
    let folder = folder();
    for round in 0..4 {
        drop(std::fs::remove_dir_all(folder.path().join("copies")));
        let server = start(folder.path(), &EVERY_MINUTE);
        await_file(folder.path(), |_| true);
        drop(server);
        for name in files(folder.path()).iter().filter(|name| is_complete(name)) {
            let copy = format!("sqlite:{}", folder.path().join("copies").join(name).display());
            let (code, _, error) = run(folder.path(), &["user", "list"], &[("DATABASE_URL", &copy)], "");
            assert_eq!(code, 0, "round {round}: {name}: {error}");
        }
    }
    let server = start(folder.path(), &EVERY_MINUTE);
    await_file(folder.path(), is_complete);
    server.stop();
    let left = files(folder.path());
    assert!(left.iter().all(|name| is_complete(name)), "{left:?}");
}

#[test]
fn a_backup_beside_a_server_has_an_event() {
    let folder = folder();
    let (code, _, error) = run(folder.path(), &["migrate"], &[], "");
    assert_eq!(code, 0, "{error}");
    assert_eq!(run(folder.path(), &["backup", "one.db"], &[], "").0, 0, "there is nobody who may add an event");
    let server = start(folder.path(), &[]);
    assert_eq!(run(folder.path(), &["backup", "two.db"], &[], "").0, 0);
    server.stop();
    let (_, out, _) = run(folder.path(), &["events", "list", "--name", "backup.make", "--json"], &[], "");
    let events: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 1, "{out}");
    assert_eq!(events[0]["actor"]["kind"], "command_line");
}

#[test]
fn scheduled_backups_of_postgres_are_refused_r105() {
    let folder = folder();
    let env = [("DATABASE_URL", "postgres://ann@localhost/vestibule"), ("VESTIBULE_BACKUP_EVERY", "24h")];
    let (code, _, error) = run(folder.path(), &[], &env, "");
    assert!(code == 2 && error.contains("pg_dump") && error.lines().count() == 1, "{error}");
}
