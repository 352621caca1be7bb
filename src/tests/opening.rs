//! Opening a database, and the limits of a pool of connections.

use std::{os::unix::fs::PermissionsExt, path::Path, time::Duration};

use sqlx::{Connection, Executor, PgConnection, SqliteConnection};
use tokio::{
    io::{AsyncRead, AsyncWrite, copy_bidirectional},
    net::{TcpListener, TcpStream, UnixListener},
};
use vestibule::{
    service::admin::{Command, Reply},
    store::{DatabaseUrl, Error, Store},
};

use crate::util::{App, Backend, PASSWORD, actors::Client, is_lock_awaited, postgres, until};

/// Checks that an error names each of some texts.
#[track_caller]
fn assert_names(refused: &str, texts: &[&str]) {
    for text in texts {
        assert!(refused.contains(text), "{text} isn't in: {refused}");
    }
}

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
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o700, "a private folder stays unchanged");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.txt");
    let notes = "Buy milk. ".repeat(1000);
    std::fs::write(&file, &notes).unwrap();
    let refused = open(&file).await.unwrap_err().to_string();
    assert!(refused.ends_with("notes.txt is not a SQLite database. Name another file."), "{refused}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), notes);
    let refused = open(folder.path()).await.unwrap_err().to_string();
    assert_names(&refused, &["can't be opened", "Check the folder"]);
}

#[tokio::test]
async fn a_file_locked_by_another_program_is_reported_as_locked_r96() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vestibule.db");
    let url = format!("sqlite:{}?mode=rwc", file.display());
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    other.execute("BEGIN EXCLUSIVE").await.unwrap();
    let refused = open(&file).await.unwrap_err().to_string();
    assert_names(&refused, &["vestibule.db can't be opened", "database is locked"]);
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
    app.register("ann").await.log_in().await;
    let revoke = Box::pin(app.administer(Command::RevokeSessions { who: "ann".to_owned() }));
    let revoked = app.run_blocked("SELECT id FROM users FOR UPDATE", revoke).await;
    assert_eq!(revoked, Reply::Done { username: "ann".to_owned(), sessions: 1 });
}

/// Creates an empty PostgreSQL database and applies changes to it. Returns its URL.
async fn database_after(changes: &[&str]) -> String {
    let url = postgres::fresh_database().await;
    let name = url.rsplit_once('/').unwrap().1.to_owned();
    let mut admin = PgConnection::connect(&url).await.unwrap();
    for change in changes {
        let sql =
            change.replace("DATABASE this", &format!("DATABASE {name}")).replace("limited", &format!("limited_{name}"));
        admin.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
    }
    admin.close().await.unwrap();
    url
}

async fn refusal(url: &str) -> String {
    Store::open(&DatabaseUrl::parse(url).unwrap(), 1).await.unwrap_err().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_default_of_a_role_or_database_changes_the_server() {
    let url = database_after(&[
        "ALTER DATABASE this SET default_transaction_isolation = 'serializable'",
        "ALTER DATABASE this SET default_transaction_deferrable = on",
        "ALTER DATABASE this SET statement_timeout = '1ms'",
        "ALTER DATABASE this SET lock_timeout = '1ms'",
        "ALTER DATABASE this SET idle_in_transaction_session_timeout = '1ms'",
        "ALTER DATABASE this SET standard_conforming_strings = off",
        "ALTER DATABASE this SET client_encoding = 'LATIN1'",
        "ALTER DATABASE this SET \"TimeZone\" = 'Asia/Kathmandu'",
        "ALTER DATABASE this SET \"DateStyle\" = 'SQL, DMY'",
        "ALTER DATABASE this SET bytea_output = 'escape'",
    ])
    .await;
    let app = App::start_with(Backend::Postgres, |config| {
        config.database.url = DatabaseUrl::parse(&url).unwrap();
        config.password.hashing_queue = 500;
        config.password.hashing_timeout = Duration::from_mins(1);
        config.rate_limit.account_free_failures = 1000;
    })
    .await;
    let ann = app.register("ann").await;
    let logins = futures_util::future::join_all((0..48).map(|_| ann.try_log_in(PASSWORD).send())).await;
    let refused: Vec<_> = logins.iter().filter(|response| response.status != 200).collect();
    assert!(refused.is_empty(), "{} of 48: {:?}", refused.len(), refused.first());
    ann.log_in().await.assert_logged_in().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_utf_8_is_refused() {
    let url = postgres::fresh_database().await;
    let (server, name) = url.rsplit_once('/').unwrap();
    let mut admin = PgConnection::connect(&url).await.unwrap();
    let sql = format!("CREATE DATABASE {name}_latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
    admin.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
    let refused = refusal(&format!("{server}/{name}_latin")).await;
    assert_names(&refused, &["is encoded in LATIN1", "CREATE DATABASE vestibule"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_not_create_tables_gets_instructions() {
    let url = database_after(&["CREATE ROLE limited LOGIN", "REVOKE CREATE ON SCHEMA public FROM PUBLIC"]).await;
    let name = url.rsplit_once('/').unwrap().1;
    let limited = url.replace("postgres://postgres@", &format!("postgres://limited_{name}@"));
    let refused = refusal(&limited).await;
    assert_names(&refused, &["may not create tables", "GRANT CREATE ON SCHEMA public"]);
    let mut admin = PgConnection::connect(&url).await.unwrap();
    let sql = format!("CREATE SCHEMA vestibule AUTHORIZATION limited_{name}");
    admin.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
    let own = DatabaseUrl::parse(&format!("{limited}?options=-c%20search_path%3Dvestibule")).unwrap();
    let store = Store::open(&own, 1).await.unwrap();
    store.ping().await.unwrap();
    store.close().await;
    // After the migration, the server needs no permission to create tables.
    let sql = format!("ALTER SCHEMA vestibule OWNER TO postgres; GRANT USAGE ON SCHEMA vestibule TO limited_{name}");
    admin.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
    Store::open(&own, 1).await.unwrap().close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_separate_schema_lies_beside_tables_of_another_program() {
    let notes = "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, \
                 installed_on TIMESTAMPTZ NOT NULL DEFAULT now(), success BOOLEAN NOT NULL, checksum BYTEA NOT NULL, \
                 execution_time BIGINT NOT NULL); \
                 INSERT INTO _sqlx_migrations VALUES (20240101000000, 'app', now(), true, '\\x00', 0)";
    for (change, words) in [
        ("CREATE TABLE users (name TEXT)", "has tables of another program, such as users"),
        ("CREATE TABLE django_session (name TEXT)", "has tables of another program, such as django_session"),
        (notes, "has the migrations of another program"),
    ] {
        let url = database_after(&[change]).await;
        let refused = refusal(&url).await;
        assert_names(&refused, &[words, "?options=-c%20search_path%3Dvestibule"]);
        let own = format!("{url}?options=-c%20search_path%3Dvestibule");
        let refused = refusal(&own).await;
        assert_names(&refused, &["has no schema"]);
        let mut admin = PgConnection::connect(&url).await.unwrap();
        admin.execute("CREATE SCHEMA vestibule").await.unwrap();
        let app =
            App::start_with(Backend::Postgres, |config| config.database.url = DatabaseUrl::parse(&own).unwrap()).await;
        app.register("ann").await.assert_can_log_in(PASSWORD).await;
        let sql = "SELECT COUNT(*) FROM pg_tables WHERE schemaname = 'public'";
        assert_eq!(sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut admin).await.unwrap(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_program_refuses_newer_tables_r108() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vestibule.db");
    open(&file).await.unwrap().close().await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES \
                 (9999, 'x', TRUE, 'x', 0)";
    let mut other = SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.unwrap();
    other.execute(newer).await.unwrap();
    other.close().await.unwrap();
    let url = postgres::fresh_database().await;
    Store::open(&DatabaseUrl::parse(&url).unwrap(), 1).await.unwrap().close().await;
    PgConnection::connect(&url).await.unwrap().execute(newer).await.unwrap();
    for refused in [open(&file).await.unwrap_err().to_string(), refusal(&url).await] {
        assert_names(&refused, &["was migrated by a newer Vestibule"]);
    }
}

#[tokio::test]
async fn a_migration_of_tables_in_use_keeps_nobody_waiting_r100() {
    let app = App::start(Backend::Postgres).await;
    let undo = "DROP TABLE known_networks; \
         ALTER TABLE account_throttles DROP COLUMN reserved, DROP COLUMN reserved_until; \
         DELETE FROM _sqlx_migrations WHERE version = 5";
    app.observer().await.execute(undo).await.unwrap();
    let mut reader = app.observer().await;
    let mut reading = reader.begin().await.unwrap();
    reading.execute("SELECT * FROM account_throttles").await.unwrap();
    let url = app.config.database.url.clone();
    let starting = tokio::spawn(async move { Store::open(&url, 1).await });
    let (mut observer, mut other) = (app.observer().await, app.observer().await);
    until("the start waits", async || is_lock_awaited(&mut observer).await).await;
    // A statement waits no longer than this timeout.
    other.execute("SET statement_timeout = 2500").await.unwrap();
    other.execute("SELECT * FROM account_throttles").await.unwrap();
    assert!(!starting.is_finished(), "the tables are still in use");
    reading.commit().await.unwrap();
    starting.await.unwrap().unwrap().close().await;
    other.execute("SELECT reserved FROM account_throttles").await.unwrap();
}

#[tokio::test]
async fn a_sqlite_file_of_another_program_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.sqlite3");
    let url = format!("sqlite:{}?mode=rwc", file.display());
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    other.execute("CREATE TABLE auth_user (name TEXT)").await.unwrap();
    let refused = open(&file).await.unwrap_err().to_string();
    assert_names(&refused, &["app.sqlite3 has tables of another program, such as auth_user"]);
    let sql = "SELECT COUNT(*) FROM sqlite_schema";
    assert_eq!(
        sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut other).await.unwrap(),
        1,
        "the other program's database is unchanged"
    );
}

/// Forwards a connection to a server.
async fn pass_on(mut here: impl AsyncRead + AsyncWrite + Unpin, target: &str) {
    let mut there = TcpStream::connect(target).await.unwrap();
    drop(copy_bidirectional(&mut here, &mut there).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_reached_by_an_ipv6_address_and_by_a_socket() {
    let url = postgres::fresh_database().await;
    let (target, name) = url.rsplit_once('@').unwrap().1.rsplit_once('/').unwrap();
    let (target, folder) = (target.to_owned(), tempfile::tempdir().unwrap());
    let tcp = TcpListener::bind("[::1]:0").await.unwrap();
    let socket = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
    let port = tcp.local_addr().unwrap().port();
    let there = target.clone();
    tokio::spawn(async move {
        while let Ok((here, _)) = tcp.accept().await {
            let there = there.clone();
            tokio::spawn(async move { pass_on(here, &there).await });
        }
    });
    tokio::spawn(async move {
        while let Ok((here, _)) = socket.accept().await {
            let there = target.clone();
            tokio::spawn(async move { pass_on(here, &there).await });
        }
    });
    let folder = folder.path().display();
    for url in [
        format!("postgres://postgres@[::1]:{port}/{name}"),
        format!("postgres:///{name}?host={folder}&user=postgres"),
        format!("postgresql://postgres@/{name}?host={folder}"),
    ] {
        let store = Store::open(&DatabaseUrl::parse(&url).unwrap(), 1).await.unwrap();
        store.ping().await.unwrap();
        store.close().await;
    }
}

#[tokio::test]
async fn a_restore_clears_every_table_that_grants_access_r107() {
    // Tables that grant no access. `Store::revoke_after_restore` must clear all others.
    let harmless = [
        "_sqlx_migrations",
        "account_throttles",
        "address_throttles",
        "decoy_links",
        "events",
        "group_members",
        "groups",
        "imports",
        "known_networks",
        "mails",
        "server_facts",
        "users",
    ];
    let ended = ["access_tokens", "invitation_groups", "invitations", "links", "sessions", "setup_links"];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vestibule.db");
    open(&file).await.unwrap().close().await;
    let mut connection = SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.unwrap();
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name";
    let tables: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap();
    let mut known = [&harmless[..], &ended[..]].concat();
    known.sort_unstable();
    assert_eq!(tables, known);
}
