//! Tests that a client can't detect other accounts, neither from responses nor from the amount of work.

use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::{Connection, Row as _, SqliteConnection};

use super::sends;
use crate::util::{
    App, Backend,
    actors::{Client, Device},
    captured_log::CapturedLog,
    macros::both,
};

both! {
    a_change_to_a_free_and_to_a_taken_email_look_the_same_r2_r56_r59,
    a_request_that_changes_nothing_waits_for_no_writer_r56,
    the_database_holds_no_unkeyed_hash_of_an_email_or_a_name_r110,
}

/// A response without the parts that differ in every run.
fn plain(mut value: Value, asked: &str) -> String {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(map) => {
                let differing = ["id", "token", "network", "credential_id", "request_id"];
                map.retain(|key, _| !differing.contains(&key.as_str()));
                map.values_mut().for_each(strip);
            }
            Value::Array(list) => {
                list.iter_mut().for_each(strip);
                // Events of one millisecond have no order.
                if list.iter().all(|entry| entry.get("outcome").is_some()) {
                    list.sort_by_cached_key(Value::to_string);
                }
            }
            _ => {}
        }
    }
    strip(&mut value);
    value.to_string().replace(asked, "<asked>")
}

/// Everything that a client reads of its account.
async fn read(phone: &Device, asked: &str, seen: &mut Vec<String>) {
    for path in ["export/", "sessions/", "tokens/", "me/"] {
        let response = phone.get(path).await;
        seen.push(plain(response.assert_status(200).json(), asked));
    }
}

/// Everything that a client sees before and after it requests a change of its email.
async fn traces_of_a_change(app: &App, asked: &str) -> Vec<String> {
    let mut seen = Vec::new();
    let phone = app.user("ann").log_in().await;
    // A link to the account's own new mailbox, which a further request revokes.
    let own = app.email_link(&phone, "ann2@example.org").await;
    app.clock.advance(Duration::from_secs(1));
    app.break_mail();
    seen.push(phone.change_email(asked).await.shape());
    read(&phone, asked, &mut seen).await;
    app.deliver().await;
    read(&phone, asked, &mut seen).await;
    app.repair_mail();
    app.clock.advance(Duration::from_mins(1));
    app.deliver().await;
    read(&phone, asked, &mut seen).await;
    seen.push(app.check_link(&own).await.to_string());
    // The responses show how many requests the rate limit still allows.
    for at in 0..6 {
        app.clock.advance(Duration::from_secs(1));
        seen.push(phone.change_email(&format!("own{at}@example.org")).await.shape());
        let messages = app.deliver().await;
        seen.extend(messages.iter().map(|message| format!("{} {}", message.to, message.subject)));
        read(&phone, asked, &mut seen).await;
    }
    seen
}

/// A server with ann, who requests a change of email, and bob, whose email may be requested.
async fn world(backend: Backend, disabled: bool) -> App {
    let app = App::start_with(backend, sends).await;
    app.register_confirmed("ann").await;
    app.register_confirmed("bob").await;
    if disabled {
        app.disable("bob").await;
    }
    app
}

async fn a_change_to_a_free_and_to_a_taken_email_look_the_same_r2_r56_r59(app: App) {
    for (disabled, others) in [(false, 0), (false, 5), (true, 30)] {
        let mut traces = Vec::new();
        for asked in ["free@example.org", "bob@example.org"] {
            let app = Box::pin(world(app.backend, disabled)).await;
            ask_before(&app, asked, others).await;
            traces.push(Box::pin(traces_of_a_change(&app, asked)).await);
            app.discard().await;
        }
        assert_eq!(traces[0], traces[1], "disabled: {disabled}, {others} earlier requests");
    }
}

/// Sends requests of other accounts to change to an email.
async fn ask_before(app: &App, asked: &str, others: u32) {
    for at in 0..others.div_ceil(5) {
        let device = app.register(&format!("eve{at}")).await.log_in().await;
        for _ in 0..5 {
            device.change_email(asked).await;
        }
    }
    app.deliver().await;
}

/// Number of commits in SQLite's log: frames that contain the database's size after them (sqlite.org/fileformat2.html,
/// section 4.1).
fn commits(app: &App) -> usize {
    let log = std::fs::read(app.folder().join("vestibule.db-wal")).unwrap();
    let number = |at: usize| u32::from_be_bytes(log[at..at + 4].try_into().unwrap());
    let frame = 24 + usize::try_from(number(8)).unwrap();
    let frames = (32..).step_by(frame).take_while(|at| at + frame <= log.len());
    let current = frames.take_while(|at| log[at + 8..at + 16] == log[16..24]);
    current.filter(|at| number(at + 4) != 0).count()
}

/// The number of writes of the mail worker for a request: commits on SQLite, statements on PostgreSQL.
async fn work_of_delivery(app: &App) -> usize {
    match app.backend {
        Backend::Sqlite => {
            let before = commits(app);
            app.deliver().await;
            commits(app) - before
        }
        Backend::Postgres => {
            let (statements, listening) = CapturedLog::listen(|metadata| metadata.target() == "sqlx::query");
            app.deliver().await;
            drop(listening);
            // Excludes the statements that a connection sends when it is opened or returned to the pool.
            let is_counted = |statement: &&String| {
                ["users", "mails", "links", "throttles"].iter().any(|table| statement.contains(table))
            };
            statements.take().iter().filter(is_counted).count()
        }
    }
}

/// The test runs on one thread, so that its captured log contains the mail worker's statements.
#[tokio::test]
async fn the_mail_worker_does_equal_work_with_and_without_account_r2_r56() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let app = Box::pin(world(backend, false)).await;
        app.register_confirmed("cyd").await;
        app.disable("cyd").await;
        app.register("dan").await;
        let phone = app.user("ann").log_in().await;
        app.deliver().await;
        let [mut resets, mut registrations, mut changes] = [const { Vec::new() }; 3];
        for (at, who) in ["nobody", "bob", "cyd", "dan"].into_iter().enumerate() {
            let user = app.user(who);
            user.forgot_password().await.assert_status(200);
            resets.push(work_of_delivery(&app).await);
            phone.change_email(&user.email()).await.assert_status(200);
            changes.push(work_of_delivery(&app).await);
            app.try_register(&user.email(), &format!("new{at}")).await.assert_status(200);
            registrations.push(work_of_delivery(&app).await);
        }
        for (what, all) in [("reset", resets), ("change", changes), ("registration", registrations)] {
            assert!(all[0] > 3, "{backend:?}, {what}: {all:?}");
            assert!(all.iter().all(|work| *work == all[0]), "{backend:?}, {what}: {all:?}");
        }
    }
}

async fn a_request_that_changes_nothing_waits_for_no_writer_r56(app: App) {
    let phone = app.register_confirmed("ann").await.log_in().await;
    for _ in 0..10 {
        phone.create_access_token("backup", "read").await;
    }
    phone.try_create_access_token("backup", "read", 30).await.assert_status(429);
    app.deliver().await;
    let requests = async {
        let unknown = "018f2f3a-0000-7000-8000-000000000000";
        phone.end_session(unknown).await.assert_status(404);
        phone.delete(&format!("tokens/{unknown}/")).await.assert_status(404);
        phone.end_other_sessions().await.assert_status(200);
        phone.try_create_access_token("backup", "read", 30).await.assert_status(429);
    };
    match app.backend {
        Backend::Sqlite => {
            let file = format!("sqlite:{}", app.folder().join("vestibule.db").display());
            let mut other = SqliteConnection::connect(&file).await.unwrap();
            let writing = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
            requests.await;
            drop(writing);
        }
        Backend::Postgres => {
            let mut other = app.observer().await;
            let mut writing = other.begin().await.unwrap();
            sqlx::query("SELECT id FROM users FOR UPDATE").execute(&mut *writing).await.unwrap();
            requests.await;
            writing.rollback().await.unwrap();
        }
    }
}

/// All contents of the database, in binary and in text form.
async fn contents(app: &App) -> Vec<u8> {
    match app.backend {
        Backend::Sqlite => {
            let read = |name: &str| std::fs::read(app.folder().join(name)).unwrap();
            [read("vestibule.db"), read("vestibule.db-wal")].concat()
        }
        Backend::Postgres => {
            let mut observer = app.observer().await;
            let sql = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'";
            let tables: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut observer).await.unwrap();
            let mut all = Vec::new();
            for table in tables {
                let sql = sqlx::AssertSqlSafe(format!("SELECT CAST(t AS TEXT) FROM {table} AS t"));
                for row in sqlx::query(sql).fetch_all(&mut observer).await.unwrap() {
                    all.extend(row.get::<String, _>(0).into_bytes());
                }
            }
            all
        }
    }
}

async fn the_database_holds_no_unkeyed_hash_of_an_email_or_a_name_r110(app: App) {
    let (ann, bob) = (app.register_confirmed("ann").await, app.register("bob").await);
    bob.log_in().await.create_access_token("backup", "read").await;
    app.deliver().await;
    app.move_to(&ann.log_in().await, "moved@example.org").await;
    let eve = app.register("eve").await.log_in().await;
    for email in ["moved@example.org", "free@example.org"] {
        eve.change_email(email).await.assert_status(200);
    }
    for email in ["moved@example.org", "bob@example.org", "nobody@example.org"] {
        app.forgot_password(email).await.assert_status(200);
    }
    for name in ["moved@example.org", "ann", "nobody@example.org", "nobody", "a secret in the wrong field"] {
        app.user(name).assert_cannot_log_in("wrong").await;
    }
    app.deliver().await;
    ann.log_in().await.delete_account("ann").await.assert_status(204);
    ann.assert_cannot_log_in("wrong").await;

    let contents = contents(&app).await;
    let holds = |needle: &[u8]| contents.windows(needle.len()).any(|window| window == needle);
    for key in ["name:", "known:", "mailbox:", "notices:", "moves:"] {
        assert!(holds(key.as_bytes()), "no {key} is stored");
    }
    let names = ["ann", "bob", "eve", "nobody", "a secret in the wrong field"].map(str::to_owned);
    let emails = ["ann", "moved", "bob", "eve", "free", "nobody"].map(|name| format!("{name}@example.org"));
    for name in names.iter().chain(&emails) {
        for text in [name.clone(), name.to_uppercase()] {
            let digest = Sha256::digest(text.as_bytes());
            let hex = digest.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
            assert!(!holds(&digest), "{text}");
            assert!(!holds(hex.as_bytes()), "{text}");
            assert!(!holds(hex.to_uppercase().as_bytes()), "{text}");
        }
    }
}
