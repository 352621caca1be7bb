//! Accounts: usernames, the export, deletion, and the operator's commands, on both databases.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, SqliteConnection};
use vestibule::{
    domain::role::Role,
    error::AppError,
    service::admin::{Command, Reply},
    store::{ActiveSessions, DatabaseUrl, LimitedAction, RateLimit},
};

use crate::util::{
    App, Backend, PASSWORD,
    actors::Client,
    macros::{both, snapshot},
};

both! {
    a_username_changes_unless_it_is_taken_r1,
    a_username_wanted_by_four_at_once_goes_to_one_r1,
    all_stored_personal_data_is_exported_r110,
    a_deleted_account_leaves_nothing_behind_r110,
    an_identifier_names_its_account_and_never_a_username_r4,
    the_operators_commands_report_what_is_wrong,
    the_operators_list_continues_after_an_account,
}

async fn a_username_changes_unless_it_is_taken_r1(app: App) {
    let ann = app.register("ann").await;
    app.register("bob").await;
    let phone = ann.log_in().await;
    phone.assert_logged_in().await;
    let taken = phone.change_username("BOB").await;
    snapshot!(taken.shape(), @r#"
    400 Bad Request
    cache-control: no-store
    content-type: application/json; charset=utf-8
    vary: Authorization, Origin, Sec-Fetch-Site
    {"status":"fail","code":"invalid","error":"Please correct the marked fields.","errors":{"username":["This name is taken. Choose another."]}}
    "#);
    for invalid in ["x", "ann@example.org", "admin", ""] {
        phone.change_username(invalid).await.assert_status(400);
    }

    let changed = phone.change_username("Annie").await;
    assert_eq!(changed.json(), json!({ "status": "ok", "username": "Annie" }));
    assert_eq!(phone.me().await["username"], "Annie");
    app.user("annie").assert_can_log_in(PASSWORD).await;
    ann.assert_cannot_log_in(PASSWORD).await;
    // Another spelling of the same username.
    phone.change_username("annie").await.assert_status(200);
    // The old username is available.
    let body = json!({ "email": "another@example.org", "username": "ann", "password": PASSWORD });
    app.post("api_register/", &body).with_fresh_address().await.assert_status(200);
}

async fn a_username_wanted_by_four_at_once_goes_to_one_r1(app: App) {
    let mut devices = Vec::new();
    for name in ["ann", "bob", "cyd", "dan"] {
        devices.push(app.register(name).await.log_in().await);
    }
    let requests = devices.iter().map(|device| device.change_username("wanted").send());
    let responses = join_all(requests).await;
    let count = |status: u16| responses.iter().filter(|response| response.status == status).count();
    assert_eq!(count(200), 1, "{responses:?}");
    assert_eq!(count(400), 3, "{responses:?}");
}

/// The tables without data of an account. Limits of addresses and mailboxes contain no personal data. A decoy records that
/// a mailbox was requested, but not which one. Facts about the server and the link that makes the first admin concern no
/// account. An invitation is about somebody who has none.
const OF_NOBODY: [&str; 7] =
    ["address_throttles", "decoy_links", "groups", "invitation_groups", "invitations", "server_facts", "setup_links"];

/// Personal data that is stored but not exported: secrets, and values that follow from exported ones.
const NOT_EXPORTED: [&str; 28] = [
    "users.password_hash",
    "users.email_key",
    "users.username_key",
    // A disabled account can't request an export.
    "users.disabled_at",
    // Neither can one that waits for approval.
    "users.pending_since",
    // It follows from when the account was created.
    "users.kept_until",
    "sessions.token_hash",
    "sessions.user_id",
    "account_throttles.key",
    "mails.id",
    "mails.user_id",
    // Only a mail to somebody without an account has one.
    "mails.invitation_id",
    "links.token_hash",
    "access_tokens.token_hash",
    "access_tokens.user_id",
    "links.user_id",
    // The delay follows from the number of failures.
    "account_throttles.delay",
    // These columns record operations in progress, which end within seconds.
    "account_throttles.reserved",
    "account_throttles.reserved_until",
    "known_networks.key",
    "known_networks.user_id",
    "group_members.user_id",
    "imports.user_id",
    // Hashes of what was imported, and its state in the other system.
    "imports.hash_seen",
    "imports.token_seen",
    "imports.disabled_seen",
    // Another account.
    "mails.about_id",
    // An operator.
    "events.actor_id",
];

/// The value in the export for each other column.
fn place<'a>(export: &'a Value, table: &str, column: &str) -> Option<&'a Value> {
    let (session, mail, link) = (&export["sessions"][0], &export["mails"][0], &export["links"][0]);
    match (table, column) {
        ("users", "last_login_at" | "email_verified_at") => export.get(column),
        ("users", _) => export["account"].get(column),
        ("sessions", "name") => session.get("client_name"),
        ("sessions", "previous_login_at" | "proven_at") => session.get(column),
        ("sessions", _) => session["session"].get(column),
        ("mails", _) => mail.get(column),
        ("access_tokens", _) => export["access_tokens"][0].get(column),
        ("links", _) => link.get(column),
        ("group_members", "group_id") => export["account"].get("groups"),
        ("imports", _) => export.get("imports"),
        ("known_networks", _) => export["known_networks"][0].get("last_login_at"),
        ("events", "subject_kind") => export["events"][0]["subject"].get("kind"),
        ("events", "subject_id") => export["events"][0]["subject"].get("id"),
        ("events", "actor_kind") => export["events"][0]["actor"].get("kind"),
        ("events", _) => export["events"][0].get(column),
        ("account_throttles", "failures") => export["failed_logins"].get("count"),
        ("account_throttles", _) => export["failed_logins"].get(column),
        _ => None,
    }
}

async fn all_stored_personal_data_is_exported_r110(app: App) {
    let ann = app.register("ann").await;
    let role = Command::SetRole { who: ann.email(), role: Some(Role::Auditor), force: false };
    for command in [Command::Confirm { who: ann.email() }, role] {
        app.administer(command).await;
    }
    let laptop = ann.log_in().await;
    app.clock.advance(Duration::from_mins(1));
    let phone = ann.log_in().await;
    // One mail with a link was sent, and another is queued.
    phone.change_email("ann@example.net").await.assert_status(200);
    app.deliver().await;
    phone.change_email("ann@example.com").await.assert_status(200);
    phone.create_access_token("a script", "read").await;
    ann.assert_cannot_log_in("wrong").await;

    // So that the export is the newest event.
    app.clock.advance(Duration::from_millis(1));
    let response = phone.get("export/").await;
    assert_eq!(response.header("content-disposition"), "attachment; filename=\"account.json\"");
    let export = response.json();
    assert_eq!(export["account"]["email"], "ann@example.org");
    assert_eq!(export["account"]["username"], "ann");
    assert_eq!(export["last_login_at"], "2026-11-22T12:01:00Z");
    assert_eq!(export["sessions"][0]["previous_login_at"], "2026-11-22T12:00:00Z");
    assert_eq!(export["failed_logins"], json!({ "count": 1, "last_at": "2026-11-22T12:01:00Z" }));
    for secret in [phone.token.as_str(), laptop.token.as_str(), "argon2"] {
        assert!(!response.text.contains(secret), "{}", response.text);
    }

    let columns = columns(&app).await;
    assert!(columns.len() > 20, "{columns:?}");
    for (table, column) in columns {
        let name = format!("{table}.{column}");
        let of_nobody = OF_NOBODY.contains(&table.as_str());
        let exported = of_nobody || place(&export, &table, &column).is_some();
        assert!(exported || NOT_EXPORTED.contains(&name.as_str()), "{name} is stored, but not exported");
    }
}

/// Every column of every table.
async fn columns(app: &App) -> Vec<(String, String)> {
    match &app.config.database.url {
        DatabaseUrl::Sqlite(file) => {
            let mut connection = SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.unwrap();
            let sql = "SELECT m.name, c.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c \
                       WHERE m.type = 'table' AND m.name NOT LIKE '\\_sqlx%' ESCAPE '\\'";
            sqlx::query_as(sql).fetch_all(&mut connection).await.unwrap()
        }
        DatabaseUrl::Postgres(url) => {
            let mut connection = PgConnection::connect(url).await.unwrap();
            let sql = "SELECT table_name::text, column_name::text FROM information_schema.columns \
                       WHERE table_schema = 'public' AND table_name NOT LIKE '\\_sqlx%'";
            sqlx::query_as(sql).fetch_all(&mut connection).await.unwrap()
        }
    }
}

/// Takes one notification of each kind from limits of one an hour. Returns the number of allowed ones.
async fn take_notifications(app: &App, user: &str) -> usize {
    let limit = RateLimit { burst: 1, interval: Duration::from_hours(1) };
    let mut allowed = 0;
    for action in [LimitedAction::Tokens, LimitedAction::Passwords, LimitedAction::Moves] {
        allowed += usize::from(app.store.take(&action.key(user), limit, app.now()).await.unwrap().is_ok());
    }
    allowed
}

async fn a_deleted_account_leaves_nothing_behind_r110(app: App) {
    let (ann, bob) = (app.register("ann").await, app.register("bob").await);
    let (mut phone, laptop, bobs_phone) = (ann.log_in().await, ann.log_in().await, bob.log_in().await);
    phone.assert_logged_in().await;
    laptop.assert_logged_in().await;
    phone.delete_account("").await.assert_field_error("username", "Please fill in this field.");
    phone
        .delete_account("bob")
        .await
        .assert_field_error("username", "This is not the username. Type it exactly as shown.");
    app.clock.advance(Duration::from_mins(10));
    phone.delete_account("ann").await.assert_status(403);
    phone.confirm_password().await;
    ann.assert_cannot_log_in("wrong").await;
    let user = phone.me().await["id"].as_str().unwrap().to_owned();
    let strangers = app.service.unknown_network_key("ann@example.org");
    assert!(app.store.attempts_of(&user, &strangers).await.unwrap().1.is_some());
    assert_eq!(take_notifications(&app, &user).await, 3);
    assert_eq!(take_notifications(&app, &user).await, 0);

    let deleted = phone.delete_account("Ann").await;
    assert_eq!(deleted.assert_status(204).header("clear-site-data"), "\"storage\"");

    phone.assert_logged_out().await;
    laptop.assert_logged_out().await;
    bobs_phone.assert_logged_in().await;
    assert_eq!(app.store.attempts_of(&user, &strangers).await.unwrap(), (None, None));
    assert_eq!(take_notifications(&app, &user).await, 3);
    assert!(app.store.list_sessions(&user, ActiveSessions::ALL).await.unwrap().is_empty());
    ann.assert_cannot_log_in(PASSWORD).await;
    // A new account can use the email again.
    let ann = app.register("ann").await;
    assert_eq!(ann.log_in().await.sessions().await.len(), 1);
}

/// Only a name that is in use is reported as such. Any other rejection by the database is an internal error.
#[tokio::test]
async fn a_rename_that_the_database_rejects_is_an_internal_error() {
    let app = App::start(Backend::Sqlite).await;
    let phone = app.register("ann").await.log_in().await;
    app.refuse("UPDATE OF username ON users").await;
    phone.change_username("annie").await.assert_status(500).assert_code("internal");
}

/// The operator disables an account.
async fn disable(app: &App, who: &str) -> Reply {
    app.administer(Command::Disable { who: who.to_owned(), force: false }).await
}

async fn an_identifier_names_its_account_and_never_a_username_r4(app: App) {
    app.register("ann").await;
    let id = app.store.list_users("", 1).await.unwrap().remove(0).user.id;
    let bare = id.replace('-', "");
    let body = json!({ "email": "eve@example.org", "username": bare, "password": PASSWORD });
    let refused = app.post("api_register/", &body).await;
    refused.assert_status(400).assert_contains("reserved");

    // An account may have such a username from an earlier version or from the operator.
    let (email, password) = ("eve@example.org".to_owned(), PASSWORD.to_owned());
    app.administer(Command::Add { email, username: bare.clone(), password, role: None }).await;
    for who in [&id, &bare, &bare.to_uppercase()] {
        let done = disable(&app, who).await;
        assert_eq!(done, Reply::Done { username: "ann".to_owned(), sessions: 0 }, "{who}");
    }
    // After the account is deleted, the identifier doesn't match that username either.
    app.administer(Command::Delete { who: id.clone(), force: false }).await;
    for who in [&id, &bare] {
        assert_eq!(disable(&app, who).await, Reply::NoSuchUser);
    }
}

async fn the_operators_commands_report_what_is_wrong(app: App) {
    app.register("ann").await;
    let unknown = app.administer(Command::RevokeSessions { who: "unknown".to_owned() }).await;
    assert_eq!(unknown, Reply::NoSuchUser);
    let (who, password) = ("ann".to_owned(), "password".to_owned());
    let weak = app.administer(Command::SetPassword { who, password }).await;
    assert!(matches!(weak, Reply::Refused { error: AppError::Invalid(_) }), "{weak:?}");
}

async fn the_operators_list_continues_after_an_account(app: App) {
    app.register("ann").await;
    let all = app.administer(Command::List { after: String::new() }).await;
    let Reply::Users { users } = all else { panic!("no list: {all:?}") };
    assert_eq!(users.len(), 1);
    let rest = app.administer(Command::List { after: users[0].account.id.clone() }).await;
    assert_eq!(rest, Reply::Users { users: vec![] });
}
