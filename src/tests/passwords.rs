//! Changing and confirming passwords, on both databases.

mod hashing;
mod rating;

use std::time::Duration;

use serde_json::json;

use crate::util::{
    App, NEW, PASSWORD,
    actors::Client,
    macros::{both, snapshot},
};

both! {
    changing_the_password_ends_every_other_session_r17_r28,
    no_password_is_changed_without_the_current_one_r27,
    a_stolen_token_is_no_way_to_guess_the_password_r87,
    nothing_sensitive_is_done_without_the_password_r27_r47,
}

async fn changing_the_password_ends_every_other_session_r17_r28(app: App) {
    let (ann, bob) = (app.register("ann").await, app.register("bob").await);
    let (mut phone, laptop, bobs_phone) = (ann.log_in().await, ann.log_in().await, bob.log_in().await);
    phone.assert_logged_in().await;
    laptop.assert_logged_in().await;
    let copy = phone.clone();

    let changed = phone.change_password(NEW).await;

    snapshot!(changed.shape().replace(&phone.token, "…"), @r#"
    200 OK
    cache-control: no-store
    content-type: application/json; charset=utf-8
    vary: Authorization, Origin, Sec-Fetch-Site
    {"status":"ok","token":"…","sessions_ended":1}
    "#);
    phone.assert_logged_in().await;
    copy.assert_logged_out().await;
    laptop.assert_logged_out().await;
    bobs_phone.assert_logged_in().await;
    ann.assert_cannot_log_in(PASSWORD).await;
    ann.assert_can_log_in(NEW).await;
}

async fn no_password_is_changed_without_the_current_one_r27(app: App) {
    let ann = app.register("ann").await;
    let (phone, laptop) = (ann.log_in().await, ann.log_in().await);

    let wrong = phone.try_change_password("wrong", NEW).await;
    snapshot!(wrong.shape(), @r#"
    403 Forbidden
    cache-control: no-store
    content-type: application/json; charset=utf-8
    vary: Authorization, Origin, Sec-Fetch-Site
    {"status":"fail","code":"wrong_password","error":"That is not your password. Check it and try again."}
    "#);
    let invalid = phone.try_change_password("", "short").await;
    snapshot!(invalid.text, @r#"{"status":"fail","code":"invalid","error":"Please correct the marked fields.","errors":{"current_password":["Please fill in this field."],"new_password":["Use at least 8 characters."]}}"#);
    let weak = phone.try_change_password(PASSWORD, "ann@example.org").await;
    weak.assert_status(400).assert_contains("new_password").assert_contains("your email");
    for body in [json!({}), json!({ "new_password": NEW }), json!({ "current_password": null, "new_password": NEW })] {
        phone.post("change_password/", &body).await.assert_status(400);
    }

    ann.assert_can_log_in(PASSWORD).await;
    phone.assert_logged_in().await;
    laptop.assert_logged_in().await;
}

async fn a_stolen_token_is_no_way_to_guess_the_password_r87(app: App) {
    let ann = app.register("ann").await;
    let mut phone = ann.log_in().await;
    for _ in 0..2 {
        phone.try_confirm_password("wrong").await.assert_status(403);
        phone.try_change_password("wrong", NEW).await.assert_status(403);
    }
    phone.try_confirm_password("wrong").await.assert_status(403);
    phone.try_change_password("wrong", NEW).await.assert_status(429);
    phone.try_confirm_password("wrong").await.assert_status(429);
    phone.try_confirm_password(PASSWORD).await.assert_status(429);

    app.clock.advance(Duration::from_secs(1));
    phone.confirm_password().await;
    // The success has reset the count of failures.
    phone.try_confirm_password("wrong").await.assert_status(403);
}

async fn nothing_sensitive_is_done_without_the_password_r27_r47(app: App) {
    let phone = app.register("ann").await.log_in().await;
    app.clock.advance(Duration::from_mins(11));
    let fields = json!({ "username": "ann", "id": "00000000-0000-7000-8000-000000000000" });
    for (method, path) in [
        ("POST", "change_username/"),
        ("GET", "export/"),
        ("POST", "delete/"),
        ("DELETE", "sessions/"),
        ("DELETE", "sessions/00000000-0000-7000-8000-000000000000/"),
        ("POST", "/fn/end_session"),
        ("POST", "/fn/end_other_sessions"),
    ] {
        let refused = phone.request(method, path).json(&fields).await;
        refused.assert_status(403).assert_code("reauth_required");
    }
    phone.assert_logged_in().await;
}
