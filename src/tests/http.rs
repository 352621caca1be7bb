//! HTTP in general: headers, error responses, hostile input. These tests use one database, unless a test states
//! otherwise.

mod cors;
mod guards;
mod hostile;
mod log;
mod pages;

use std::collections::BTreeSet;

use serde_json::json;

use crate::{
    on_both,
    util::{App, Backend, PASSWORD, some_address},
};

const AUTH: &str = "/api/accounts/api_auth/";
const REGISTER: &str = "/api/accounts/api_register/";
const ME: &str = "/api/accounts/me/";
const LOGOUT: &str = "/api/accounts/logout/";

async fn app() -> App {
    App::start(Backend::Sqlite).await
}

#[tokio::test]
async fn the_contract_of_the_json_api_holds_to_the_letter() {
    let app = app().await;
    let body = json!({ "email": "ann@example.org", "username": "ann", "password": PASSWORD });
    let made = app.post(REGISTER, &body).send().await;
    insta::assert_snapshot!(made.shape(), @r#"
    200 OK
    cache-control: no-store
    content-type: application/json; charset=utf-8
    vary: Authorization, Origin, Sec-Fetch-Site
    {"status":"ok","response":"The account is created!"}
    "#);
    let bad = app.post(REGISTER, &json!({ "email": "x", "username": 3 })).send().await;
    insta::assert_snapshot!(bad.shape(), @r#"
    400 Bad Request
    cache-control: no-store
    content-type: application/json; charset=utf-8
    vary: Authorization, Origin, Sec-Fetch-Site
    {"status":"fail","errors":{"email":["Enter a full email address, such as name@example.org."],"password":["Please fill in this field."],"username":["Please fill in this field."]}}
    "#);
    let auth = app.log_in("ann", PASSWORD).await.json();
    let keys: BTreeSet<&str> = auth.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, BTreeSet::from(["expires_at", "status", "token"]));
    assert_eq!(auth["expires_at"], "2026-11-23T12:00:00Z");
    for incomplete in [
        json!({}),
        json!({ "email": "ann" }),
        json!({ "email": 1, "password": [] }),
        json!([]),
        json!("x"),
        json!({ "email": null, "password": PASSWORD }),
        json!({ "email": "", "password": "" }),
    ] {
        let answer = app.post(AUTH, &incomplete).from(&some_address()).send().await;
        assert_eq!(answer.status, 400);
        let expected = r#"{"status":"fail","token":"","error":"Please provide both email and password."}"#;
        assert_eq!(answer.text, expected, "{incomplete}");
    }
    let stranger = app.get(ME).send().await;
    insta::assert_snapshot!(stranger.shape(), @r#"
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
    app.register("ann").await;
    let token = app.token("ann").await;
    for path in [ME, ME.trim_end_matches('/')] {
        let me = app.get(path).header("authorization", format!("Token {token}")).send().await;
        assert_eq!(me.status, 200, "{path}");
    }
    let out = app.request("POST", LOGOUT).header("authorization", format!("Token {token}")).send().await;
    assert_eq!(out.status, 204, "without a body and a content type");
}

#[tokio::test]
async fn a_token_counts_only_in_the_authorization_header_r34() {
    let app = app().await;
    app.register("ann").await;
    let token = app.token("ann").await;
    let elsewhere = [
        app.get(&format!("{ME}?token={token}&access_token={token}")),
        app.get(ME).header("cookie", format!("token={token}; session={token}")),
        app.get(ME).header("x-auth-token", &token),
        app.get(ME).header("authorization", &token),
        app.get(ME).header("authorization", format!("Basic {token}")),
        app.get(ME).bearer(&token).bearer(&token),
    ];
    let stranger = app.get(ME).send().await.shape();
    for call in elsewhere {
        assert_eq!(call.send().await.shape(), stranger, "the same response for all");
    }
    let path = app.get(&format!("{ME}{token}")).send().await;
    assert_eq!(path.status, 404);
    let body = app.post(LOGOUT, &json!({ "token": token })).send().await;
    assert_eq!(body.status, 401);
    assert_eq!(app.me(&token).await, 200);
}

#[tokio::test]
async fn a_malformed_authorization_header_is_a_401_r35() {
    let app = app().await;
    let long = vec![b'a'; 8192];
    for value in [&b"Bearer"[..], b"Bearer ", b"Bearer \xff\xfe", b"\x80", b"Bearer vst_", b"Bearer ' OR 1=1 --", &long]
    {
        assert_eq!(app.get(ME).header("authorization", value).send().await.status, 401, "{value:?}");
    }
}

/// The routes that need no token. A new route that is not in this list must require one.
const PUBLIC: [&str; 30] = [
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
    "/account/data",
    "/forgot",
    "/reset",
    "/verify",
    "/confirm-email",
    "/undo-email",
];

/// The routes that redeem or request a link in a mail.
const BY_LINK: [&str; 11] = [
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
];

#[tokio::test]
async fn everything_but_the_public_list_wants_a_token_r46() {
    let app = app().await;
    let paths = app.pipeline.routes().paths();
    assert!(
        PUBLIC.iter().chain(&BY_LINK).all(|public| paths.iter().any(|path| path == public)),
        "the list contains only existing routes"
    );
    // Contains every field that any of the routes requires, so that only the token is missing.
    let fields = json!({ "id": "0", "username": "annie", "password": "x", "current_password": "x", "new_password": "x",
        "email": "new@example.org", "new_email": "new@example.org", "name": "x", "scope": "read", "days": 1 });
    let mut closed = 0;
    let is_public = |path: &str| PUBLIC.contains(&path) || BY_LINK.contains(&path.trim_end_matches('/'));
    for path in paths.iter().filter(|path| !is_public(path)) {
        let path = path.replace("{id}", "0");
        let mut wanted = 0;
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let status =
                app.request(method, &path).body("application/json", fields.to_string()).send().await.status.as_u16();
            assert!([401, 405].contains(&status), "{method} {path}: {status}");
            wanted += usize::from(status == 401);
        }
        assert!(wanted > 0, "{path}");
        closed += wanted;
    }
    assert_eq!(closed, 51, "17 calls of the API, with and without the slash, and 17 server functions");
}

#[tokio::test]
async fn every_server_function_is_called_by_post_r71() {
    let methods: BTreeSet<String> = server_fn::axum::server_fn_paths().map(|(_, method)| method.to_string()).collect();
    assert_eq!(methods, BTreeSet::from(["POST".to_owned()]));
}

#[tokio::test]
async fn one_users_token_never_reaches_anothers_account_r45() {
    let app = app().await;
    app.register("ann").await;
    app.register("bob").await;
    let (ann, bob) = (app.token("ann").await, app.token("bob").await);
    let id = app.get(ME).bearer(&bob).send().await.json()["id"].clone();
    let me = app.get(&format!("{ME}?id={}", id.as_str().unwrap())).bearer(&ann).send().await.json();
    assert_eq!(me["username"], "ann", "no identifier in a request selects the account");
    let body = json!({ "id": id, "user_id": id, "token": bob });
    assert_eq!(app.post(LOGOUT, &body).bearer(&ann).send().await.status, 204);
    assert_eq!((app.me(&ann).await.as_u16(), app.me(&bob).await.as_u16()), (401, 200));
}
