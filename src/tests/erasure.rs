//! Deleted accounts leave no bytes in the SQLite file or its log.

use rand::{Rng, SeedableRng, rngs::StdRng};
use sqlx::{Connection, SqliteConnection};
use vestibule::store::{Authority, DeleteOutcome, InheritFailures};

use crate::util::{App, Backend};

fn holds(app: &App, file: &str, text: &str) -> bool {
    let bytes = std::fs::read(app.folder().join(file)).unwrap();
    bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
}

#[tokio::test]
async fn a_deleted_account_is_not_found_in_the_file_r110() {
    let app = App::start(Backend::Sqlite).await;
    let phone = app.register("annabel").await.log_in().await;
    app.register("bob").await;
    assert!(holds(&app, "vestibule.db-wal", "annabel"));
    phone.delete_account("annabel").await.assert_status(204);
    // SQLite has merged its log into the file.
    assert!(holds(&app, "vestibule.db", "bob@example.org"));
    assert!(!holds(&app, "vestibule.db", "annabel"));
    assert!(!holds(&app, "vestibule.db-wal", "annabel"));
}

/// The number of deleted accounts with bytes left in the file or in its log.
fn remains(app: &App, deleted: &[String]) -> usize {
    let read = |name: &str| std::fs::read(app.folder().join(name)).unwrap();
    let bytes = [read("vestibule.db"), read("vestibule.db-wal")].concat();
    let text = String::from_utf8_lossy(&bytes);
    // The audit trail keeps the account's identifier.
    deleted.iter().filter(|name| text.contains(&format!("{name}@"))).count()
}

fn id_of(name: &str) -> String {
    format!("user-{name}-0000")
}

/// Adds accounts in one transaction, without a hash and a write for each. The connection has the server's settings.
async fn add_all(app: &App, names: &[String]) {
    let file = app.folder().join("vestibule.db");
    let mut connection = SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.unwrap();
    sqlx::raw_sql("PRAGMA secure_delete = ON; BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
    for name in names {
        let sql = "INSERT INTO users (id, email, email_key, username, username_key, password_hash, created_at) \
                   VALUES ($1, $2, $2, $3, $3, $4, 0)";
        let query = sqlx::query(sql).bind(id_of(name)).bind(format!("{name}@example.org")).bind(name);
        query.bind(format!("$argon2id$v=19$m=19456,t=2,p=1${name:x>66}")).execute(&mut connection).await.unwrap();
    }
    sqlx::raw_sql("COMMIT").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn delete(app: &App, name: &str) {
    let left = InheritFailures {
        from: app.service.unknown_network_key(name),
        to: app.service.unknown_network_key(name),
        since: app.now(),
    };
    let operator = Authority::Operator { user: id_of(name) };
    assert_eq!(app.store.delete_user(operator, false, left, app.stamp()).await.unwrap(), DeleteOutcome::Done, "{name}");
}

#[tokio::test]
async fn of_hundreds_of_deleted_accounts_no_byte_remains_r110() {
    let mut app = App::start(Backend::Sqlite).await;
    let mut chance = StdRng::seed_from_u64(110);
    let mut deleted = Vec::new();
    // Creates and deletes accounts until SQLite has left a copy of one of them.
    while remains(&app, &deleted) == 0 {
        assert!(deleted.len() < 1000, "SQLite leaves no copies any more, so the rewrite is unnecessary");
        let mut names = Vec::new();
        for _ in 0..400 {
            let (length, name) =
                (6 + chance.next_u64() % 15, format!("n{:016x}{:016x}", chance.next_u64(), chance.next_u64()));
            names.push(name.chars().take(usize::try_from(length).unwrap()).collect::<String>());
        }
        names.sort_unstable();
        names.dedup();
        names.sort_by_cached_key(|_| chance.next_u64());
        add_all(&app, &names).await;
        for name in names.into_iter().take(100) {
            delete(&app, &name).await;
            deleted.push(name);
        }
    }
    app.maintenance.take().unwrap().sweep().await;
    assert_eq!(remains(&app, &deleted), 0, "accounts remain in the file");
    assert!(!app.store.rewrite(i64::MAX).await.unwrap(), "a second rewrite is not necessary");
}

#[tokio::test]
async fn the_log_is_merged_into_the_file_at_each_sweep() {
    let mut app = App::start(Backend::Sqlite).await;
    add_all(&app, &["ann".to_owned()]).await;
    let is_in_the_file = |app: &App| {
        let file = std::fs::read(app.folder().join("vestibule.db")).unwrap();
        String::from_utf8_lossy(&file).contains("ann@example.org")
    };
    assert!(!is_in_the_file(&app), "the account is only in the log");
    app.maintenance.take().unwrap().sweep().await;
    assert!(is_in_the_file(&app));
}

#[tokio::test]
async fn a_file_too_large_to_rewrite_waits_for_the_next_start_r110() {
    let app = App::start(Backend::Sqlite).await;
    add_all(&app, &["ann".to_owned()]).await;
    delete(&app, "ann").await;
    assert!(!app.store.rewrite(4096).await.unwrap(), "a file above the limit is not rewritten");
    let app = app.restart().await;
    assert!(!app.store.rewrite(i64::MAX).await.unwrap(), "the start has already rewritten the file");
}
