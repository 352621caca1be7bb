//! Browser apps of other origins, each of which the operator allows by name.

use super::*;
use crate::util::Request;

const APP: &str = "https://app.example.org";

async fn app_with(origins: &[&str]) -> App {
    let origins = origins.iter().map(|&origin| origin.to_owned()).collect();
    App::start_with(Backend::Sqlite, |config| config.server.allowed_origins = origins).await
}

/// Adds the headers that a browser sends from a page of another origin.
fn from_page(call: Request, origin: &str) -> Request {
    let call = call.from(&some_address()).header("origin", origin).header("sec-fetch-mode", "cors");
    call.header("sec-fetch-site", "cross-site").header("sec-fetch-dest", "empty")
}

fn preflight(app: &App, path: &str, origin: &str) -> Request {
    let call = from_page(app.request("OPTIONS", path), origin);
    call.header("access-control-request-method", "POST").header("access-control-request-headers", "content-type")
}

#[tokio::test]
async fn an_app_of_a_named_origin_uses_the_api_r74() {
    let app = app_with(&[APP, "http://localhost:5173"]).await;
    app.register("ann").await;
    for origin in [APP, "http://localhost:5173"] {
        let asked = preflight(&app, AUTH, origin).send().await;
        assert_eq!((asked.status.as_u16(), asked.header("access-control-allow-origin")), (204, origin));
        assert!(asked.header("access-control-allow-methods").contains("POST"));
        assert_eq!(asked.header("access-control-allow-headers"), "Authorization, Content-Type");
        assert!(asked.header("vary").contains("Origin"), "no cache serves it to another origin");
        let login = from_page(app.post(AUTH, &json!({ "email": "ann", "password": PASSWORD })), origin).send().await;
        assert_eq!((login.status.as_u16(), login.header("access-control-allow-origin")), (200, origin));
        assert!(login.header("vary").contains("Origin"));
        let token = login.json()["token"].as_str().unwrap().to_owned();
        let me = from_page(app.get(ME).bearer(&token), origin).send().await;
        assert_eq!((me.status.as_u16(), me.header("access-control-allow-origin")), (200, origin));
    }
}

#[tokio::test]
async fn an_app_of_a_named_origin_reads_what_is_wrong_r74() {
    let app = app_with(&[APP]).await;
    let refused = [
        (401, from_page(app.get(ME), APP)),
        (404, from_page(app.get("/api/accounts/nothing"), APP)),
        (405, from_page(app.get(AUTH), APP)),
        (413, from_page(app.request("POST", AUTH).body("application/json", "x".repeat(20_000)), APP)),
        (415, from_page(app.request("POST", AUTH).body("text/plain", "x"), APP)),
    ];
    for (status, call) in refused {
        let answer = call.send().await;
        assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (status, APP));
        assert!(answer.header("access-control-expose-headers").contains("Retry-After"));
    }
}

#[tokio::test]
async fn a_logout_in_an_app_of_a_named_origin_leaves_the_storage_of_our_own_page_alone() {
    let app = app_with(&[APP]).await;
    app.register("ann").await;
    let logout = async || app.post("/api/accounts/logout/", &json!({})).bearer(&app.token("ann").await);
    let ours = logout().await.header("sec-fetch-site", "same-origin").send().await;
    assert_eq!((ours.status.as_u16(), ours.header("clear-site-data")), (204, "\"storage\""));
    let delete = app.post("/api/accounts/delete/", &json!({ "username": "ann" })).bearer(&app.token("ann").await);
    for call in [logout().await, delete] {
        let theirs = from_page(call, APP).send().await;
        assert_eq!((theirs.status.as_u16(), theirs.headers.contains_key("clear-site-data")), (204, false));
    }
}

#[tokio::test]
async fn no_other_origin_is_let_in_r74() {
    let app = app_with(&[APP]).await;
    let body = json!({ "email": "ann", "password": PASSWORD });
    for origin in [
        "https://evil.example",
        "http://app.example.org",
        "https://app.example.org:8443",
        "https://app.example.org.evil.example",
        "https://evil.app.example.org",
        "https://APP.example.org",
        "https://app.example.org/",
        "null",
        "*",
        "",
    ] {
        for call in [preflight(&app, AUTH, origin), from_page(app.post(AUTH, &body), origin)] {
            let answer = call.send().await;
            assert_eq!(answer.status, 403, "{origin}");
            assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control-")), "{origin}");
        }
    }
    let twice = from_page(app.post(AUTH, &body), APP).header("origin", "https://evil.example").send().await;
    assert_eq!(twice.status, 403, "two origins are invalid");
}

#[tokio::test]
async fn a_named_origin_gets_nothing_but_the_api_r72_r74() {
    let app = app_with(&[APP]).await;
    let body = json!({ "email": "ann", "password": PASSWORD });
    let calls = [
        (403, preflight(&app, "/fn/login", APP)),
        (403, from_page(app.post("/fn/login", &body), APP)),
        (405, preflight(&app, "/login", APP)),
        (200, from_page(app.get("/login"), APP)),
        (200, from_page(app.get("/healthz"), APP)),
    ];
    for (status, call) in calls {
        let answer = call.send().await;
        assert_eq!(answer.status, status);
        assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control-")));
    }
    let api = from_page(app.get(ME), APP).send().await;
    assert!(!api.headers.contains_key("access-control-allow-credentials"), "cookies are never allowed");
    let host = from_page(app.get(ME), APP).replace_host("evil.example").send().await;
    assert_eq!(host.status, 421, "the host is checked first");
}
