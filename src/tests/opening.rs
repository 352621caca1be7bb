//! Opening a database, and what a pool of connections may take.

use std::{os::unix::fs::PermissionsExt, path::Path};

use sqlx::{Connection, Executor, SqliteConnection};
use vestibule::{
    service::admin::{Command, Reply},
    store::{DatabaseUrl, Error, Store},
};

use crate::util::{App, Backend};

async fn open(file: &Path) -> Result<Store, Error> {
    Store::open(&DatabaseUrl::Sqlite(file.to_owned()), 1).await
}

#[tokio::test]
async fn a_file_that_others_could_read_is_made_private_r111() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vestibule.db");
    std::fs::write(&file, "").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let store = open(&file).await.unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
    }
    store.close().await;
    drop(store);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o700)).unwrap();
    open(&file).await.unwrap().close().await;
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o700, "what is private stays as it is");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.txt");
    let notes = "Buy milk. ".repeat(1000);
    std::fs::write(&file, &notes).unwrap();
    let refused = open(&file).await.unwrap_err().to_string();
    assert!(refused.ends_with("notes.txt is no SQLite database. Name another file."), "{refused}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), notes);
    let refused = open(folder.path()).await.unwrap_err().to_string();
    assert!(refused.contains("can't be opened") && refused.contains("Check the folder"), "{refused}");
}

#[tokio::test]
async fn a_file_that_another_program_has_locked_is_told_as_locked_r96() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vestibule.db");
    let url = format!("sqlite:{}?mode=rwc", file.display());
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    other.execute("BEGIN EXCLUSIVE").await.unwrap();
    let refused = open(&file).await.unwrap_err().to_string();
    assert!(refused.contains("vestibule.db can't be opened") && refused.contains("database is locked"), "{refused}");
    other.close().await.unwrap();
    open(&file).await.unwrap().close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_has_no_more_connections_than_are_configured_r98() {
    let app = App::start_with(Backend::Postgres, |config| config.database.connections = 2).await;
    let mut observer = app.observer().await;
    futures_util::future::join_all((0..20).map(|_| app.store.ping())).await;
    let sql =
        "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'vestibule'";
    let connections: i64 = sqlx::query_scalar(sql).fetch_one(&mut observer).await.unwrap();
    assert_eq!(connections, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ending_all_sessions_waits_for_a_login_under_way_r41() {
    let app = App::start(Backend::Postgres).await;
    app.register("ann").await;
    app.token("ann").await;
    let revoke = Box::pin(app.service.administer(Command::RevokeSessions { who: "ann".to_owned() }));
    let revoked = app.behind("SELECT id FROM users FOR UPDATE", revoke).await;
    assert_eq!(revoked, Reply::Done { username: "ann".to_owned(), sessions: 1 });
}
