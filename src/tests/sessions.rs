//! How sessions begin, are listed, and end, on both databases.

mod lifetime;

use std::time::Duration;

use serde_json::json;
use vestibule::{
    domain::{event::Via, username::Username},
    error::AppError,
    service::{
        Caller,
        admin::{Command, Reply},
    },
};

use crate::util::{
    App, Backend, NEW, PASSWORD,
    actors::Client,
    macros::{both, snapshot},
};

both! {
    sessions_are_listed_with_browser_network_and_times_r44,
    the_previous_login_belongs_to_the_session,
    ending_sessions_requires_a_confirmed_password_r47,
    a_confirmation_from_the_clocks_future_is_invalid_r99,
    all_other_sessions_end_at_once_r41,
    the_session_of_another_user_is_unknown_r45,
    the_page_can_do_what_the_api_can_r15,
    an_operation_fails_if_its_session_ends_meanwhile_r41,
    a_restart_keeps_accounts_sessions_and_logouts_r41,
    disabling_an_account_ends_its_sessions_for_good_r43,
    the_operators_new_password_ends_every_session,
    a_logout_is_known_to_every_server_at_once_r41,
    a_logout_wins_against_parallel_requests_r41,
}

async fn sessions_are_listed_with_browser_network_and_times_r44(app: App) {
    let (ann, bob) = (app.register("ann").await, app.register("bob").await);
    bob.log_in().await;
    let firefox = "Mozilla/5.0 (Windows NT 10.0; rv:145.0) Gecko/20100101 Firefox/145.0";
    let log_in = ann.try_log_in(PASSWORD).header("user-agent", firefox).from("192.0.2.77");
    let laptop_token = log_in.await.token();
    app.clock.advance(Duration::from_hours(1));
    let phone = ann.log_in().await;

    let sessions = phone.sessions().await;
    assert_eq!(sessions.len(), 2);
    assert_eq!(sessions[0]["current"], true);
    let mut older = sessions[1].clone();
    let id = older.as_object_mut().unwrap().remove("id").unwrap();
    assert_eq!(id.as_str().unwrap().len(), 36);
    snapshot!(older.to_string(), @r#"{"client":"Firefox on Windows","created_at":"2026-11-22T12:00:00Z","current":false,"expires_at":"2026-11-23T12:00:00Z","last_seen_at":"2026-11-22T12:00:00Z","network":"192.0.2.x"}"#);
    let text = phone.get("sessions/").await.text;
    assert!(!text.contains(&laptop_token), "{text}");
    assert!(!text.contains(&phone.token), "{text}");
    assert!(!text.contains("192.0.2.77"), "{text}");

    // The laptop's session expired after four hours without use.
    app.clock.advance(Duration::from_hours(3));
    let sessions = phone.sessions().await;
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions[0]["current"], true);
}

async fn the_previous_login_belongs_to_the_session(app: App) {
    let ann = app.register("ann").await;
    let first = ann.log_in().await;
    assert_eq!(first.me().await.get("previous_login_at"), None);
    app.clock.advance(Duration::from_mins(90));
    ann.assert_cannot_log_in("wrong").await;
    let second = ann.log_in().await;
    assert_eq!(second.me().await["previous_login_at"], "2026-11-22T12:00:00Z");
    assert_eq!(first.me().await.get("previous_login_at"), None);
}

async fn ending_sessions_requires_a_confirmed_password_r47(app: App) {
    let ann = app.register("ann").await;
    let (mut phone, mut laptop) = (ann.log_in().await, ann.log_in().await);
    let id_of_laptop = laptop.session_id().await;
    app.clock.advance(Duration::from_mins(10));
    let refused = phone.end_other_sessions().await;
    snapshot!(refused.shape(), @r#"
    403 Forbidden
    cache-control: no-store
    content-type: application/json; charset=utf-8
    vary: Authorization, Origin, Sec-Fetch-Site
    {"status":"fail","code":"reauth_required","error":"Confirm your password first, then try again."}
    "#);
    phone.end_session(&id_of_laptop).await.assert_status(403);
    laptop.assert_logged_in().await;
    // A password check applies to its own session only.
    laptop.confirm_password().await;
    phone.end_session(&id_of_laptop).await.assert_status(403);

    // R17: the new token replaces the old one, so a stolen copy is revoked.
    let copy = phone.clone();
    let confirmed = phone.confirm_password().await;
    assert_eq!(confirmed.json()["until"], "2026-11-22T12:20:00Z");
    copy.assert_logged_out().await;

    app.clock.advance(Duration::from_millis(599_999));
    phone.end_session(&id_of_laptop).await.assert_status(204);
    laptop.assert_logged_out().await;
    phone.end_session(&id_of_laptop).await.assert_status(404);
    app.clock.advance(Duration::from_millis(1));
    phone.end_session(&id_of_laptop).await.assert_status(403);
}

async fn a_confirmation_from_the_clocks_future_is_invalid_r99(app: App) {
    let mut phone = app.register("ann").await.log_in().await;
    app.clock.advance(Duration::from_hours(1));
    phone.confirm_password().await;
    app.clock.go_back(Duration::from_millis(300_001));
    phone.end_other_sessions().await.assert_status(403);
    app.clock.advance(Duration::from_millis(1));
    phone.end_other_sessions().await.assert_status(200);
}

async fn all_other_sessions_end_at_once_r41(app: App) {
    let (ann, bob) = (app.register("ann").await, app.register("bob").await);
    let (phone, bobs_phone) = (ann.log_in().await, bob.log_in().await);
    let (laptop, tablet) = (ann.log_in().await, ann.log_in().await);
    laptop.assert_logged_in().await;
    tablet.assert_logged_in().await;
    let ended = phone.end_other_sessions().await;
    assert_eq!(ended.json(), json!({ "status": "ok", "sessions_ended": 2 }));
    laptop.assert_logged_out().await;
    tablet.assert_logged_out().await;
    phone.assert_logged_in().await;
    bobs_phone.assert_logged_in().await;
}

async fn the_session_of_another_user_is_unknown_r45(app: App) {
    let ann = app.register("ann").await.log_in().await;
    let bob = app.register("bob").await.log_in().await;
    let id_of_bob = bob.session_id().await;
    for unknown in [&id_of_bob, "00000000-0000-7000-8000-000000000000", "none", "%00", "%ff"] {
        ann.end_session(unknown).await.assert_status(404).assert_code("not_found");
    }
    ann.call("end_session", &json!({ "id": "\u{0}" })).await.assert_status(404).assert_code("not_found");
    bob.assert_logged_in().await;
}

async fn the_page_can_do_what_the_api_can_r15(app: App) {
    let ann = app.register("ann").await;
    let (phone, laptop) = (ann.log_in().await, ann.log_in().await);
    let sessions = phone.call("sessions", &json!({})).await.json();
    assert_eq!(sessions.as_array().unwrap().len(), 2);
    app.clock.advance(Duration::from_mins(11));
    let refused = phone.call("end_other_sessions", &json!({})).await;
    refused.assert_status(403).assert_code("reauth_required");
    let wrong = phone.call("confirm_password", &json!({ "password": "wrong" })).await;
    wrong.assert_status(403).assert_code("wrong_password");

    let confirmed = phone.call("confirm_password", &json!({ "password": PASSWORD })).await;
    let phone = app.device(&confirmed.token());
    let other = sessions.as_array().unwrap().iter().find(|session| session["current"] == false).unwrap();
    phone.call("end_session", &json!({ "id": other["id"] })).await.assert_status(200);
    laptop.assert_logged_out().await;

    let body = json!({ "current_password": PASSWORD, "new_password": NEW });
    let changed = phone.call("change_password", &body).await;
    app.device(&changed.token()).assert_logged_in().await;
    ann.assert_can_log_in(NEW).await;
}

async fn an_operation_fails_if_its_session_ends_meanwhile_r41(app: App) {
    let ann = app.register("ann").await;
    let phone = ann.log_in().await;
    let proven = app.service.require_reauth(&phone.session_token()).await.unwrap();
    phone.log_out().await.assert_status(204);
    let name = Username::parse("annie").unwrap();
    let caller = Caller { address: "192.0.2.1".parse().unwrap(), agent: String::new(), via: Via::Api };
    let outcomes = [
        app.service.change_username(&caller, &proven, &name).await.map(drop),
        app.service.end_other_sessions(&caller, &proven).await.map(drop),
        app.service.end_session(&caller, &proven, &proven.session().id).await,
        app.service.delete_account(&caller, &proven, "ann").await,
    ];
    for outcome in outcomes {
        assert_eq!(outcome.map_err(AppError::from), Err(AppError::SessionEnded));
    }
    ann.assert_can_log_in(PASSWORD).await;
}

async fn a_restart_keeps_accounts_sessions_and_logouts_r41(app: App) {
    let ann = app.register("ann").await;
    let (phone, laptop) = (ann.log_in().await, ann.log_in().await);
    laptop.log_out().await.assert_status(204);
    let _app = app.restart().await;
    phone.assert_logged_in().await;
    laptop.assert_logged_out().await;
    ann.assert_can_log_in(PASSWORD).await;
}

async fn disabling_an_account_ends_its_sessions_for_good_r43(app: App) {
    let ann = app.register("ann").await;
    let phone = ann.log_in().await;
    phone.assert_logged_in().await;
    let disabled = app.administer(Command::Disable { who: ann.email(), force: false }).await;
    assert_eq!(disabled, Reply::Done { username: "ann".to_owned(), sessions: 1 });
    phone.assert_logged_out().await;
    let refused = ann.try_log_in(PASSWORD).await;
    app.administer(Command::Enable { who: ann.email() }).await;
    let wrong = ann.try_log_in("wrong").await;
    assert_eq!(refused.shape(), wrong.shape(), "a disabled account gets the same response as a wrong password");
    phone.assert_logged_out().await;
    ann.assert_can_log_in(PASSWORD).await;
}

async fn the_operators_new_password_ends_every_session(app: App) {
    let ann = app.register("ann").await;
    let (phone, laptop) = (ann.log_in().await, ann.log_in().await);
    phone.assert_logged_in().await;
    laptop.assert_logged_in().await;
    let set = Command::SetPassword { who: "ann".to_owned(), password: NEW.to_owned() };
    let done = app.administer(set).await;
    assert_eq!(done, Reply::Done { username: "ann".to_owned(), sessions: 2 });
    phone.assert_logged_out().await;
    laptop.assert_logged_out().await;
    ann.assert_cannot_log_in(PASSWORD).await;
    ann.assert_can_log_in(NEW).await;
}

async fn a_logout_is_known_to_every_server_at_once_r41(app: App) {
    // A SQLite file is locked by one server, so both apps are the same there.
    let sibling = if app.backend == Backend::Postgres { Some(app.sibling().await) } else { None };
    let other = sibling.as_ref().unwrap_or(&app);
    let ann = app.register("ann").await;
    for _ in 0..20 {
        let phone = ann.log_in().await;
        let phone_elsewhere = other.device(&phone.token);
        phone_elsewhere.assert_logged_in().await;
        phone.log_out().await.assert_status(204);
        phone_elsewhere.assert_logged_out().await;
    }
}

async fn a_logout_wins_against_parallel_requests_r41(app: App) {
    let ann = app.register("ann").await;
    for _ in 0..10 {
        let phone = ann.log_in().await;
        let checks = futures_util::future::join_all((0..50).map(|_| phone.get("me/").send()));
        // A logout has no body.
        let (_, out) = tokio::join!(checks, phone.request("POST", "logout/").send());
        out.assert_status(204);
        phone.assert_logged_out().await;
    }
}
