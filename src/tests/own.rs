//! Operations of users on their accounts, on both databases, through the API and the page.

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, SqliteConnection};
use vestibule::{
    domain::{
        token::{Token, TokenKind},
        username::Username,
    },
    error::AppError,
    service::Caller,
    store::{ActiveSessions, Authority, DatabaseUrl, Inherit, LimitedAction, RateLimit},
};

use crate::{
    on_both,
    util::{Answer, App, Backend, PASSWORD, some_address},
};

const CONFIRM: &str = "/api/accounts/confirm_password/";
const CHANGE: &str = "/api/accounts/change_password/";
const SESSIONS: &str = "/api/accounts/sessions/";
const NEW: &str = "walrus orchard lantern";

impl App {
    async fn change(&self, token: &str, current: &str, new: &str) -> Answer {
        self.ask("POST", CHANGE, token, &json!({ "current_password": current, "new_password": new })).await
    }

    async fn confirm(&self, token: &str, password: &str) -> Answer {
        self.ask("POST", CONFIRM, token, &json!({ "password": password })).await
    }

    /// Confirms the password, and returns the session's new token.
    pub async fn proof(&self, token: &str) -> String {
        let answer = self.confirm(token, PASSWORD).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["token"].as_str().unwrap().to_owned()
    }

    async fn sessions_of(&self, token: &str) -> Vec<Value> {
        let answer = self.get(SESSIONS).bearer(token).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["sessions"].as_array().unwrap().clone()
    }

    async fn end(&self, token: &str, id: &Value) -> u16 {
        let path = format!("{SESSIONS}{}/", id.as_str().unwrap());
        self.ask("DELETE", &path, token, &json!({})).await.status.as_u16()
    }
}

on_both! {
    async fn changing_ones_password_ends_every_other_session_and_token_r17_r28(app: App) {
        app.register("ann").await;
        app.register("bob").await;
        let (here, there, bob) = (app.token("ann").await, app.token("ann").await, app.token("bob").await);
        assert_eq!((app.me(&here).await.as_u16(), app.me(&there).await.as_u16()), (200, 200));
        let changed = app.change(&here, PASSWORD, NEW).await;
        let renewed = changed.json()["token"].as_str().unwrap().to_owned();
        insta::allow_duplicates! {
            insta::assert_snapshot!(changed.shape().replace(&renewed, "…"), @r#"
            200 OK
            cache-control: no-store
            content-type: application/json; charset=utf-8
            vary: Authorization, Origin, Sec-Fetch-Site
            {"status":"ok","token":"…","sessions_ended":1}
            "#);
        }
        let statuses = [app.me(&renewed).await, app.me(&here).await, app.me(&there).await, app.me(&bob).await];
        assert_eq!(statuses.map(|status| status.as_u16()), [200, 401, 401, 200], "R17: a copied token is useless");
        assert_eq!(app.log_in("ann", PASSWORD).await.status, 400);
        assert_eq!(app.log_in("ann", NEW).await.status, 200);
    }
}

on_both! {
    async fn a_password_is_changed_by_nobody_without_it_r27(app: App) {
        app.register("ann").await;
        let (token, other) = (app.token("ann").await, app.token("ann").await);
        let refused = app.change(&token, "wrong", NEW).await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(refused.shape(), @r#"
            403 Forbidden
            cache-control: no-store
            content-type: application/json; charset=utf-8
            vary: Authorization, Origin, Sec-Fetch-Site
            {"status":"fail","code":"wrong_password","error":"That is not your password. Check it and try again."}
            "#);
        }
        let invalid = app.change(&token, "", "short").await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(invalid.text, @r#"{"status":"fail","code":"invalid","error":"Please correct the marked fields.","errors":{"current_password":["Please fill in this field."],"new_password":["Use at least 8 characters."]}}"#);
        }
        let weak = app.change(&token, PASSWORD, "ann@example.org").await;
        assert_eq!(weak.status, 400);
        assert!(weak.text.contains("new_password") && weak.text.contains("your email"), "{}", weak.text);
        for body in [json!({}), json!({ "new_password": NEW }), json!({ "current_password": null, "new_password": NEW })] {
            assert_eq!(app.ask("POST", CHANGE, &token, &body).await.status, 400, "{body}");
        }
        assert_eq!(app.log_in("ann", PASSWORD).await.status, 200, "nothing has changed");
        assert_eq!((app.me(&token).await.as_u16(), app.me(&other).await.as_u16()), (200, 200));
    }
}

on_both! {
    async fn a_stolen_token_is_no_way_to_guess_the_password_r87(app: App) {
        app.register("ann").await;
        let token = app.token("ann").await;
        let mut statuses = Vec::new();
        for n in 0..7 {
            let answer = if n % 2 == 0 { app.confirm(&token, "wrong").await } else { app.change(&token, "wrong", NEW).await };
            statuses.push(answer.status.as_u16());
        }
        assert_eq!(statuses, [403, 403, 403, 403, 403, 429, 429]);
        assert_eq!(app.confirm(&token, PASSWORD).await.status, 429, "even with the right one");
        app.clock.advance(Duration::from_secs(1));
        let token = app.proof(&token).await;
        assert_eq!(app.confirm(&token, "wrong").await.status, 403, "and its owner's count is reset");
    }
}

on_both! {
    async fn ones_sessions_are_told_in_words_r44(app: App) {
        app.register("ann").await;
        app.register("bob").await;
        app.token("bob").await;
        let body = json!({ "email": "ann", "password": PASSWORD });
        let firefox = "Mozilla/5.0 (Windows NT 10.0; rv:145.0) Gecko/20100101 Firefox/145.0";
        let log_in = app.post("/api/accounts/api_auth/", &body).header("user-agent", firefox).from("192.0.2.77");
        let first = log_in.send().await.json()["token"].as_str().unwrap().to_owned();
        app.clock.advance(Duration::from_hours(1));
        let second = app.token("ann").await;
        let list = app.sessions_of(&second).await;
        assert_eq!(list.len(), 2);
        assert_eq!((&list[0]["current"], &list[1]["current"]), (&json!(true), &json!(false)));
        let mut older = list[1].clone();
        let id = older.as_object_mut().unwrap().remove("id").unwrap();
        assert_eq!(id.as_str().unwrap().len(), 36);
        insta::allow_duplicates! {
            insta::assert_snapshot!(older.to_string(), @r#"{"client":"Firefox on Windows","created_at":"2026-11-22T12:00:00Z","current":false,"expires_at":"2026-11-23T12:00:00Z","last_seen_at":"2026-11-22T12:00:00Z","network":"192.0.2.x"}"#);
        }
        let text = app.get(SESSIONS).bearer(&second).send().await.text;
        assert!(!text.contains(&first) && !text.contains(&second) && !text.contains("192.0.2.77"), "{text}");
        app.clock.advance(Duration::from_hours(3));
        let current: Vec<Value> = app.sessions_of(&second).await.iter().map(|line| line["current"].clone()).collect();
        assert_eq!(current, [true], "a session that was not used for four hours has ended");
    }
}

on_both! {
    async fn the_login_before_is_told_to_its_owner(app: App) {
        app.register("ann").await;
        let me = async |token: &str| app.get("/api/accounts/me/").bearer(token).send().await.json();
        let first = app.token("ann").await;
        assert_eq!(me(&first).await.get("previous_login_at"), None, "there was none");
        app.clock.advance(Duration::from_mins(90));
        assert_eq!(app.log_in("ann", "wrong").await.status, 400);
        let second = app.token("ann").await;
        assert_eq!(me(&second).await["previous_login_at"], "2026-11-22T12:00:00Z");
        assert_eq!(me(&first).await.get("previous_login_at"), None, "it belongs to the session");
    }
}

on_both! {
    async fn ending_sessions_wants_a_proof_of_the_last_ten_minutes_r47(app: App) {
        app.register("ann").await;
        let (here, there) = (app.token("ann").await, app.token("ann").await);
        let id = app.sessions_of(&there).await.iter().find(|line| line["current"] == true).unwrap()["id"].clone();
        app.clock.advance(Duration::from_mins(10));
        let refused = app.ask("DELETE", SESSIONS, &here, &json!({})).await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(refused.shape(), @r#"
            403 Forbidden
            cache-control: no-store
            content-type: application/json; charset=utf-8
            vary: Authorization, Origin, Sec-Fetch-Site
            {"status":"fail","code":"reauth_required","error":"Confirm your password first, then try again."}
            "#);
        }
        assert_eq!(app.end(&here, &id).await, 403);
        assert_eq!(app.me(&there).await, 200, "nothing has changed");
        let there = app.proof(&there).await;
        assert_eq!(app.end(&here, &id).await, 403, "a confirmed password is valid only in its session");
        let confirmed = app.confirm(&here, PASSWORD).await.json();
        assert_eq!(confirmed["until"], "2026-11-22T12:20:00Z");
        assert_eq!(app.me(&here).await, 401, "R17: a copied token is useless");
        let here = confirmed["token"].as_str().unwrap().to_owned();
        app.clock.advance(Duration::from_millis(599_999));
        assert_eq!((app.end(&here, &id).await, app.me(&there).await.as_u16()), (204, 401));
        assert_eq!(app.end(&here, &id).await, 404, "it is gone");
        app.clock.advance(Duration::from_millis(1));
        assert_eq!(app.end(&here, &id).await, 403);
    }
}

on_both! {
    async fn a_proof_from_a_clocks_future_counts_for_nothing_r99(app: App) {
        app.register("ann").await;
        let token = app.token("ann").await;
        app.clock.advance(Duration::from_hours(1));
        let token = app.proof(&token).await;
        app.clock.go_back(Duration::from_millis(300_001));
        assert_eq!(app.ask("DELETE", SESSIONS, &token, &json!({})).await.status, 403);
        app.clock.advance(Duration::from_millis(1));
        assert_eq!(app.ask("DELETE", SESSIONS, &token, &json!({})).await.status, 200);
    }
}

on_both! {
    async fn all_other_sessions_end_at_once_and_on_every_server_r41(app: App) {
        app.register("ann").await;
        app.register("bob").await;
        let (here, bob) = (app.token("ann").await, app.token("bob").await);
        let others = [app.token("ann").await, app.token("ann").await];
        for token in &others {
            assert_eq!(app.me(token).await, 200);
        }
        let ended = app.ask("DELETE", SESSIONS, &here, &json!({})).await.json();
        assert_eq!(ended, json!({ "status": "ok", "sessions_ended": 2 }));
        for token in &others {
            assert_eq!(app.me(token).await, 401);
        }
        assert_eq!((app.me(&here).await.as_u16(), app.me(&bob).await.as_u16()), (200, 200));
    }
}

on_both! {
    async fn anothers_session_is_as_unknown_as_none_r45(app: App) {
        app.register("ann").await;
        app.register("bob").await;
        let (ann, bob) = (app.token("ann").await, app.token("bob").await);
        let of_bob = app.sessions_of(&bob).await[0]["id"].clone();
        for unknown in [of_bob, json!("00000000-0000-7000-8000-000000000000"), json!("none"), json!("%00"), json!("%ff")] {
            let answer = app.ask("DELETE", &format!("{SESSIONS}{}/", unknown.as_str().unwrap()), &ann, &json!({})).await;
            assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str().unwrap()), (404, "not_found"), "{unknown}");
        }
        let page = app.ask("POST", "/fn/end_session", &ann, &json!({ "id": "\u{0}" })).await;
        assert_eq!((page.status.as_u16(), page.text.as_str()), (404, "\"not_found\""));
        assert_eq!(app.me(&bob).await, 200);
    }
}

on_both! {
    async fn the_page_does_with_an_account_what_the_api_does_r15(app: App) {
        app.register("ann").await;
        let (here, there) = (app.token("ann").await, app.token("ann").await);
        let list = app.ask("POST", "/fn/sessions", &here, &json!({})).await;
        assert_eq!(list.json().as_array().unwrap().len(), 2);
        app.clock.advance(Duration::from_mins(11));
        let refused = app.ask("POST", "/fn/end_other_sessions", &here, &json!({})).await;
        assert_eq!((refused.status.as_u16(), refused.text.as_str()), (403, "\"reauth_required\""));
        let wrong = app.ask("POST", "/fn/confirm_password", &here, &json!({ "password": "wrong" })).await;
        assert_eq!((wrong.status.as_u16(), wrong.text.as_str()), (403, "\"wrong_password\""));
        let confirmed = app.ask("POST", "/fn/confirm_password", &here, &json!({ "password": PASSWORD })).await;
        let here = confirmed.json().as_str().unwrap().to_owned();
        let id = list.json().as_array().unwrap().iter().find(|line| line["current"] == false).unwrap()["id"].clone();
        assert_eq!(app.ask("POST", "/fn/end_session", &here, &json!({ "id": id })).await.status, 200);
        assert_eq!(app.me(&there).await, 401);
        let body = json!({ "current_password": PASSWORD, "new_password": NEW });
        let changed = app.ask("POST", "/fn/change_password", &here, &body).await;
        assert_eq!(app.me(changed.json().as_str().unwrap()).await, 200);
        assert_eq!(app.log_in("ann", NEW).await.status, 200);
    }
}

const USERNAME: &str = "/api/accounts/change_username/";
const EXPORT: &str = "/api/accounts/export/";
const DELETE: &str = "/api/accounts/delete/";

on_both! {
    async fn a_username_is_changed_unless_somebody_has_it_r1(app: App) {
        app.register("ann").await;
        app.register("bob").await;
        let token = app.token("ann").await;
        assert_eq!(app.me(&token).await, 200);
        let rename = async |username: &str| app.ask("POST", USERNAME, &token, &json!({ "username": username })).await;
        let refused = rename("BOB").await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(refused.shape(), @r#"
            400 Bad Request
            cache-control: no-store
            content-type: application/json; charset=utf-8
            vary: Authorization, Origin, Sec-Fetch-Site
            {"status":"fail","code":"invalid","error":"Please correct the marked fields.","errors":{"username":["This name is taken. Choose another."]}}
            "#);
        }
        for bad in ["x", "ann@example.org", "admin", ""] {
            assert_eq!(rename(bad).await.status, 400, "{bad}");
        }
        assert_eq!(rename("Annie").await.json(), json!({ "status": "ok", "username": "Annie" }));
        assert_eq!(app.get("/api/accounts/me/").bearer(&token).send().await.json()["username"], "Annie", "at once");
        assert_eq!(app.log_in("annie", PASSWORD).await.status, 200);
        assert_eq!(app.log_in("ann", PASSWORD).await.status, 400);
        assert_eq!(rename("annie").await.status, 200, "another spelling of the same username");
        let body = json!({ "email": "another@example.org", "username": "ann", "password": PASSWORD });
        let free = app.post("/api/accounts/api_register/", &body).from(&some_address()).send().await;
        assert_eq!(free.status, 200, "the old one is available");
    }
}

on_both! {
    async fn two_who_want_one_username_at_once_do_not_both_have_it_r1(app: App) {
        let names = ["ann", "bob", "cyd", "dan"];
        let mut tokens = Vec::new();
        for name in names {
            app.register(name).await;
            tokens.push(app.token(name).await);
        }
        let body = json!({ "username": "wanted" });
        let asking = tokens.iter().map(|token| app.ask("POST", USERNAME, token, &body));
        let mut statuses: Vec<u16> =
            futures_util::future::join_all(asking).await.iter().map(|answer| answer.status.as_u16()).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 400, 400, 400]);
    }
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

on_both! {
    async fn whoever_leaves_takes_everything_along_r110(app: App) {
        app.register("ann").await;
        let first = app.token("ann").await;
        app.clock.advance(Duration::from_mins(1));
        let token = app.token("ann").await;
        // One mail with a link was sent, and another is queued.
        app.deliver().await;
        assert_eq!(app.ask("POST", "/api/accounts/resend_verification/", &token, &json!({})).await.status, 200);
        let request = json!({ "name": "a script", "scope": "read", "days": 1 });
        assert_eq!(app.ask("POST", "/api/accounts/tokens/", &token, &request).await.status, 200);
        assert_eq!(app.log_in("ann", "wrong").await.status, 400);
        let answer = app.get(EXPORT).bearer(&token).send().await;
        assert_eq!(answer.header("content-disposition"), "attachment; filename=\"account.json\"");
        let export = answer.json();
        assert_eq!((&export["account"]["email"], &export["account"]["username"]), (&json!("ann@example.org"), &json!("ann")));
        assert_eq!(export["last_login_at"], "2026-11-22T12:01:00Z");
        assert_eq!(export["sessions"][0]["previous_login_at"], "2026-11-22T12:00:00Z");
        assert_eq!(export["failed_logins"], json!({ "count": 1, "last_at": "2026-11-22T12:01:00Z" }));
        assert!(!answer.text.contains(&token) && !answer.text.contains(&first) && !answer.text.contains("argon2"));
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

on_both! {
    async fn an_account_that_is_deleted_leaves_nothing_behind_r110(app: App) {
        app.register("ann").await;
        app.register("bob").await;
        let (here, there, bob) = (app.token("ann").await, app.token("ann").await, app.token("bob").await);
        assert_eq!((app.me(&here).await.as_u16(), app.me(&there).await.as_u16()), (200, 200));
        let delete = async |token: &str, username: &str| {
            app.ask("POST", DELETE, token, &json!({ "username": username })).await.status.as_u16()
        };
        assert_eq!((delete(&here, "").await, delete(&here, "bob").await), (400, 400));
        app.clock.advance(Duration::from_mins(10));
        assert_eq!(delete(&here, "ann").await, 403);
        let here = app.proof(&here).await;
        assert_eq!(app.log_in("ann", "wrong").await.status, 400);
        let user = app.get("/api/accounts/me/").bearer(&here).send().await.json()["id"].as_str().unwrap().to_owned();
        let strangers = app.service.strangers_key("ann@example.org");
        assert!(app.store.attempts_of(&user, &strangers).await.unwrap().1.is_some());
        let whole = async || {
            let rule = RateLimit { burst: 1, interval: Duration::from_hours(1) };
            let mut whole = Vec::new();
            for action in [LimitedAction::Tokens, LimitedAction::Passwords, LimitedAction::Moves] {
                whole.push(app.store.take(&action.key(&user), rule, app.now()).await.unwrap().is_ok());
            }
            whole
        };
        assert_eq!((whole().await, whole().await), (vec![true; 3], vec![false; 3]));
        let gone = app.ask("POST", DELETE, &here, &json!({ "username": "Ann" })).await;
        assert_eq!((gone.status.as_u16(), gone.header("clear-site-data")), (204, "\"storage\""));
        let statuses = [app.me(&here).await, app.me(&there).await, app.me(&bob).await];
        assert_eq!(statuses.map(|status| status.as_u16()), [401, 401, 200]);
        assert_eq!(app.store.attempts_of(&user, &strangers).await.unwrap(), (None, None));
        assert_eq!(whole().await, [true; 3]);
        assert!(app.store.list_sessions(&user, ActiveSessions::ALL).await.unwrap().is_empty());
        assert_eq!(app.log_in("ann", PASSWORD).await.status, 400);
        app.register("ann").await;
        assert_eq!(app.sessions_of(&app.token("ann").await).await.len(), 1, "the email is available again, for a new account");
    }
}

on_both! {
    async fn an_act_whose_session_ends_meanwhile_is_not_done_r41(app: App) {
        app.register("ann").await;
        let token = Token::parse(TokenKind::Session, &app.token("ann").await).unwrap();
        let asking = app.service.require_reauth(&token).await.unwrap();
        app.service.log_out(&token).await.unwrap();
        let name = Username::parse("annie").unwrap();
        let caller = Caller { address: "192.0.2.1".parse().unwrap(), agent: String::new() };
        let outcomes = [
            app.service.change_username(&caller, &asking, &name).await.map(drop),
            app.service.end_other_sessions(&asking).await.map(drop),
            app.service.end_session(&asking, &asking.session().id).await,
            app.service.delete_account(&asking, "ann").await,
        ];
        for outcome in outcomes {
            assert_eq!(outcome.map_err(AppError::from), Err(AppError::SessionEnded));
        }
        assert_eq!(app.log_in("ann", PASSWORD).await.status, 200, "nothing has changed");
    }
}

on_both! {
    async fn whoever_looks_for_a_good_new_password_does_not_have_to_wait(app: App) {
        app.register("ann").await;
        let token = app.token("ann").await;
        for _ in 0..7 {
            assert_eq!(app.change(&token, PASSWORD, "ann@example.org").await.status, 400);
        }
        let same = app.change(&token, PASSWORD, PASSWORD).await;
        assert_eq!(same.json()["errors"]["new_password"][0], "This is already your password. Choose a different one.");
        assert_eq!(app.change(&token, PASSWORD, NEW).await.status, 200);
    }
}

/// Operations that require a recent proof of the password, through the API and the page.
const SENSITIVE: [(&str, &str); 7] = [
    ("POST", USERNAME),
    ("GET", EXPORT),
    ("POST", DELETE),
    ("DELETE", SESSIONS),
    ("DELETE", "/api/accounts/sessions/00000000-0000-7000-8000-000000000000/"),
    ("POST", "/fn/end_session"),
    ("POST", "/fn/end_other_sessions"),
];

on_both! {
    async fn nothing_that_matters_is_done_without_a_proof_r27_r47(app: App) {
        app.register("ann").await;
        let token = app.token("ann").await;
        app.clock.advance(Duration::from_mins(11));
        let fields = json!({ "username": "ann", "id": "00000000-0000-7000-8000-000000000000" });
        for (method, path) in SENSITIVE {
            let answer = app.ask(method, path, &token, &fields).await;
            assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text);
            assert!(answer.text.contains("reauth_required"), "{method} {path}: {}", answer.text);
        }
        assert_eq!(app.me(&token).await, 200, "nothing has changed");
    }
}

#[tokio::test]
async fn what_was_deleted_is_not_to_be_found_in_the_file_r110() {
    let app = App::start(Backend::Sqlite).await;
    app.register("annabel").await;
    app.register("bob").await;
    let token = app.token("annabel").await;
    let holds = |name: &str, text: &str| {
        let bytes = std::fs::read(app.folder().join(name)).unwrap();
        bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
    };
    assert!(holds("vestibule.db-wal", "annabel"));
    let gone = app.ask("POST", DELETE, &token, &json!({ "username": "annabel" })).await;
    assert_eq!(gone.status, 204);
    assert!(holds("vestibule.db", "bob@example.org"), "the log is merged into the file");
    assert!(!holds("vestibule.db", "annabel") && !holds("vestibule.db-wal", "annabel"));
}

/// Only a name that is in use is reported as such. Any other rejection by the database is an internal error.
#[tokio::test]
async fn a_rename_that_the_database_refuses_is_no_name_that_is_taken() {
    let app = App::start(Backend::Sqlite).await;
    app.register("ann").await;
    let token = app.token("ann").await;
    app.refuse("UPDATE OF username ON users").await;
    let answer = app.ask("POST", "/api/accounts/change_username/", &token, &json!({ "username": "annie" })).await;
    assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str().unwrap()), (500, "internal"), "{}", answer.text);
}

/// The number of deleted accounts with bytes left in the file or in its log.
fn remains(app: &App, deleted: &[String]) -> usize {
    let read = |name: &str| std::fs::read(app.folder().join(name)).unwrap();
    let bytes = [read("vestibule.db"), read("vestibule.db-wal")].concat();
    let text = String::from_utf8_lossy(&bytes);
    deleted.iter().filter(|name| text.contains(&format!("{name}@")) || text.contains(&id_of(name))).count()
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
    let left = Inherit { from: app.service.strangers_key(name), to: app.service.strangers_key(name), since: app.now() };
    let operator = Authority::Operator { user: id_of(name) };
    assert_eq!(app.store.delete_user(operator, left).await.unwrap(), Some(()), "{name}");
}

#[tokio::test]
async fn of_hundreds_of_deleted_accounts_no_byte_stays_in_the_file_r110() {
    let mut app = App::start(Backend::Sqlite).await;
    let mut chance = StdRng::seed_from_u64(110);
    let mut deleted = Vec::new();
    // Creates and deletes accounts until SQLite has left a copy of one of them.
    while remains(&app, &deleted) == 0 {
        assert!(deleted.len() < 1000, "SQLite no longer leaves copies, and the file need not be rewritten");
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
    assert!(!app.store.rewrite(i64::MAX).await.unwrap(), "once is enough");
}

#[tokio::test]
async fn a_plain_copy_of_the_file_lacks_little_as_its_log_is_folded_now_and_then() {
    let mut app = App::start(Backend::Sqlite).await;
    add_all(&app, &["ann".to_owned()]).await;
    let is_in_the_file = |app: &App| {
        let file = std::fs::read(app.folder().join("vestibule.db")).unwrap();
        String::from_utf8_lossy(&file).contains("ann@example.org")
    };
    assert!(!is_in_the_file(&app), "it is only in the log");
    app.maintenance.take().unwrap().sweep().await;
    assert!(is_in_the_file(&app));
}

#[tokio::test]
async fn a_file_too_large_to_be_rewritten_while_the_server_runs_is_rewritten_at_the_next_start_r110() {
    let app = App::start(Backend::Sqlite).await;
    add_all(&app, &["ann".to_owned()]).await;
    delete(&app, "ann").await;
    assert!(!app.store.rewrite(4096).await.unwrap(), "the file is larger");
    let app = app.restart().await;
    assert!(!app.store.rewrite(i64::MAX).await.unwrap(), "the start has rewritten it");
}
