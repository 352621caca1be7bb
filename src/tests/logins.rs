//! Logging in, on both databases.

use std::time::Duration;

use serde_json::json;
use vestibule::service::admin::Command;

use crate::util::{
    App, PASSWORD,
    actors::Client,
    hash_like_the_program,
    macros::{both, snapshot},
};

both! {
    a_person_registers_logs_in_and_logs_out_r37,
    every_failing_login_answers_alike_and_costs_one_hash_r13_r14,
    both_spellings_of_a_password_log_in_r26,
    nobody_can_log_in_to_a_fresh_server_r9,
    a_token_sent_by_the_client_is_never_taken_over_r17,
    a_login_is_one_request_and_stores_no_step_r18,
}

async fn a_person_registers_logs_in_and_logs_out_r37(app: App) {
    app.register("ann").await;
    let phone = app.user("ann@example.org").log_in().await;
    let laptop = app.user("ANN").log_in().await;
    assert_ne!(phone.token, laptop.token, "every login has its own token");
    let me = phone.get("me").await.json();
    assert_eq!(me["email"], "ann@example.org");
    assert_eq!(me["username"], "ann");

    let out = phone.log_out().await;
    snapshot!(out.shape(), @r#"
    204 No Content
    clear-site-data: "storage"
    cache-control: no-store
    vary: Authorization, Origin, Sec-Fetch-Site
    "#);
    phone.assert_logged_out().await;
    laptop.assert_logged_in().await;
}

async fn every_failing_login_answers_alike_and_costs_one_hash_r13_r14(app: App) {
    let app = app.restart_changed(hash_like_the_program).await;
    app.register("ann").await;
    app.register("closed").await;
    app.administer(Command::Disable { who: "closed".to_owned(), force: false }).await;
    let too_long = "x".repeat(2000);
    for (who, password) in [
        ("ann", "wrong"),
        ("ann@example.org", "wrong"),
        ("unknown", PASSWORD),
        ("unknown@example.org", PASSWORD),
        ("closed", PASSWORD),
        ("closed", "wrong"),
        ("ann", too_long.as_str()),
        ("no name at all!", PASSWORD),
        ("a\0b", PASSWORD),
        ("ann", "tidal marmot kettle\0"),
    ] {
        let before = app.service.hashes_run();
        let response = app.user(who).try_log_in(password).await;
        assert_eq!(app.service.hashes_run() - before, 1, "{who}: the same amount of work");
        snapshot!(response.shape(), @r#"
        400 Bad Request
        cache-control: no-store
        content-type: application/json; charset=utf-8
        vary: Authorization, Origin, Sec-Fetch-Site
        {"status":"fail","token":"","error":"Wrong email or password."}
        "#);
    }
}

async fn both_spellings_of_a_password_log_in_r26(app: App) {
    let body = json!({ "email": "ann@example.org", "username": "ann", "password": "caf\u{e9} marmot kettle" });
    app.post("api_register/", &body).await.assert_status(200);
    app.user("ann").assert_can_log_in("cafe\u{301} marmot kettle").await;
}

async fn nobody_can_log_in_to_a_fresh_server_r9(app: App) {
    for (who, password) in [("admin", "admin"), ("root", "root"), ("admin@example.org", "password"), ("admin", "")] {
        app.user(who).assert_cannot_log_in(password).await;
    }
    assert!(app.store.list_users("", 1).await.unwrap().is_empty());
}

async fn a_token_sent_by_the_client_is_never_taken_over_r17(app: App) {
    app.register("ann").await;
    let body = json!({ "email": "ann", "password": PASSWORD, "token": "vst_chosen", "session": "chosen" });
    let request = app.post("api_auth/?token=vst_chosen", &body).header("cookie", "session=chosen");
    let response = request.bearer("vst_chosen").await;
    assert_ne!(response.token(), "vst_chosen");
    app.device("vst_chosen").assert_logged_out().await;
}

async fn a_login_is_one_request_and_stores_no_step_r18(mut app: App) {
    app.register("ann").await;
    for half in [json!({ "email": "ann" }), json!({ "password": PASSWORD }), json!({ "email": "ann" })] {
        for path in ["api_auth/", "/fn/login"] {
            let response = app.post(path, &half).await;
            response.assert_status(400);
            assert!(!response.text.contains("vst_"), "{path} {half}");
        }
    }
    app.clock.advance(Duration::from_hours(99));
    let expired = app.maintenance.as_mut().unwrap().sweep_all().await.unwrap();
    assert_eq!(expired, 2, "only the counters of the registration's address");
}
