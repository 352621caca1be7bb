//! Requests that are rejected on any path, by method, media type, site, host or file. Also the headers.

use std::collections::BTreeSet;

use axum::http::Version;
use serde_json::json;

use super::{LOG_IN, REGISTER, app};
use crate::util::{App, Backend, PASSWORD, Response, actors::Client};

#[tokio::test]
async fn paths_for_changes_accept_post_only_r71() {
    let app = app().await;
    for path in LOG_IN.into_iter().chain(REGISTER).chain(["logout/", "/fn/logout", "/fn/me"]) {
        for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "PATCH"] {
            app.request(method, path).await.assert_status(405).assert_header("allow", "POST");
        }
    }
    for path_for_reading in ["me/", "/login"] {
        app.post(path_for_reading, &json!({})).await.assert_status(405);
    }
}

#[tokio::test]
async fn only_json_bodies_are_accepted_r72() {
    let app = app().await;
    let body = json!({ "email": "ann@example.org", "username": "ann", "password": PASSWORD }).to_string();
    for path in LOG_IN.into_iter().chain(REGISTER).chain(["logout/"]) {
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/jsonp",
            "",
        ] {
            app.request("POST", path).body(kind, body.clone()).await.assert_status(415);
        }
        let without_kind = app.request("POST", path).header("content-length", body.len().to_string());
        without_kind.await.assert_status(415);
    }
    let other_spelling = app.request("POST", "api_register/").body("Application/JSON; charset=UTF-8", body);
    other_spelling.await.assert_status(200);
}

#[tokio::test]
async fn requests_from_pages_of_other_sites_are_rejected_r72_r74() {
    let app = app().await;
    let ann = app.register("ann").await;
    for path in LOG_IN {
        for (name, value) in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "?"),
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("origin", "http://localhost:8001"),
            ("origin", ""),
            ("origin", "http://localhost:8000.evil.example"),
            ("origin", "http://evil-localhost:8000"),
            ("origin", "localhost:8000"),
        ] {
            let rejected = ann.log_in_through(path).header(name, value).await;
            rejected.assert_status(403).assert_no_header("access-control-allow-origin");
        }
        let own = ann.log_in_through(path).header("sec-fetch-site", "same-origin");
        own.header("origin", "http://localhost:8000").await.assert_status(200);
    }
}

#[tokio::test]
async fn only_known_hosts_are_served_r78() {
    let app = App::start_with(Backend::Sqlite, |config| config.server.hosts = vec!["app.example.org".to_owned()]).await;
    for unknown in ["evil.example", "localhost.evil.example", "app.example.org.evil.example", ""] {
        app.get("me/").replace_host(unknown).await.assert_status(421);
    }
    for malformed in ["a b", "ann@localhost", "[::1", "localhost:x"] {
        app.get("me/").replace_host(malformed).await.assert_status(400);
    }
    for known in [
        "localhost",
        "localhost:8000",
        "127.0.0.1:8000",
        "[::1]:8000",
        "192.0.2.1",
        "APP.example.org",
        "app.example.org.",
        "app.example.org:443",
    ] {
        app.get("me/").replace_host(known).await.assert_status(401);
    }
}

/// Checks the headers that every response has.
#[track_caller]
fn assert_security_headers(response: &Response) {
    response.assert_header("x-content-type-options", "nosniff");
    response.assert_header("referrer-policy", "no-referrer");
    response.assert_header("x-frame-options", "DENY");
    response.assert_header("cross-origin-resource-policy", "same-origin");
    response.assert_header_contains("content-security-policy", "default-src 'none'");
    response.assert_header_contains("content-security-policy", "frame-ancestors 'none'");
    response.assert_header_contains("content-type", "charset=utf-8");
    for name in ["server", "set-cookie", "access-control-allow-origin"] {
        response.assert_no_header(name);
    }
    if !response.header("cache-control").contains("max-age") {
        response.assert_header("cache-control", "no-store");
    }
}

#[track_caller]
fn assert_reveals_no_internals(response: &Response) {
    for internal in ["sqlx", "SELECT", "panicked", ".rs:", "/src/", "vestibule/0", "expected value", "line 1"] {
        response.assert_not_contains(internal);
    }
}

#[tokio::test]
async fn every_response_has_the_security_headers_r36_r69_r73_r85() {
    let app = app().await;
    let ann = app.register("ann").await;
    let phone = ann.log_in().await;
    for (status, request) in [
        (200, app.get("/login")),
        (404, app.get("/no/such/page")),
        (404, app.get("/pkg/nothing.js")),
        (404, app.get("nothing")),
        (404, app.post("/fn/nothing", &json!({}))),
        (200, app.get("/healthz")),
        (200, app.get("/readyz")),
        (200, phone.get("me/")),
        (401, app.get("me/")),
        (400, ann.try_log_in("wrong")),
        (405, app.get("api_auth/")),
        (413, app.request("POST", "api_auth/").body("application/json", "x".repeat(20_000))),
        (415, app.request("POST", "api_auth/").body("text/plain", "x")),
        (421, app.get("me/").replace_host("evil.example")),
    ] {
        let response = request.await;
        response.assert_status(status);
        assert_security_headers(&response);
        assert_reveals_no_internals(&response);
    }
}

#[tokio::test]
async fn no_url_redirects_to_another_site_r75() {
    let app = app().await;
    for target in [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "%2f%2fevil.example",
        "/%09/evil.example",
        "https:evil.example",
        "///evil.example",
        "http://localhost@evil.example",
    ] {
        for key in ["next", "redirect", "return_to", "url"] {
            let page = app.get(&format!("/login?{key}={target}")).await;
            page.assert_no_header("location").assert_not_contains("evil.example");
        }
    }
}

#[tokio::test]
async fn a_server_function_redirects_no_form_r75_r76() {
    let app = app().await;
    let form = app.user("unknown").log_in_through("/fn/login").header("accept", "text/html");
    let rejected = form.header("referer", "https://evil.example/").await;
    rejected.assert_status(400).assert_no_header("location");
    // Leptos redirects rejected forms to such a URL. The page must show no error from it.
    let page = app.get("/login?__path=%2Ffn%2Flogin&__err=eyJjb2RlIjoiVGFrZW4ifQ==").await;
    page.assert_not_contains("already exists");
}

#[tokio::test]
async fn only_the_pages_own_files_are_served_r79() {
    let app = app().await;
    for path in [
        "/pkg/",
        "/pkg/../Cargo.toml",
        "/pkg/%2e%2e/Cargo.toml",
        "/pkg/..%2fCargo.toml",
        "/.git/config",
        "/pkg/.env",
        "/Cargo.toml",
        "/vestibule.db",
        "/pkg/%00",
        "/pkg//etc/passwd",
        "/pkg/nothing.wasm",
    ] {
        let missing = app.get(path).await;
        missing.assert_status(404).assert_not_contains("[package]");
        assert!(!missing.header("cache-control").contains("max-age"), "{path}");
    }
    app.get("me/x.css").await.assert_status(404).assert_header("cache-control", "no-store");
}

#[tokio::test]
async fn http_1_1_requires_exactly_one_host_and_http_1_0_none_r78() {
    let app = app().await;
    app.get("me/").without_host().await.assert_status(400);
    app.get("me/").header("host", "localhost").await.assert_status(400);
    app.get("me/").without_host().version(Version::HTTP_10).await.assert_status(401);
    // Only browsers send an origin, and they always send a host.
    let with_origin = app.post("api_auth/", &json!({})).header("origin", "http://localhost:8000");
    with_origin.without_host().version(Version::HTTP_10).await.assert_status(403);
}

#[tokio::test]
async fn probes_are_served_for_any_host_or_none() {
    let app = app().await;
    for path in ["/healthz", "/readyz"] {
        for host in ["10.0.0.7:8000", "vestibule.internal", "pod_7", ""] {
            app.get(path).replace_host(host).await.assert_status(200);
        }
        app.get(path).without_host().version(Version::HTTP_10).await.assert_status(200);
        app.get(path).without_host().await.assert_status(400);
    }
}

#[tokio::test]
async fn a_proxy_may_omit_the_port_from_the_host_r72() {
    let app = app().await;
    let ann = app.register("ann").await;
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        for path in LOG_IN {
            let log_in = || ann.log_in_through(path).replace_host(host).header("origin", format!("http://{host}:8080"));
            log_in().header("sec-fetch-site", "same-origin").await.assert_status(200);
            // These requests may come from a page on another port of this host.
            log_in().header("sec-fetch-site", "same-site").await.assert_status(403);
            log_in().header("sec-fetch-site", "cross-site").await.assert_status(403);
            log_in().await.assert_status(403);
        }
    }
}

#[tokio::test]
async fn other_sites_can_link_to_a_document_but_not_read_it_r72() {
    let app = app().await;
    let open = |mode, dest| {
        let request = app.get("/api/openapi.json").header("sec-fetch-site", "cross-site");
        request.header("sec-fetch-mode", mode).header("sec-fetch-dest", dest)
    };
    open("navigate", "document").await.assert_status(200);
    for (mode, dest) in [("cors", "empty"), ("no-cors", "script"), ("navigate", "iframe"), ("navigate", "object")] {
        open(mode, dest).await.assert_status(403);
    }
    let form = app.post("api_auth/", &json!({})).header("sec-fetch-site", "cross-site");
    form.header("sec-fetch-mode", "navigate").header("sec-fetch-dest", "document").await.assert_status(403);
}

#[tokio::test]
async fn https_is_enforced_if_the_public_url_uses_it_r70() {
    const PATHS: [&str; 4] = ["/login", "me/", "/healthz", "/nothing"];
    let app_at =
        |url: &'static str| App::start_with(Backend::Sqlite, move |config| config.server.public_url = url.parse().ok());

    let app = app_at("https://accounts.example.org").await;
    for path in PATHS {
        app.get(path).await.assert_header("strict-transport-security", "max-age=31536000");
    }
    let page = app.get("/login").await;
    page.assert_header_contains("content-security-policy", "; upgrade-insecure-requests");

    for url in ["http://accounts.example.org", ""] {
        let app = app_at(url).await;
        for path in PATHS {
            app.get(path).await.assert_no_header("strict-transport-security");
        }
        let page = app.get("/login").await;
        let policy = page.header("content-security-policy");
        assert!(!policy.contains("; upgrade-insecure-requests"), "{url}: {policy}");
    }
}

#[tokio::test]
async fn a_request_id_reveals_nothing_about_other_requests() {
    let app = app().await;
    let mut ids = BTreeSet::new();
    for _ in 0..64 {
        let id = app.get("/healthz").await.header("x-request-id").to_owned();
        assert_eq!(id.len(), 16, "{id}");
        assert!(id.bytes().all(|digit| digit.is_ascii_hexdigit()), "{id}");
        ids.insert(id);
    }
    assert_eq!(ids.len(), 64);
    // Sequential ids would begin with the same digits.
    let beginnings: BTreeSet<&str> = ids.iter().map(|id| &id[..8]).collect();
    assert!(beginnings.len() > 60, "{ids:?}");
}

#[tokio::test]
async fn password_managers_find_the_page_to_change_a_password() {
    let app = app().await;
    let redirect = app.get("/.well-known/change-password").await;
    redirect.assert_status(302).assert_header("location", "/account/security");
    app.get("/account/security").await.assert_status(200);
    // The specification defines this URL, to test whether missing pages get an error status.
    let probe = "/.well-known/resource-that-should-not-exist-whose-status-code-should-not-be-200";
    app.get(probe).await.assert_status(404);
}
