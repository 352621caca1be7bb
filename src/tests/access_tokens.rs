//! Personal access tokens, on both databases.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{Connection, Executor};
use vestibule::{domain::time::Timestamp, mail::MailUrl};

use crate::{
    on_both,
    util::{App, Backend, PASSWORD, Response, some_address},
};

const TOKENS: &str = "/api/accounts/tokens/";
const ME: &str = "/api/accounts/me/";
const NEW: &str = "walrus orchard lantern";

impl App {
    async fn request_token(&self, token: &str, name: &str, scope: &str, days: i64) -> Response {
        self.ask("POST", TOKENS, token, &json!({ "name": name, "scope": scope, "days": days })).await
    }

    /// A personal access token, and its identifier.
    async fn access(&self, token: &str, scope: &str) -> (String, String) {
        let made = self.request_token(token, "a script", scope, 30).await;
        assert_eq!(made.status, 200, "{}", made.text);
        let part = |key: &str| made.json()[key].as_str().unwrap().to_owned();
        (part("token"), part("id"))
    }

    async fn access_tokens(&self, token: &str) -> Vec<Value> {
        self.get(TOKENS).bearer(token).send().await.json()["tokens"].as_array().unwrap().clone()
    }

    async fn code(&self, method: &str, path: &str, token: &str, body: &Value) -> (u16, String) {
        let answer = self.ask(method, path, token, body).await;
        (answer.status.as_u16(), answer.json()["code"].as_str().unwrap_or_default().to_owned())
    }
}

on_both! {
    async fn a_personal_access_token_is_shown_once_and_tells_whose_it_is_r29_r31(app: App) {
        app.register("ann").await;
        let session = app.token("ann").await;
        let made = app.request_token(&session, " Backup ", "read", 30).await;
        let (token, id) = (made.json()["token"].as_str().unwrap().to_owned(), made.json()["id"].clone());
        assert!(token.starts_with("vsp_") && token.len() == 53, "{token}");
        assert_eq!(made.json()["expires_at"], "2026-12-22T12:00:00Z");
        let me = app.get(ME).bearer(&token).send().await;
        assert_eq!((&me.json()["username"], &me.json()["scope"]), (&json!("ann"), &json!("read")));
        assert_eq!(app.get(ME).bearer(&session).send().await.json().get("scope"), None);
        let mut app = app;
        app.maintenance.as_mut().unwrap().flush().await;
        let listed = app.get(TOKENS).bearer(&session).send().await;
        assert!(!listed.text.contains(&token));
        assert_eq!(app.access_tokens(&session).await, [json!({
            "id": id, "name": "Backup", "scope": "read", "created_at": "2026-11-22T12:00:00Z",
            "last_used_at": "2026-11-22T12:00:00Z", "expires_at": "2026-12-22T12:00:00Z",
        })]);
        assert_eq!(app.access_tokens(&token).await.len(), 1, "it may read");
    }
}

on_both! {
    async fn a_token_that_may_only_read_is_refused_every_change(app: App) {
        app.register("ann").await;
        let (read, _) = app.access(&app.token("ann").await, "read").await;
        let fields = json!({
            "id": "0", "username": "annie", "password": PASSWORD, "current_password": PASSWORD, "days": 1, "scope": "full",
            "new_password": "walrus orchard lantern", "new_email": "new@example.org", "name": "another",
        });
        let public = ["api_register", "api_auth", "verify_email", "forgot_password", "reset_password", "confirm_email", "undo_email"];
        let (mut refused, mut could) = (0, 0);
        for path in app.pipeline.routes().paths().iter().filter(|path| path.starts_with("/api/accounts/") && path.ends_with('/')) {
            if public.iter().any(|name| path.contains(name)) {
                continue;
            }
            for method in ["POST", "PUT", "PATCH", "DELETE"] {
                let (status, code) = app.code(method, &path.replace("{id}", "0"), &read, &fields).await;
                let refusals = ["read_only", "session_required"];
                assert!(status == 405 || status == 403 && refusals.contains(&code.as_str()), "{method} {path}: {status} {code}");
                refused += usize::from(status == 403);
                could += usize::from(code == "read_only");
            }
        }
        assert_eq!((refused, could), (11, 3), "the existing changes, and those that another token could make");
        assert_eq!(app.get(ME).bearer(&read).send().await.status, 200, "the token still works");
    }
}

on_both! {
    async fn what_wants_the_password_wants_a_session_whatever_the_token_may_r47(app: App) {
        app.register("ann").await;
        let session = app.token("ann").await;
        let (full, id) = app.access(&session, "full").await;
        let fields = json!({
            "username": "annie", "password": PASSWORD, "current_password": PASSWORD, "name": "x", "scope": "full", "days": 1,
            "new_password": "walrus orchard lantern", "new_email": "new@example.org",
        });
        for (method, path) in [
            ("POST", "change_password/"), ("POST", "change_username/"), ("POST", "change_email/"), ("POST", "delete/"),
            ("POST", "tokens/"), ("POST", "confirm_password/"), ("GET", "export/"), ("DELETE", "sessions/"),
        ] {
            let refusal = app.code(method, &format!("/api/accounts/{path}"), &full, &fields).await;
            assert_eq!(refusal, (403, "session_required".to_owned()), "{method} {path}");
        }
        let (_, other) = app.access(&session, "full").await;
        let resent = app.ask("POST", "/api/accounts/resend_verification/", &full, &json!({})).await;
        let revoked = app.ask("DELETE", &format!("{TOKENS}{other}/"), &full, &json!({})).await;
        assert_eq!((resent.status.as_u16(), revoked.status.as_u16()), (200, 204), "operations that require no password");
        assert_eq!(app.ask("POST", "/api/accounts/logout/", &full, &json!({})).await.status, 204, "a token may revoke itself");
        assert_eq!(app.me(&full).await, 401);
        assert_eq!(app.access_tokens(&session).await.iter().filter(|line| line["id"] == id.as_str()).count(), 0);
        app.clock.advance(Duration::from_mins(10));
        assert_eq!(app.request_token(&session, "late", "read", 1).await.json()["code"], "reauth_required");
    }
}

on_both! {
    async fn a_change_of_the_password_revokes_access_tokens_if_that_is_asked_for_and_the_mail_says_so(app: App) {
        app.register("ann").await;
        let session = app.token("ann").await;
        let (access, _) = app.access(&session, "full").await;
        app.deliver().await;
        let change = async |session: &str, old: &str, new: &str, revoke: Value| {
            let mut body = json!({ "current_password": old, "new_password": new });
            if !revoke.is_null() {
                body["revoke_access_tokens"] = revoke;
            }
            app.ask("POST", "/api/accounts/change_password/", session, &body).await
        };
        for odd in [json!("true"), json!(1), json!([])] {
            assert_eq!(change(&session, PASSWORD, NEW, odd).await.status, 400, "an invalid request must not look successful");
        }
        let kept = change(&session, PASSWORD, NEW, Value::Null).await;
        assert_eq!((kept.status.as_u16(), app.me(&access).await.as_u16()), (200, 200));
        let text = app.deliver_one().await.to_text();
        assert!(text.contains("Access tokens were not revoked and still work."), "{text}");
        let session = kept.json()["token"].as_str().unwrap().to_owned();
        let revoked = change(&session, NEW, PASSWORD, json!(true)).await;
        assert_eq!((revoked.status.as_u16(), app.me(&access).await.as_u16()), (200, 401));
        let text = app.deliver_one().await.to_text();
        assert!(text.contains("All access tokens were revoked."), "{text}");
        let session = revoked.json()["token"].as_str().unwrap().to_owned();
        let (access, _) = app.access(&session, "full").await;
        let body = json!({ "current_password": PASSWORD, "new_password": NEW, "revoke_access_tokens": true });
        let from_the_page = app.ask("POST", "/fn/change_password", &session, &body).await;
        assert_eq!((from_the_page.status.as_u16(), app.me(&access).await.as_u16()), (200, 401));
    }
}

on_both! {
    async fn whoever_has_a_new_token_is_told_by_mail(app: App) {
        app.register("ann").await;
        app.deliver().await;
        let session = app.token("ann").await;
        assert_eq!(app.request_token(&session, "", "read", 30).await.status, 400);
        app.access(&session, "read").await;
        let notice = app.deliver_one().await;
        assert_eq!((notice.to.as_str(), notice.subject.as_str()), ("ann@example.org", "A new access token at Vestibule"));
        assert!(notice.to_text().contains("account ann at Vestibule on 22 November 2026, 12:00 UTC"), "{}", notice.to_text());
    }
}

on_both! {
    async fn a_tokens_use_is_noted_once_a_minute_and_nobody_waits_for_it(app: App) {
        app.register("ann").await;
        let session = app.token("ann").await;
        let (token, _) = app.access(&session, "read").await;
        let mut app = app;
        let mut seen = Vec::new();
        for wait in [0, 59, 1, 60] {
            app.clock.advance(Duration::from_secs(wait));
            assert_eq!(app.me(&token).await, 200);
            app.maintenance.as_mut().unwrap().flush().await;
            seen.push(app.access_tokens(&session).await[0]["last_used_at"].as_str().unwrap().to_owned());
        }
        assert_eq!(seen, ["2026-11-22T12:00:00Z", "2026-11-22T12:00:00Z", "2026-11-22T12:01:00Z", "2026-11-22T12:02:00Z"]);
    }
}

#[tokio::test]
async fn noting_uses_waits_for_nobody_who_holds_some_of_the_rows_r98() {
    let mut app = App::start(Backend::Postgres).await;
    app.register("ann").await;
    let sessions = [app.token("ann").await, app.token("ann").await];
    let tokens = [app.access(&sessions[0], "read").await.0, app.access(&sessions[0], "read").await.0];
    app.clock.advance(Duration::from_mins(1));
    for token in sessions.iter().chain(&tokens) {
        assert_eq!(app.me(token).await, 200);
    }
    let mut other = app.observer().await;
    let mut holder = other.begin().await.unwrap();
    for table in ["sessions", "access_tokens"] {
        let sql = format!("SELECT 1 FROM {table} ORDER BY id LIMIT 1 FOR UPDATE");
        holder.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
    }
    app.maintenance.as_mut().unwrap().flush().await;
    holder.rollback().await.unwrap();
    let mut used = async |table, column| {
        let sql = format!("SELECT {column} FROM {table} ORDER BY id");
        let times: Vec<Option<i64>> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(&mut other).await.unwrap();
        times.into_iter().map(|time| time == Some(app.now().as_millis())).collect::<Vec<_>>()
    };
    assert_eq!(used("sessions", "last_seen_at").await, [false, true]);
    assert_eq!(used("access_tokens", "last_used_at").await, [false, true]);
}

on_both! {
    async fn a_token_ends_when_it_is_revoked_or_over_r41_r42(app: App) {
        app.register("ann").await;
        app.register("bob").await;
        let (ann, bob) = (app.token("ann").await, app.token("bob").await);
        let (first, id) = app.access(&ann, "read").await;
        let (second, _) = app.access(&ann, "full").await;
        let path = format!("{TOKENS}{id}/");
        assert_eq!(app.ask("DELETE", &path, &bob, &json!({})).await.status, 404, "another's");
        for strange in ["0", "%00", "..", "a b"] {
            let path = format!("{TOKENS}{}/", strange.replace(' ', "%20"));
            assert_eq!(app.ask("DELETE", &path, &ann, &json!({})).await.status, 404, "{strange}");
        }
        assert_eq!(app.me(&first).await, 200);
        assert_eq!(app.ask("DELETE", &path, &ann, &json!({})).await.status, 204);
        assert_eq!((app.me(&first).await.as_u16(), app.me(&second).await.as_u16()), (401, 200));
        assert_eq!(app.ask("DELETE", &path, &ann, &json!({})).await.status, 404);
        app.clock.advance(Duration::from_hours(24 * 30) - Duration::from_millis(1));
        assert_eq!(app.me(&second).await, 200, "without any session");
        let (third, _) = app.access(&app.token("ann").await, "read").await;
        app.clock.advance(Duration::from_millis(1));
        assert_eq!(app.me(&second).await, 401);
        let mut app = app;
        let user = app.get(ME).bearer(&app.token("ann").await).send().await.json()["id"].as_str().unwrap().to_owned();
        let ever = Timestamp::from_millis(0);
        assert_eq!(app.store.list_access_tokens(&user, ever).await.unwrap().len(), 1, "it stays revoked, whatever the clock does");
        app.clock.advance(Duration::from_hours(24 * 30));
        app.maintenance.take().unwrap().sweep_all().await.unwrap();
        assert!(app.store.list_access_tokens(&user, ever).await.unwrap().is_empty(), "swept out");
        assert_eq!(app.me(&third).await, 401);
    }
}

on_both! {
    async fn tokens_die_with_the_account_and_with_a_password_set_by_others_r43(app: App) {
        for name in ["ann", "bob", "cyd", "dan"] {
            app.register(name).await;
        }
        let mut tokens = Vec::new();
        for name in ["ann", "bob", "cyd", "dan"] {
            tokens.push(app.access(&app.token(name).await, "full").await.0);
        }
        let id = async |token: &str| app.get(ME).bearer(token).send().await.json()["id"].as_str().unwrap().to_owned();
        let now = app.now();
        let disabled = id(&tokens[0]).await;
        app.store.disable_user(&disabled, now).await.unwrap();
        app.store.set_password(&id(&tokens[1]).await, "x").await.unwrap();
        app.store.end_sessions_of(&id(&tokens[2]).await).await.unwrap();
        let session = app.token("dan").await;
        let left = app.ask("POST", "/api/accounts/delete/", &session, &json!({ "username": "dan" })).await;
        assert_eq!(left.status, 204);
        app.store.enable_user(&disabled, app.now()).await.unwrap();
        for token in &tokens {
            assert_eq!(app.me(token).await, 401, "it stays invalid");
        }
    }
}

on_both! {
    async fn a_wish_for_a_token_is_checked_field_by_field(app: App) {
        app.register("ann").await;
        let session = app.token("ann").await;
        let refused = app.request_token(&session, "", "write", 0).await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(refused.text, @r#"{"status":"fail","code":"invalid","error":"Please correct the marked fields.","errors":{"days":["Choose 1 to 366 days."],"name":["Please fill in this field."],"scope":["Choose read or full."]}}"#);
        }
        for days in [367, -1, i64::MAX] {
            let refused = app.request_token(&session, "x", "read", days).await;
            assert_eq!((refused.status.as_u16(), &refused.json()["errors"]["days"]), (400, &json!(["Choose 1 to 366 days."])), "{days}");
        }
        for body in [json!({}), json!({ "name": 1, "scope": true, "days": "30" }), json!({ "name": "x", "scope": "read", "days": 1.5 })] {
            assert_eq!(app.ask("POST", TOKENS, &session, &body).await.status, 400, "{body}");
        }
        assert!(app.access_tokens(&session).await.is_empty());
    }
}

on_both! {
    async fn nobody_has_more_than_fifty_tokens(app: App) {
        app.register("ann").await;
        for _ in 0..50 {
            assert_eq!(app.request_token(&app.token("ann").await, "x", "read", 1).await.status, 200);
            app.clock.advance(Duration::from_mins(6));
        }
        let session = app.token("ann").await;
        for _ in 0..11 {
            assert!(app.request_token(&session, "x", "read", 1).await.text.contains("the limit of 50 tokens"));
        }
        let address = some_address();
        assert_eq!(app.get(TOKENS).bearer(&session).from(&address).send().await.json()["tokens"].as_array().unwrap().len(), 50);
    }
}

on_both! {
    async fn an_account_makes_only_so_many_tokens_for_each_is_told_by_mail_r93(app: App) {
        app.register("ann").await;
        app.register("bob").await;
        let (token, other) = (app.token("ann").await, app.token("bob").await);
        for _ in 0..10 {
            let (_, id) = app.access(&token, "read").await;
            assert_eq!(app.ask("DELETE", &format!("{TOKENS}{id}/"), &token, &json!({})).await.status, 204);
        }
        let held = app.request_token(&token, "one more", "read", 30).await;
        assert_eq!((held.status.as_u16(), held.header("retry-after")), (429, "360"));
        app.access(&other, "read").await;
        app.clock.advance(Duration::from_mins(6));
        app.access(&token, "read").await;
        assert_eq!(app.request_token(&token, "one more", "read", 30).await.status, 429);
    }
}

on_both! {
    async fn a_password_changes_only_so_often_for_each_change_is_told_by_mail_r93(app: App) {
        app.register("ann").await;
        let mut token = app.token("ann").await;
        let mut passwords = [PASSWORD, "walrus orchard lantern"];
        let mut change = async |expected: u16| {
            let body = json!({ "current_password": passwords[0], "new_password": passwords[1] });
            let answer = app.ask("POST", "/api/accounts/change_password/", &token, &body).await;
            assert_eq!(answer.status, expected, "{}", answer.text);
            if expected == 200 {
                answer.json()["token"].as_str().unwrap().clone_into(&mut token);
                passwords.reverse();
            }
        };
        for _ in 0..10 {
            change(200).await;
        }
        change(429).await;
        app.clock.advance(Duration::from_mins(6));
        change(200).await;
    }
}

on_both! {
    async fn a_clock_that_was_put_back_lengthens_no_token_r99(app: App) {
        app.register("ann").await;
        let (early, _) = app.access(&app.token("ann").await, "read").await;
        app.clock.go_back(Duration::from_mins(5));
        assert_eq!(app.me(&early).await, 200, "the clocks of servers may differ that much");
        app.clock.go_back(Duration::from_millis(1));
        assert_eq!(app.me(&early).await, 401);
        assert_eq!(app.access_tokens(&app.token("ann").await).await.len(), 1, "it can be revoked");
    }
}

#[tokio::test]
async fn without_mail_nothing_limits_what_would_be_told_by_mail() {
    let app = App::start_with(Backend::Sqlite, |config| config.mail.url = MailUrl::Off).await;
    app.register("ann").await;
    let token = app.token("ann").await;
    for _ in 0..11 {
        app.access(&token, "read").await;
    }
}

on_both! {
    async fn what_a_token_may_not_do_is_said_in_the_challenge_r35(app: App) {
        app.register("ann").await;
        let (read, _) = app.access(&app.token("ann").await, "read").await;
        let refused = app.ask("DELETE", "/api/accounts/sessions/", &read, &json!({})).await;
        let challenge = refused.header("www-authenticate");
        assert_eq!((refused.status.as_u16(), challenge), (403, "Bearer error=\"insufficient_scope\""));
    }
}
