//! Personal access tokens, on both databases.

mod limits;
mod validity;

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{Connection, Executor};

use crate::util::{
    App, Backend, NEW, PASSWORD,
    actors::{Client, Device},
    macros::{both, snapshot},
};

both! {
    an_access_token_is_shown_once_and_names_its_user_r29_r31,
    a_token_that_may_only_read_is_refused_every_change,
    a_token_never_replaces_the_password_in_a_session_r47,
    a_new_password_revokes_access_tokens_on_request,
    the_mail_says_whether_access_tokens_were_revoked,
    a_new_token_is_announced_by_mail,
    a_tokens_use_is_noted_once_a_minute,
    a_request_for_a_token_is_checked_field_by_field,
    the_challenge_names_the_missing_scope_r35,
}

async fn an_access_token_is_shown_once_and_names_its_user_r29_r31(mut app: App) {
    let phone = app.register("ann").await.log_in().await;
    let created = phone.try_create_access_token(" Backup ", "read", 30).await;
    assert_eq!(created.json()["expires_at"], "2026-12-22T12:00:00Z");
    let script = phone.script(&created);
    assert!(script.token.starts_with("vsp_"), "{}", script.token);
    assert_eq!(script.token.len(), 53);
    let me = script.me().await;
    assert_eq!(me["username"], "ann");
    assert_eq!(me["scope"], "read");
    assert_eq!(phone.me().await.get("scope"), None);

    app.maintenance.as_mut().unwrap().flush().await;
    let listed = phone.get("tokens/").await;
    assert!(!listed.text.contains(&script.token));
    assert_eq!(
        phone.access_tokens().await,
        [json!({
            "id": script.id, "name": "Backup", "scope": "read", "created_at": "2026-11-22T12:00:00Z",
            "last_used_at": "2026-11-22T12:00:00Z", "expires_at": "2026-12-22T12:00:00Z",
        })]
    );
    assert_eq!(script.access_tokens().await.len(), 1, "a token may list the account's tokens");
}

/// A body with the fields of every endpoint that changes something.
fn fields() -> Value {
    json!({
        "id": "0", "username": "annie", "password": PASSWORD, "current_password": PASSWORD, "days": 1, "scope": "full",
        "new_password": NEW, "new_email": "new@example.org", "name": "another",
    })
}

async fn a_token_that_may_only_read_is_refused_every_change(app: App) {
    const PUBLIC: [&str; 7] = [
        "api_register",
        "api_auth",
        "verify_email",
        "forgot_password",
        "reset_password",
        "confirm_email",
        "undo_email",
    ];
    let phone = app.register("ann").await.log_in().await;
    let script = phone.create_access_token("a script", "read").await;
    let (mut refused, mut open_to_full_tokens) = (0, 0);
    for path in app.pipeline.routes().paths() {
        let of_the_api = path.starts_with("/api/accounts/") && path.ends_with('/');
        if !of_the_api || PUBLIC.iter().any(|name| path.contains(name)) {
            continue;
        }
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let response = script.request(method, &path.replace("{id}", "0")).json(&fields()).await;
            if response.status != 405 {
                refused += 1;
                let code = response.assert_status(403).code();
                assert!(["read_only", "session_required"].contains(&code.as_str()), "{method} {path}: {code}");
                open_to_full_tokens += usize::from(code == "read_only");
            }
        }
    }
    assert_eq!(refused, 12, "the number of endpoints that change something");
    assert_eq!(open_to_full_tokens, 4);
    script.assert_logged_in().await;
}

async fn a_token_never_replaces_the_password_in_a_session_r47(app: App) {
    let phone = app.register("ann").await.log_in().await;
    let script = phone.create_access_token("a script", "full").await;
    for (method, path) in [
        ("POST", "change_password/"),
        ("POST", "change_username/"),
        ("POST", "change_email/"),
        ("POST", "delete/"),
        ("POST", "tokens/"),
        ("POST", "confirm_password/"),
        ("GET", "export/"),
        ("DELETE", "sessions/"),
    ] {
        let refused = script.request(method, path).json(&fields()).await;
        refused.assert_status(403).assert_code("session_required");
    }
    // These operations require no password. A token may also revoke itself.
    let other = phone.create_access_token("another", "full").await;
    script.post("resend_verification/", &json!({})).await.assert_status(200);
    script.revoke(&other).await.assert_status(204);
    script.log_out().await.assert_status(204);
    script.assert_logged_out().await;
    assert!(phone.access_tokens().await.iter().all(|token| token["id"] != script.id));

    app.clock.advance(Duration::from_mins(10));
    phone.try_create_access_token("late", "read", 1).await.assert_code("reauth_required");
}

/// Changes the password with the choice to revoke the access tokens.
async fn change_password(device: &mut Device, current: &str, new: &str, revoke: bool) {
    let body = json!({ "current_password": current, "new_password": new, "revoke_access_tokens": revoke });
    device.token = device.post("change_password/", &body).await.token();
}

async fn a_new_password_revokes_access_tokens_on_request(app: App) {
    let mut phone = app.register("ann").await.log_in().await;
    let script = phone.create_access_token("a script", "full").await;
    // A value of another type is rejected, because the caller expects that the tokens are revoked.
    for odd in [json!("true"), json!(1), json!([])] {
        let body = json!({ "current_password": PASSWORD, "new_password": NEW, "revoke_access_tokens": odd });
        phone.post("change_password/", &body).await.assert_status(400);
    }
    phone.change_password(NEW).await;
    script.assert_logged_in().await;
    change_password(&mut phone, NEW, PASSWORD, true).await;
    script.assert_logged_out().await;

    let script = phone.create_access_token("a script", "full").await;
    let body = json!({ "current_password": PASSWORD, "new_password": NEW, "revoke_access_tokens": true });
    phone.call("change_password", &body).await.assert_status(200);
    script.assert_logged_out().await;
}

async fn the_mail_says_whether_access_tokens_were_revoked(app: App) {
    let mut phone = app.register("ann").await.log_in().await;
    phone.create_access_token("a script", "full").await;
    app.deliver().await;
    phone.change_password(NEW).await;
    let kept = app.deliver_one().await.to_text();
    assert!(kept.contains("Access tokens were not revoked and still work."), "{kept}");
    change_password(&mut phone, NEW, PASSWORD, true).await;
    let revoked = app.deliver_one().await.to_text();
    assert!(revoked.contains("All access tokens were revoked."), "{revoked}");
}

async fn a_new_token_is_announced_by_mail(app: App) {
    let phone = app.register("ann").await.log_in().await;
    app.deliver().await;
    phone.try_create_access_token("", "read", 30).await.assert_status(400);
    phone.create_access_token("a script", "read").await;
    // The rejected token causes no notice.
    let notice = app.deliver_one().await;
    assert_eq!(notice.to, "ann@example.org");
    assert_eq!(notice.subject, "A new access token at Vestibule");
    let text = notice.to_text();
    assert!(text.contains("account ann at Vestibule on 22 November 2026, 12:00 UTC"), "{text}");
}

async fn a_tokens_use_is_noted_once_a_minute(mut app: App) {
    let phone = app.register("ann").await.log_in().await;
    let script = phone.create_access_token("a script", "read").await;
    for (wait, noted) in [(0, "12:00:00"), (59, "12:00:00"), (1, "12:01:00"), (60, "12:02:00")] {
        app.clock.advance(Duration::from_secs(wait));
        script.assert_logged_in().await;
        app.maintenance.as_mut().unwrap().flush().await;
        assert_eq!(phone.access_tokens().await[0]["last_used_at"], format!("2026-11-22T{noted}Z"));
    }
}

#[tokio::test]
async fn noting_uses_waits_for_no_locked_row_r98() {
    let mut app = App::start(Backend::Postgres).await;
    let ann = app.register("ann").await;
    let (phone, laptop) = (ann.log_in().await, ann.log_in().await);
    let (first, second) =
        (phone.create_access_token("first", "read").await, phone.create_access_token("second", "read").await);
    app.clock.advance(Duration::from_mins(1));
    phone.assert_logged_in().await;
    laptop.assert_logged_in().await;
    first.assert_logged_in().await;
    second.assert_logged_in().await;

    let mut other = app.observer().await;
    let mut holder = other.begin().await.unwrap();
    for table in ["sessions", "access_tokens"] {
        let sql = format!("SELECT 1 FROM {table} ORDER BY id LIMIT 1 FOR UPDATE");
        holder.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
    }
    app.maintenance.as_mut().unwrap().flush().await;
    holder.rollback().await.unwrap();

    let mut noted = async |table, column| {
        let sql = format!("SELECT {column} FROM {table} ORDER BY id");
        let times: Vec<Option<i64>> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(&mut other).await.unwrap();
        times.into_iter().map(|time| time == Some(app.now().as_millis())).collect::<Vec<_>>()
    };
    assert_eq!(noted("sessions", "last_seen_at").await, [false, true]);
    assert_eq!(noted("access_tokens", "last_used_at").await, [false, true]);
}

async fn a_request_for_a_token_is_checked_field_by_field(app: App) {
    let phone = app.register("ann").await.log_in().await;
    let refused = phone.try_create_access_token("", "write", 0).await;
    snapshot!(refused.text, @r#"{"status":"fail","code":"invalid","error":"Please correct the marked fields.","errors":{"days":["Choose 1 to 366 days."],"name":["Please fill in this field."],"scope":["Choose read or full."]}}"#);
    for days in [367, -1, i64::MAX] {
        let refused = phone.try_create_access_token("x", "read", days).await;
        refused.assert_field_error("days", "Choose 1 to 366 days.");
    }
    for body in [
        json!({}),
        json!({ "name": 1, "scope": true, "days": "30" }),
        json!({ "name": "x", "scope": "read", "days": 1.5 }),
    ] {
        phone.post("tokens/", &body).await.assert_status(400);
    }
    assert!(phone.access_tokens().await.is_empty());
}

async fn the_challenge_names_the_missing_scope_r35(app: App) {
    let script = app.register("ann").await.log_in().await.create_access_token("a script", "read").await;
    let refused = script.delete("sessions/").await;
    let challenge = refused.assert_status(403).header("www-authenticate");
    assert_eq!(challenge, "Bearer error=\"insufficient_scope\"");
}
