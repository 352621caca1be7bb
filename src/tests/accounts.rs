//! Registration, login and logout through the JSON API, on both databases.

use std::{collections::HashSet, time::Duration};

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, SqliteConnection};
use vestibule::store::{ActiveSessions, DatabaseUrl, LimitedAction, RateLimit};

use crate::{
    on_both,
    util::{
        App, Backend, PASSWORD,
        actors::Client,
        hash_like_the_program,
        macros::{both, snapshot},
        some_address,
    },
};

both! {
    a_username_changes_unless_it_is_taken_r1,
    a_username_wanted_by_four_at_once_goes_to_one_r1,
    all_stored_personal_data_is_exported_r110,
    a_deleted_account_leaves_nothing_behind_r110,
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
    app.post("api_register/", &body).from_anywhere().await.assert_status(200);
}

async fn a_username_wanted_by_four_at_once_goes_to_one_r1(app: App) {
    let mut devices = Vec::new();
    for name in ["ann", "bob", "cyd", "dan"] {
        devices.push(app.register(name).await.log_in().await);
    }
    let requests = devices.iter().map(|device| device.change_username("wanted").send());
    let responses = futures_util::future::join_all(requests).await;
    let count = |status: u16| responses.iter().filter(|response| response.status == status).count();
    assert_eq!(count(200), 1, "{responses:?}");
    assert_eq!(count(400), 3, "{responses:?}");
}

/// Personal data that is stored but not exported: secrets, and values that follow from exported ones.
const NOT_EXPORTED: [&str; 18] = [
    "users.password_hash",
    "users.email_key",
    "users.username_key",
    // A disabled account can't request an export.
    "users.disabled_at",
    "sessions.token_hash",
    "sessions.user_id",
    "account_throttles.key",
    "mails.id",
    "mails.user_id",
    "links.token_hash",
    "access_tokens.token_hash",
    "access_tokens.user_id",
    "links.user_id",
    // The value follows from the count.
    "account_throttles.delay",
    // Operations that run at this moment, and end within seconds.
    "account_throttles.reserved",
    "account_throttles.reserved_until",
    "known_networks.key",
    "known_networks.user_id",
];

/// The place of each other column in the export.
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
        ("known_networks", _) => export["known_networks"][0].get("last_login_at"),
        ("account_throttles", "failures") => export["failed_logins"].get("count"),
        ("account_throttles", _) => export["failed_logins"].get(column),
        _ => None,
    }
}

async fn all_stored_personal_data_is_exported_r110(app: App) {
    let ann = app.register("ann").await;
    let laptop = ann.log_in().await;
    app.clock.advance(Duration::from_mins(1));
    let phone = ann.log_in().await;
    // One mail with a link was sent, and another is queued.
    app.deliver().await;
    phone.post("resend_verification/", &json!({})).await.assert_status(200);
    phone.create_access_token("a script", "read").await;
    ann.assert_cannot_log_in("wrong").await;

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
        // The limits of an address or a mailbox contain no personal data. The limits of an account are deleted with
        // it. A decoy records only that a mailbox was asked about, and not which one. Facts of the server concern
        // no account.
        let of_nobody = ["address_throttles", "decoy_links", "server_facts"].contains(&table.as_str());
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

/// Takes one notification of each kind, of an account that may have one an hour. Returns how many it was allowed.
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
    phone.delete_account("").await.assert_status(400);
    phone.delete_account("bob").await.assert_status(400);
    app.clock.advance(Duration::from_mins(10));
    phone.delete_account("ann").await.assert_status(403);
    phone.confirm_password().await;
    ann.assert_cannot_log_in("wrong").await;
    let user = phone.me().await["id"].as_str().unwrap().to_owned();
    let strangers = app.service.strangers_key("ann@example.org");
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
    // The email is available again, for a new account.
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

on_both! {
    async fn a_person_registers_logs_in_and_logs_out_r37(app: App) {
        app.register("ann").await;
        let (one, two) = (app.token("ann@example.org").await, app.token("ANN").await);
        assert_ne!(one, two, "every login has its own token");
        let me = app.get("/api/accounts/me").bearer(&one).send().await.json();
        assert_eq!((&me["email"], &me["username"]), (&json!("ann@example.org"), &json!("ann")));
        let out = app.post("/api/accounts/logout/", &json!({})).bearer(&one).send().await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(out.shape(), @r#"
            204 No Content
            clear-site-data: "storage"
            cache-control: no-store
            vary: Authorization, Origin, Sec-Fetch-Site
            "#);
        }
        assert_eq!(app.me(&one).await, 401);
        assert_eq!(app.me(&two).await, 200, "the other session stays active");
    }
}

on_both! {
    async fn the_operator_hears_what_is_wrong(app: App) {
        use vestibule::{error::AppError, service::admin::{Command, Reply}};
        app.register("ann").await;
        let ghost = app.service.administer(Command::RevokeSessions { who: "ghost".to_owned() }).await;
        assert_eq!(ghost, Reply::NoSuchUser);
        let (who, password) = ("ann".to_owned(), "password".to_owned());
        let weak = app.service.administer(Command::SetPassword { who, password }).await;
        assert!(matches!(weak, Reply::Refused { error: AppError::Invalid(_) }), "{weak:?}");
        let Reply::Users { users } = app.service.administer(Command::List { after: String::new() }).await else {
            panic!("no list");
        };
        assert_eq!(users.len(), 1);
        let after = users[0].account.id.clone();
        let rest = app.service.administer(Command::List { after }).await;
        assert_eq!(rest, Reply::Users { users: vec![] });
    }
}

on_both! {
    async fn an_identifier_names_its_account_and_never_a_username_r4(app: App) {
        use vestibule::service::admin::{Command, Reply};
        app.register("ann").await;
        let id = app.store.list_users("", 1).await.unwrap().remove(0).user.id;
        let bare = id.replace('-', "");
        let body = json!({ "email": "eve@example.org", "username": bare, "password": PASSWORD });
        let refused = app.post("/api/accounts/api_register/", &body).send().await;
        assert!(refused.status == 400 && refused.text.contains("reserved"), "{}", refused.text);
        // An account may have such a username from an earlier version or from the operator.
        let (email, password) = ("eve@example.org".to_owned(), PASSWORD.to_owned());
        app.service.administer(Command::Add { email, username: bare.clone(), password }).await;
        for who in [id.clone(), bare.clone(), bare.to_uppercase()] {
            let done = app.service.administer(Command::Disable { who: who.clone() }).await;
            assert_eq!(done, Reply::Done { username: "ann".to_owned(), sessions: 0 }, "{who}");
        }
        app.service.administer(Command::Delete { who: id.clone() }).await;
        for who in [id, bare] {
            assert_eq!(app.service.administer(Command::Disable { who }).await, Reply::NoSuchUser, "nor is it later");
        }
    }
}

on_both! {
    async fn one_hundred_registrations_of_one_email_make_one_account_r1(app: App) {
        let mut config = app.config.clone();
        (config.password.hashing_queue, config.password.hashing_timeout) = (100, Duration::from_mins(5));
        let app = app.restart_with(config).await;
        let mut siblings = vec![];
        if app.backend == Backend::Postgres {
            siblings.push(app.sibling().await);
            siblings.push(app.sibling().await);
        }
        let all: Vec<&App> = siblings.iter().chain([&app]).collect();
        let spellings = ["ann@bücher.example", "ANN@bu\u{308}cher.example", "Ann@xn--bcher-kva.EXAMPLE", " ann@BÜCHER.example"];
        let calls = (0..100).map(|n| {
            let body = json!({ "email": spellings[n % 4], "username": format!("ann{n}"), "password": PASSWORD });
            all[n % all.len()].post("/api/accounts/api_register/", &body).from(&some_address()).send()
        });
        let answers = futures_util::future::join_all(calls).await;
        let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
        assert_eq!(count(200), 1, "exactly one succeeds");
        assert_eq!(count(409), 99, "and no request ends in an error");
        assert_eq!(app.store.list_users("", 100).await.unwrap().len(), 1);
    }
}

on_both! {
    async fn two_accounts_with_one_password_have_hashes_of_their_own_r21(app: App) {
        use vestibule::domain::identifier::Identifier;
        let mut hashes = Vec::new();
        for name in ["ann", "bob"] {
            app.register(name).await;
            let known = app.store.find_credential(&Identifier::parse(name)).await.unwrap().unwrap();
            hashes.push(known.password_hash);
        }
        assert_ne!(hashes[0].split('$').nth(4), hashes[1].split('$').nth(4), "the salts");
        assert_ne!(hashes[0].split('$').nth(5), hashes[1].split('$').nth(5), "the tags");
    }
}

on_both! {
    async fn a_taken_name_is_told_without_saying_which_r1(app: App) {
        app.register("ann").await;
        for (email, username) in [("ANN@example.org", "bob"), ("bob@example.org", "Ann")] {
            let body = json!({ "email": email, "username": username, "password": PASSWORD });
            let answer = app.post("/api/accounts/api_register/", &body).from(&some_address()).send().await;
            insta::allow_duplicates! {
                insta::assert_snapshot!(answer.shape(), @r#"
                409 Conflict
                cache-control: no-store
                content-type: application/json; charset=utf-8
                vary: Authorization, Origin, Sec-Fetch-Site
                {"status":"fail","errors":{"account":["An account with this email or username already exists. Log in, or choose another email and username."]}}
                "#);
            }
        }
    }
}

on_both! {
    async fn every_failing_login_answers_alike_and_costs_one_hash_r13_r14(app: App) {
        let app = app.restart_changed(hash_like_the_program).await;
        use vestibule::service::admin::Command;
        app.register("ann").await;
        app.register("closed").await;
        app.service.administer(Command::Disable { who: "closed".to_owned() }).await;
        let long = "x".repeat(2000);
        let ways = [
            ("ann", "wrong"), ("ann@example.org", "wrong"), ("ghost", PASSWORD), ("ghost@example.org", PASSWORD),
            ("closed", PASSWORD), ("closed", "wrong"), ("ann", long.as_str()), ("no name at all!", PASSWORD),
            ("a\0b", PASSWORD), ("ann", "tidal marmot kettle\0"),
        ];
        for (who, password) in ways {
            let before = app.service.hashes_run();
            let answer = app.log_in(who, password).await;
            assert_eq!(app.service.hashes_run() - before, 1, "{who}: the same amount of work");
            insta::allow_duplicates! {
                insta::assert_snapshot!(answer.shape(), @r#"
                400 Bad Request
                cache-control: no-store
                content-type: application/json; charset=utf-8
                vary: Authorization, Origin, Sec-Fetch-Site
                {"status":"fail","token":"","error":"Wrong email or password."}
                "#);
            }
        }
    }
}

on_both! {
    async fn both_spellings_of_a_password_log_in_r26(app: App) {
        let body = json!({ "email": "ann@example.org", "username": "ann", "password": "caf\u{e9} marmot kettle" });
        assert_eq!(app.post("/api/accounts/api_register/", &body).send().await.status, 200);
        assert_eq!(app.log_in("ann", "cafe\u{301} marmot kettle").await.status, 200);
    }
}

on_both! {
    async fn extra_fields_are_never_applied_r5_r51(app: App) {
        let body = json!({
            "email": "ann@example.org", "username": "ann", "password": PASSWORD, "id": "1", "is_admin": true,
            "is_active": false, "roles": ["admin"], "created_at": "1999-01-01T00:00:00Z", "disabled_at": 1,
            "email_verified": true, "password_hash": "x", "token": "vst_x",
        });
        assert_eq!(app.post("/api/accounts/api_register/", &body).send().await.status, 200);
        let token = app.token("ann").await;
        let me = app.get("/api/accounts/me/").bearer(&token).send().await.json();
        let keys: HashSet<&str> = me.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, HashSet::from(["id", "email", "email_verified", "username", "created_at", "expires_at"]), "R51: nothing else");
        assert_eq!(me["email_verified"], false);
        assert_eq!(me["created_at"], "2026-11-22T12:00:00Z");
        assert_eq!(me["expires_at"], "2026-11-23T12:00:00Z");
        assert_ne!(me["id"], "1");
    }
}

on_both! {
    async fn nobody_can_log_in_to_a_fresh_server_r9(app: App) {
        for (who, password) in [("admin", "admin"), ("root", "root"), ("admin@example.org", "password"), ("admin", "")] {
            assert_eq!(app.log_in(who, password).await.status, 400);
        }
        assert!(app.store.list_users("", 1).await.unwrap().is_empty());
    }
}

on_both! {
    async fn a_token_sent_by_the_client_is_never_taken_over_r17(app: App) {
        app.register("ann").await;
        let body = json!({ "email": "ann", "password": PASSWORD, "token": "vst_chosen", "session": "chosen" });
        let answer = app.post("/api/accounts/api_auth/?token=vst_chosen", &body).header("cookie", "session=chosen")
            .bearer("vst_chosen").send().await;
        assert_eq!(answer.status, 200);
        assert_ne!(answer.json()["token"], "vst_chosen");
        assert_eq!(app.me("vst_chosen").await, 401);
    }
}

on_both! {
    async fn a_login_is_one_request_and_cannot_be_entered_in_the_middle_r18(app: App) {
        app.register("ann").await;
        for half in [json!({ "email": "ann" }), json!({ "password": PASSWORD }), json!({ "email": "ann" })] {
            for path in ["/api/accounts/api_auth/", "/fn/login"] {
                let answer = app.post(path, &half).send().await;
                assert_eq!(answer.status, 400, "{path} {half}");
                assert!(!answer.text.contains("vst_"), "{path} {half}");
            }
        }
        app.clock.advance(Duration::from_hours(99));
        let mut app = app;
        let over = app.maintenance.as_mut().unwrap().sweep_all().await.unwrap();
        assert_eq!(over, 2, "nothing of them is stored: these belong to the registration's address");
    }
}

on_both! {
    async fn the_database_holds_no_password_and_no_token_r21_r31(app: App) {
        let app = app.restart_changed(hash_like_the_program).await;
        app.register("ann").await;
        let token = app.token("ann").await;
        let known = app.store.find_credential(&vestibule::domain::identifier::Identifier::parse("ann")).await;
        let hash = known.unwrap().unwrap().password_hash;
        let parts: Vec<&str> = hash.split('$').collect();
        assert_eq!(parts[1..4], ["argon2id", "v=19", "m=19456,t=2,p=1"]);
        assert_eq!((parts[4].len(), parts[5].len()), (22, 43), "a salt of 16 bytes and a tag of 32, in base64");
        if app.backend == Backend::Sqlite {
            for file in std::fs::read_dir(app.folder()).unwrap() {
                let bytes = std::fs::read(file.unwrap().path()).unwrap();
                for secret in [token.as_bytes(), PASSWORD.as_bytes()] {
                    assert!(!bytes.windows(secret.len()).any(|window| window == secret));
                }
            }
        }
    }
}

on_both! {
    async fn logins_side_by_side_on_a_hash_of_older_parameters_all_succeed(app: App) {
        let app = app.restart_changed(hash_like_the_program).await;
        app.register("ann").await;
        let mut config = app.config.clone();
        config.password.argon2_iterations = 3;
        let app = app.restart_with(config).await;
        let logins = futures_util::future::join_all((0..4).map(|_| app.log_in("ann", PASSWORD))).await;
        assert!(logins.iter().all(|login| login.status == 200), "{logins:?}");
        assert_eq!(app.log_in("ann", "wrong").await.status, 400);
    }
}

on_both! {
    async fn a_hash_of_older_parameters_is_renewed_by_a_login_and_never_over_a_new_password(app: App) {
        let app = app.restart_changed(hash_like_the_program).await;
        use vestibule::domain::identifier::Identifier;
        app.register("ann").await;
        let mut config = app.config.clone();
        config.password.argon2_iterations = 3;
        let ann = Identifier::parse("ann");
        let App { store, .. } = &app;
        let old = store.find_credential(&ann).await.unwrap().unwrap();
        let stronger = app.restart_with(config).await;
        assert_eq!(stronger.log_in("ann", "wrong").await.status, 400);
        assert_eq!(stronger.log_in("ann", PASSWORD).await.status, 200);
        let new = stronger.store.find_credential(&ann).await.unwrap().unwrap();
        assert!(new.password_hash.contains("m=19456,t=3,p=1"), "{}", new.password_hash);
        assert_eq!(stronger.log_in("ann", PASSWORD).await.status, 200);
        let lost = stronger.store.renew_hash(&new.user.id, &old.password_hash, "stale").await.unwrap();
        assert!(!lost, "compare and swap: a hash that was replaced in the meantime is not overwritten");
    }
}

on_both! {
    async fn a_password_is_judged_while_it_is_typed_and_that_takes_nothing_of_a_registration_r7_r8(app: App) {
        app.register("ann").await;
        let body = |password: &str, username: &str| json!({ "password": password, "email": "", "username": username });
        let judge = async |password: &str, username: &str| {
            app.post("/fn/judge_password", &body(password, username)).from("192.0.2.7").send().await
        };
        let said = async |password: &str, username: &str| judge(password, username).await.json();
        assert_eq!(said("password", "").await["advice"][0], "common");
        assert_eq!(said("orchard walrus lantern quilt", "").await, json!({ "score": 4, "advice": [] }));
        assert!(said("annbeetle annbeetle", "annbeetle").await["advice"].as_array().unwrap().contains(&json!("yours")));
        let token = app.token("ann").await;
        let own = app.ask("POST", "/fn/judge_password", &token, &body("ann@example.org", "")).await.json();
        assert!(own["advice"].as_array().unwrap().contains(&json!("yours")), "{own}");
        let mut asked = 0;
        while judge("password", "").await.status == 200 {
            asked += 1;
            assert!(asked < 40, "frequent requests are rate-limited");
        }
        let new = json!({ "email": "bee@example.org", "username": "bee", "password": PASSWORD });
        assert_eq!(app.post("/fn/register", &new).from("192.0.2.7").send().await.status, 200);
    }
}

on_both! {
    async fn a_password_that_keeps_the_estimator_busy_takes_more_of_the_allowance_r24_r102(app: App) {
        let judged = async |function: &str, password: &str| {
            // The email is invalid, so that no account is registered.
            let body = json!({ "email": "nope", "username": "ann", "password": password });
            let address = some_address();
            let mut judged = 0;
            while app.post(&format!("/fn/{function}"), &body).from(&address).send().await.status != 429 {
                judged += 1;
                assert!(judged < 100, "{function} has no rate limit");
            }
            judged
        };
        for function in ["judge_password", "register"] {
            assert_eq!(judged(function, "password").await, 30, "{function}: 150 ms");
            let busy = judged(function, &["4@({[<69$5+7", &"a".repeat(30)].concat()).await;
            assert!((15..20).contains(&busy), "{function}: {busy}");
        }
    }
}

on_both! {
    async fn an_address_that_has_to_wait_is_refused_before_its_password_is_looked_at_r24_r102(app: App) {
        let ask = async |function: &str, address: &str, password: &str| {
            let body = json!({ "email": "nope", "username": "ann", "password": password });
            app.post(&format!("/fn/{function}"), &body).from(address).send().await.status.as_u16()
        };
        for (function, wrong) in [("register", "short"), ("judge_password", "")] {
            let address = some_address();
            assert_eq!(ask(function, &address, wrong).await, 400, "{function} checks it");
            let mut asked = 0;
            while ask(function, &address, "password").await != 429 {
                asked += 1;
                assert!(asked < 100, "{function} has no rate limit");
            }
            assert_eq!(ask(function, &address, wrong).await, 429, "{function} doesn't check it");
        }
    }
}

on_both! {
    async fn no_login_waits_for_passwords_that_are_judged_r24_r102(app: App) {
        app.register("ann").await;
        let (release, released) = std::sync::mpsc::channel::<()>();
        let judging = app.judge.enqueue().unwrap().run(move || released.recv().is_err());
        let waiting: Vec<_> = std::iter::from_fn(|| app.judge.enqueue().ok()).collect();
        let meanwhile = async {
            let body = json!({ "email": "bob@example.org", "username": "bob", "password": PASSWORD });
            let registering = app.post("/api/accounts/api_register/", &body).from(&some_address()).send().await;
            let token = app.token("ann").await;
            let confirmed = app.ask("POST", "/api/accounts/confirm_password/", &token, &json!({ "password": PASSWORD })).await;
            drop(release);
            (registering.status.as_u16(), confirmed.status.as_u16())
        };
        let (judged, statuses) = tokio::join!(judging, meanwhile);
        assert_eq!((judged.unwrap(), statuses), (true, (503, 200)));
        drop(waiting);
        app.register("bob").await;
    }
}

on_both! {
    async fn a_full_queue_for_judging_is_not_free_to_whoever_fills_it_r24_r89(app: App) {
        let (release, released) = std::sync::mpsc::channel::<()>();
        let judging = app.judge.enqueue().unwrap().run(move || released.recv().is_err());
        let waiting: Vec<_> = std::iter::from_fn(|| app.judge.enqueue().ok()).collect();
        let meanwhile = async {
            let body = json!({ "email": "bob@example.org", "username": "bob", "password": PASSWORD });
            for path in ["/api/accounts/api_register/", "/fn/judge_password"] {
                let address = some_address();
                let mut statuses = Vec::new();
                for _ in 0..31 {
                    statuses.push(app.post(path, &body).from(&address).send().await.status.as_u16());
                }
                assert_eq!((statuses[0], statuses[30]), (503, 429), "{path}: {statuses:?}");
            }
            drop(release);
        };
        tokio::join!(judging, meanwhile).0.unwrap();
        drop(waiting);
    }
}

on_both! {
    async fn a_password_of_two_characters_is_no_fault_of_ours_at_any_door_r16_r84(app: App) {
        app.register("ann").await;
        let token = app.token("ann").await;
        let periodic = "12".repeat(20);
        let account = json!({ "email": "bob@example.org", "username": "bob", "password": periodic });
        let change = json!({ "current_password": PASSWORD, "new_password": periodic });
        let answers = [
            app.ask("POST", "/api/accounts/api_register/", &token, &account).await,
            app.ask("POST", "/fn/register", &token, &account).await,
            app.ask("POST", "/api/accounts/change_password/", &token, &change).await,
            app.ask("POST", "/fn/change_password", &token, &change).await,
        ];
        for answer in answers {
            assert_eq!(answer.status, 400, "{}", answer.text);
        }
    }
}

on_both! {
    async fn all_fields_are_judged_at_once_at_both_doors(app: App) {
        app.register("ann").await;
        let token = app.token("ann").await;
        let register = json!({ "email": "nope", "username": "x", "password": "password" });
        let own = json!({ "email": "maya.lindqvist@nowhere", "username": "maya", "password": "Maya Lindqvist@nowhere" });
        let missing = json!({ "current_password": "", "new_password": "password" });
        let wrong = json!({ "current_password": "wrong", "new_password": "password" });
        let table = [
            ("register", "api_register/", &register, &["email", "username", "password"][..]),
            ("register", "api_register/", &own, &["email", "password"]),
            ("change_password", "change_password/", &missing, &["current_password", "new_password"]),
            ("change_password", "change_password/", &wrong, &["current_password", "new_password"]),
        ];
        for (function, call, body, fields) in table {
            let api = app.ask("POST", &format!("/api/accounts/{call}"), &token, body).await;
            let invalid = api.json()["errors"].as_object().unwrap_or_else(|| panic!("{}", api.text)).clone();
            let invalid: Vec<&str> = invalid.keys().map(String::as_str).collect();
            assert_eq!((api.status.as_u16(), invalid), (400, sorted(fields)), "{body}");
            let page = app.ask("POST", &format!("/fn/{function}"), &token, body).await;
            let invalid = page.json()["invalid"].as_array().unwrap_or_else(|| panic!("{}", page.text)).clone();
            let invalid: Vec<_> = invalid.iter().map(|problem| problem["field"].as_str().unwrap()).collect();
            assert_eq!((page.status.as_u16(), invalid.as_slice()), (400, fields), "{body}");
        }
        let change = json!({ "current_password": "wrong", "new_password": "walrus orchard lantern" });
        let refused = app.ask("POST", "/api/accounts/change_password/", &token, &change).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (403, &json!("wrong_password")));
    }
}

fn sorted<'a>(fields: &'a [&'a str]) -> Vec<&'a str> {
    let mut fields = fields.to_vec();
    fields.sort_unstable();
    fields
}

on_both! {
    async fn registering_on_the_page_logs_in(app: App) {
        let body = json!({ "email": "ann@example.org", "username": "ann", "password": PASSWORD });
        let page = app.post("/fn/register", &body).from(&some_address()).send().await;
        let token = page.json()["sign_in"]["token"].as_str().unwrap_or_else(|| panic!("{}", page.text)).to_owned();
        assert_eq!(app.me(&token).await, 200);
        assert_eq!(app.ask("DELETE", "/api/accounts/sessions/", &token, &json!({})).await.status, 200, "registering proves the password");
        let body = json!({ "email": "bob@example.org", "username": "bob", "password": PASSWORD });
        let api = app.post("/api/accounts/api_register/", &body).from(&some_address()).send().await;
        assert_eq!(api.json(), json!({ "status": "ok", "response": "The account is created!" }), "the API's response stays the same");
    }
}
