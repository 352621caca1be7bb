//! HTTP in general: headers, error responses, hostile input. These tests use SQLite, unless a test states otherwise.

mod cors;
mod guards;
mod hostile;
mod log;
mod pages;

use std::collections::BTreeSet;

use serde_json::json;

use crate::util::{
    App, Backend, PASSWORD, Request,
    actors::{Client, User},
    macros::snapshot,
};

/// Where a user logs in: through the API and on the page.
const LOG_IN: [&str; 2] = ["api_auth/", "/fn/login"];

/// Where a user registers.
const REGISTER: [&str; 2] = ["api_register/", "/fn/register"];

async fn app() -> App {
    App::start(Backend::Sqlite).await
}

impl User {
    /// Logs in with [`PASSWORD`], through the API or on the page.
    fn log_in_through(&self, path: &str) -> Request {
        self.post(path, &json!({ "email": self.name, "password": PASSWORD }))
    }
}

#[tokio::test]
async fn the_json_of_a_registration_is_fixed() {
    let app = app().await;
    let created = app.user("ann").register().await;
    snapshot!(created.shape(), @r#"
    200 OK
    cache-control: no-store
    content-type: application/json; charset=utf-8
    vary: Authorization, Origin, Sec-Fetch-Site
    {"status":"ok","response":"The account is created!"}
    "#);
    let rejected = app.post("api_register/", &json!({ "email": "x", "username": 3 })).await;
    snapshot!(rejected.shape(), @r#"
    400 Bad Request
    cache-control: no-store
    content-type: application/json; charset=utf-8
    vary: Authorization, Origin, Sec-Fetch-Site
    {"status":"fail","errors":{"email":["Enter a full email address, such as name@example.org."],"password":["Please fill in this field."],"username":["Please fill in this field."]}}
    "#);
}

#[tokio::test]
async fn the_json_of_a_login_is_fixed() {
    let app = app().await;
    let login = app.register("ann").await.try_log_in(PASSWORD).await.json();
    let keys: BTreeSet<&str> = login.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, BTreeSet::from(["expires_at", "status", "token"]));
    assert_eq!(login["expires_at"], "2026-11-23T12:00:00Z");
}

#[tokio::test]
async fn an_incomplete_login_gets_one_fixed_response() {
    let app = app().await;
    app.register("ann").await;
    for incomplete in [
        json!({}),
        json!({ "email": "ann" }),
        json!({ "email": 1, "password": [] }),
        json!([]),
        json!("x"),
        json!({ "email": null, "password": PASSWORD }),
        json!({ "email": "", "password": "" }),
    ] {
        let rejected = app.post("api_auth/", &incomplete).with_fresh_address().await;
        assert_eq!(rejected.status, 400, "{incomplete}");
        snapshot!(rejected.text, @r#"{"status":"fail","token":"","error":"Please provide both email and password."}"#);
    }
}

#[tokio::test]
async fn the_response_to_a_request_without_a_token_is_fixed() {
    let app = app().await;
    let rejected = app.get("me/").await;
    snapshot!(rejected.shape(), @r#"
    401 Unauthorized
    www-authenticate: Bearer error="invalid_token"
    cache-control: no-store
    content-type: application/json; charset=utf-8
    vary: Authorization, Origin, Sec-Fetch-Site
    {"status":"fail","code":"session_ended","error":"You are not logged in, or your session or access token is no longer valid. Log in again, or create a new token."}
    "#);
}

#[tokio::test]
async fn a_client_of_django_rest_framework_works_unchanged() {
    let app = app().await;
    let phone = app.register("ann").await.log_in().await;
    let authorization = format!("Token {}", phone.token);
    for path in ["me/", "me"] {
        app.get(path).header("authorization", &authorization).await.assert_status(200);
    }
    // The client sends neither a body nor a content type.
    app.request("POST", "logout/").header("authorization", &authorization).await.assert_status(204);
    phone.assert_logged_out().await;
}

#[tokio::test]
async fn a_token_is_valid_only_in_the_authorization_header_r34() {
    let app = app().await;
    let phone = app.register("ann").await.log_in().await;
    let token = &phone.token;
    let without_token = app.get("me/").await.assert_status(401).shape();
    for request in [
        app.get(&format!("me/?token={token}&access_token={token}")),
        app.get("me/").header("cookie", format!("token={token}; session={token}")),
        app.get("me/").header("x-auth-token", token),
        app.get("me/").header("authorization", token),
        app.get("me/").header("authorization", format!("Basic {token}")),
        app.get("me/").bearer(token).bearer(token),
    ] {
        assert_eq!(request.await.shape(), without_token);
    }
    app.get(&format!("me/{token}")).await.assert_status(404);
    app.post("logout/", &json!({ "token": token })).await.assert_status(401);
    phone.assert_logged_in().await;
}

#[tokio::test]
async fn a_malformed_authorization_header_gets_a_401_r35() {
    let app = app().await;
    let long = vec![b'a'; 8192];
    for value in [&b"Bearer"[..], b"Bearer ", b"Bearer \xff\xfe", b"\x80", b"Bearer vst_", b"Bearer ' OR 1=1 --", &long]
    {
        let rejected = app.get("me/").header("authorization", value).await;
        rejected.assert_status(401).assert_header("www-authenticate", "Bearer error=\"invalid_token\"");
    }
}

/// The routes that require no token. A new route that is not in this list must require one.
const PUBLIC: [&str; 36] = [
    "/",
    "/login",
    "/register",
    "/logout",
    "/healthz",
    "/readyz",
    "/.well-known/change-password",
    "/manifest.webmanifest",
    "/brand/{file}",
    "/api/openapi.json",
    "/api/docs",
    "/api/docs/",
    "/api/docs.css",
    "/api/accounts/api_register",
    "/api/accounts/api_register/",
    "/api/accounts/api_auth",
    "/api/accounts/api_auth/",
    "/fn/login",
    "/fn/register",
    "/fn/judge_password",
    "/account",
    "/account/security",
    "/account/sessions",
    "/account/tokens",
    "/account/history",
    "/account/data",
    "/forgot",
    "/reset",
    "/verify",
    "/confirm-email",
    "/undo-email",
    "/setup",
    "/invite",
    "/operators",
    "/operators/accounts",
    "/operators/accounts/{id}",
];

/// The routes that redeem or request a link in a mail, or redeem the link that makes the first admin.
const BY_LINK: [&str; 13] = [
    "/api/accounts/verify_email",
    "/api/accounts/forgot_password",
    "/api/accounts/reset_password",
    "/api/accounts/confirm_email",
    "/api/accounts/undo_email",
    "/fn/check_link",
    "/fn/verify_email",
    "/fn/forgot_password",
    "/fn/reset_password",
    "/fn/confirm_email",
    "/fn/undo_email",
    "/api/admin/setup",
    "/fn/set_up",
];

#[tokio::test]
async fn every_path_but_the_public_ones_requires_a_token_r46() {
    let app = app().await;
    let paths = app.pipeline.routes().paths();
    for public in PUBLIC.iter().chain(&BY_LINK) {
        assert!(paths.iter().any(|path| path == public), "{public} doesn't exist");
    }
    // It contains every field that any of the routes requires. Only the token is missing.
    let fields = json!({
        "id": "0", "username": "annie", "password": "x", "current_password": "x", "new_password": "x",
        "email": "new@example.org", "new_email": "new@example.org", "name": "x", "scope": "read", "days": 1, "before": "",
        "query": {}, "joins": true, "act": "enable", "notify": false,
    });
    let is_public = |path: &str| PUBLIC.contains(&path) || BY_LINK.contains(&path.trim_end_matches('/'));
    let mut protected = 0;
    for path in paths.iter().filter(|path| !is_public(path)) {
        let mut methods = 0;
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let status = app.request(method, &path.replace("{id}", "0")).json(&fields).await.status;
            assert!(status == 401 || status == 405, "{method} {path}: {status}");
            methods += usize::from(status == 401);
        }
        assert!(methods > 0, "{path}");
        protected += methods;
    }
    assert_eq!(protected, 117, "44 calls of the API, with and without the slash, and 29 server functions");
}

#[tokio::test]
async fn every_server_function_is_called_by_post_r71() {
    let methods: BTreeSet<String> = server_fn::axum::server_fn_paths().map(|(_, method)| method.to_string()).collect();
    assert_eq!(methods, BTreeSet::from(["POST".to_owned()]));
}

#[tokio::test]
async fn no_field_of_a_request_selects_another_account_r45() {
    let app = app().await;
    let phone = app.register("ann").await.log_in().await;
    let bobs_phone = app.register("bob").await.log_in().await;
    let id_of_bob = bobs_phone.me().await["id"].as_str().unwrap().to_owned();
    let me = phone.get(&format!("me/?id={id_of_bob}")).await.json();
    assert_eq!(me["username"], "ann");
    let body = json!({ "id": id_of_bob, "user_id": id_of_bob, "token": bobs_phone.token });
    phone.post("logout/", &body).await.assert_status(204);
    phone.assert_logged_out().await;
    bobs_phone.assert_logged_in().await;
}
