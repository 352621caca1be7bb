//! What a client can find out about other accounts, from everything that it can read and from the amount of work.

use sha2::{Digest, Sha256};
use sqlx::{Connection, Row as _, SqliteConnection};

use super::*;
use crate::util::captured_log::CapturedLog;

const SESSIONS: &str = "/api/accounts/sessions/";
const TOKENS: &str = "/api/accounts/tokens/";

/// A text without the parts that differ in every run.
fn plain(mut value: Value, asked: &str) -> String {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.retain(|key, _| !["id", "token", "network"].contains(&key.as_str()));
                map.values_mut().for_each(strip);
            }
            Value::Array(list) => list.iter_mut().for_each(strip),
            _ => {}
        }
    }
    strip(&mut value);
    value.to_string().replace(asked, "<asked>")
}

/// Everything that a client sees before and after it asks to change its email.
async fn traces_of_a_move(app: &App, asked: &str) -> Vec<String> {
    let mut seen = Vec::new();
    let token = app.token("ann").await;
    let request =
        async |email: &str| app.ask("POST", CHANGE_EMAIL, &token, &json!({ "new_email": email })).await.shape();
    let read = async |seen: &mut Vec<String>| {
        for path in ["/api/accounts/export/", SESSIONS, TOKENS, "/api/accounts/me/"] {
            let answer = app.get(path).bearer(&token).from(&some_address()).send().await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            seen.push(plain(answer.json(), asked));
        }
    };
    // A link to the account's own new mailbox, which a further request revokes.
    let own = app.email_link(&token, "ann2@example.org").await;
    app.clock.advance(Duration::from_secs(1));
    app.mail_capture.broken.store(true, Ordering::SeqCst);
    seen.push(request(asked).await);
    read(&mut seen).await;
    app.deliver().await;
    read(&mut seen).await;
    app.mail_capture.broken.store(false, Ordering::SeqCst);
    app.clock.advance(Duration::from_mins(1));
    app.deliver().await;
    read(&mut seen).await;
    seen.push(app.send("/fn/check_link", json!({ "token": own })).await.text);
    // The number of requests that remain.
    for at in 0..6 {
        app.clock.advance(Duration::from_secs(1));
        seen.push(request(&format!("own{at}@example.org")).await);
        let messages = app.deliver().await;
        seen.extend(messages.iter().map(|message| format!("{} {}", message.to, message.subject)));
        read(&mut seen).await;
    }
    seen
}

/// An account that asks, an account with an email that can be asked for, and others that have asked for it before.
async fn world(backend: Backend, closed: bool) -> App {
    let app = App::start_with(backend, sends).await;
    app.register_confirmed("ann").await;
    app.register_confirmed("bob").await;
    if closed {
        let bob = app.id_of(&app.token("bob").await).await;
        app.store.disable_user(&bob, app.now()).await.unwrap();
    }
    app
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_to_move_sees_no_difference_between_an_email_that_is_free_and_one_that_is_taken_r2_r56_r59() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        for (closed, others) in [(false, 0), (false, 5), (true, 30)] {
            let mut worlds = Vec::new();
            for asked in ["free@example.org", "bob@example.org"] {
                let app = Box::pin(world(backend, closed)).await;
                ask_before(&app, asked, others).await;
                worlds.push(Box::pin(traces_of_a_move(&app, asked)).await);
                app.discard().await;
            }
            assert_eq!(worlds[0], worlds[1], "{backend:?}, closed: {closed}, {others} have asked before");
        }
    }
}

/// Lets that many other accounts ask to change to an email.
async fn ask_before(app: &App, asked: &str, others: u32) {
    for at in 0..others.div_ceil(5) {
        let name = format!("eve{at}");
        app.register(&name).await;
        let token = app.token(&name).await;
        for _ in 0..5 {
            app.ask("POST", CHANGE_EMAIL, &token, &json!({ "new_email": asked })).await;
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

/// How much the mail worker writes for a request: commits on SQLite, statements on PostgreSQL.
async fn work_of_the_postman(app: &App) -> usize {
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
            let ours = |statement: &&String| {
                ["users", "mails", "links", "throttles"].iter().any(|table| statement.contains(table))
            };
            statements.take().iter().filter(ours).count()
        }
    }
}

#[tokio::test]
async fn the_postman_works_as_much_for_an_email_without_an_account_as_for_one_with_r2_r56() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let app = Box::pin(world(backend, false)).await;
        app.register_confirmed("cyd").await;
        let cyd = app.id_of(&app.token("cyd").await).await;
        app.store.disable_user(&cyd, app.now()).await.unwrap();
        app.register("dan").await;
        let token = app.token("ann").await;
        app.deliver().await;
        let [mut forgets, mut registers, mut moves] = [const { Vec::new() }; 3];
        for (at, who) in ["nobody", "bob", "cyd", "dan"].into_iter().enumerate() {
            let email = format!("{who}@example.org");
            assert_eq!(app.forgot(&email).await.status, 200);
            forgets.push(work_of_the_postman(&app).await);
            assert_eq!(app.ask("POST", CHANGE_EMAIL, &token, &json!({ "new_email": email })).await.status, 200);
            moves.push(work_of_the_postman(&app).await);
            let body = json!({ "email": email, "username": format!("new{at}"), "password": PASSWORD });
            assert_eq!(app.send(REGISTER, body).await.status, 200);
            registers.push(work_of_the_postman(&app).await);
        }
        for (what, all) in [("forgot", forgets), ("move", moves), ("register", registers)] {
            assert!(all[0] > 3 && all.iter().all(|work| *work == all[0]), "{backend:?}, {what}: {all:?}");
        }
    }
}

on_both! {
    async fn what_changes_nothing_waits_for_no_other_who_writes_r56(app: App) {
        app.register_confirmed("ann").await;
        let token = app.token("ann").await;
        let request = json!({ "name": "backup", "scope": "read", "days": 30 });
        for _ in 0..10 {
            assert_eq!(app.ask("POST", TOKENS, &token, &request).await.status, 200);
        }
        assert_eq!(app.ask("POST", TOKENS, &token, &request).await.status, 429);
        app.deliver().await;
        let nobody = "018f2f3a-0000-7000-8000-000000000000";
        let calls = [
            ("DELETE", format!("{SESSIONS}{nobody}/"), 404),
            ("DELETE", format!("{TOKENS}{nobody}/"), 404),
            ("DELETE", SESSIONS.to_owned(), 200),
            ("POST", TOKENS.to_owned(), 429),
        ];
        let ask_all = async {
            for (method, path, status) in calls {
                let answer = app.ask(method, &path, &token, &request).await;
                assert_eq!(answer.status.as_u16(), status, "{method} {path}: {}", answer.text);
            }
        };
        match app.backend {
            Backend::Sqlite => {
                let file = format!("sqlite:{}", app.folder().join("vestibule.db").display());
                let mut other = SqliteConnection::connect(&file).await.unwrap();
                let writing = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
                ask_all.await;
                drop(writing);
            }
            Backend::Postgres => {
                let mut other = app.observer().await;
                let mut writing = other.begin().await.unwrap();
                sqlx::query("SELECT id FROM users FOR UPDATE").execute(&mut *writing).await.unwrap();
                ask_all.await;
                writing.rollback().await.unwrap();
            }
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

on_both! {
    async fn the_database_holds_no_hash_of_an_address_or_a_name_that_anybody_could_compute_r110(app: App) {
        app.register_confirmed("ann").await;
        app.register("bob").await;
        let request = json!({ "name": "backup", "scope": "read", "days": 30 });
        assert_eq!(app.ask("POST", TOKENS, &app.token("bob").await, &request).await.status, 200);
        app.deliver().await;
        app.move_to(&app.token("ann").await, "moved@example.org").await;
        app.register("eve").await;
        let eve = app.token("eve").await;
        for email in ["moved@example.org", "free@example.org"] {
            assert_eq!(app.ask("POST", CHANGE_EMAIL, &eve, &json!({ "new_email": email })).await.status, 200);
        }
        for email in ["moved@example.org", "bob@example.org", "nobody@example.org"] {
            assert_eq!(app.forgot(email).await.status, 200);
        }
        for name in ["moved@example.org", "ann", "nobody@example.org", "nobody", "a secret in the wrong field"] {
            assert_eq!(app.log_in(name, "wrong").await.status, 400);
        }
        app.deliver().await;
        let token = app.token("ann").await;
        assert_eq!(app.ask("POST", "/api/accounts/delete/", &token, &json!({ "username": "ann" })).await.status, 204);
        assert_eq!(app.log_in("ann", "wrong").await.status, 400);
        let contents = contents(&app).await;
        let holds = |needle: &[u8]| contents.windows(needle.len()).any(|window| window == needle);
        assert!(holds(b"name:") && holds(b"known:") && holds(b"mailbox:") && holds(b"notices:") && holds(b"moves:"), "there is something to find");
        let names = ["ann", "bob", "eve", "nobody", "a secret in the wrong field"].map(str::to_owned);
        let emails = ["ann", "moved", "bob", "eve", "free", "nobody"].map(|name| format!("{name}@example.org"));
        for name in names.iter().chain(&emails) {
            for text in [name.clone(), name.to_uppercase()] {
                let digest = Sha256::digest(text.as_bytes());
                let hex = digest.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
                assert!(!holds(&digest) && !holds(hex.as_bytes()) && !holds(hex.to_uppercase().as_bytes()), "{text}");
            }
        }
    }
}
