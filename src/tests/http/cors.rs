//! Browser apps of other origins that the operator has allowed.

use crate::util::{
    App, Backend, PASSWORD,
    actors::Client,
    request::{Request, Response},
};

const APP: &str = "https://app.example.org";

async fn app_with(origins: &[&str]) -> App {
    let origins = origins.iter().map(|&origin| origin.to_owned()).collect();
    App::start_with(Backend::Sqlite, |config| config.server.allowed_origins = origins).await
}

impl Request {
    /// Adds the headers that a browser sends from a page of another origin.
    fn sent_by_page_of(self, origin: &str) -> Self {
        let request = self.with_fresh_address().header("origin", origin).header("sec-fetch-mode", "cors");
        request.header("sec-fetch-site", "cross-site").header("sec-fetch-dest", "empty")
    }
}

/// The preflight request, which a browser sends before the request of a page.
fn preflight(app: &App, path: &str, origin: &str) -> Request {
    let request = app.request("OPTIONS", path).sent_by_page_of(origin);
    request.header("access-control-request-method", "POST").header("access-control-request-headers", "content-type")
}

impl Response {
    /// Checks that pages of this origin may read it.
    #[track_caller]
    fn assert_allows(&self, origin: &str) -> &Self {
        self.assert_header("access-control-allow-origin", origin)
    }

    /// Checks that pages of other origins may not read it.
    #[track_caller]
    fn assert_allows_no_origin(&self) -> &Self {
        for name in self.headers.keys().filter(|name| name.as_str().starts_with("access-control-")) {
            self.assert_no_header(name.as_str());
        }
        self
    }
}

#[tokio::test]
async fn an_app_of_an_allowed_origin_uses_the_api_r74() {
    let app = app_with(&[APP, "http://localhost:5173"]).await;
    let ann = app.register("ann").await;
    for origin in [APP, "http://localhost:5173"] {
        let preflight = preflight(&app, "api_auth/", origin).await;
        preflight.assert_status(204).assert_allows(origin);
        preflight.assert_header_contains("access-control-allow-methods", "POST");
        preflight.assert_header("access-control-allow-headers", "Authorization, Content-Type");
        // A cache must not return the response to another origin.
        preflight.assert_header_contains("vary", "Origin");

        let login = ann.try_log_in(PASSWORD).sent_by_page_of(origin).await;
        login.assert_status(200).assert_allows(origin).assert_header_contains("vary", "Origin");

        let me = app.device(&login.token()).get("me/").sent_by_page_of(origin).await;
        me.assert_status(200).assert_allows(origin);
    }
}

#[tokio::test]
async fn an_app_of_an_allowed_origin_reads_errors_r74() {
    let app = app_with(&[APP]).await;
    for (status, request) in [
        (401, app.get("me/")),
        (404, app.get("nothing")),
        (405, app.get("api_auth/")),
        (413, app.request("POST", "api_auth/").body("application/json", "x".repeat(20_000))),
        (415, app.request("POST", "api_auth/").body("text/plain", "x")),
    ] {
        let error = request.sent_by_page_of(APP).await;
        error.assert_status(status).assert_allows(APP);
        error.assert_header_contains("access-control-expose-headers", "Retry-After");
    }
}

#[tokio::test]
async fn logging_out_in_an_app_of_another_origin_clears_no_storage() {
    let app = app_with(&[APP]).await;
    let ann = app.register("ann").await;
    let on_our_page = ann.log_in().await.log_out().header("sec-fetch-site", "same-origin").await;
    on_our_page.assert_status(204).assert_header("clear-site-data", "\"storage\"");

    let (phone, laptop) = (ann.log_in().await, ann.log_in().await);
    for request in [phone.log_out(), laptop.delete_account("ann")] {
        request.sent_by_page_of(APP).await.assert_status(204).assert_no_header("clear-site-data");
    }
}

#[tokio::test]
async fn requests_of_other_origins_are_rejected_r74() {
    let app = app_with(&[APP]).await;
    let ann = app.user("ann");
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
        preflight(&app, "api_auth/", origin).await.assert_status(403).assert_allows_no_origin();
        ann.try_log_in(PASSWORD).sent_by_page_of(origin).await.assert_status(403).assert_allows_no_origin();
    }
    // A request with two origins is rejected.
    ann.try_log_in(PASSWORD).sent_by_page_of(APP).header("origin", "https://evil.example").await.assert_status(403);
}

#[tokio::test]
async fn an_allowed_origin_may_use_the_api_only_r72_r74() {
    let app = app_with(&[APP]).await;
    for (status, request) in [
        (403, preflight(&app, "/fn/login", APP)),
        (403, app.user("ann").log_in_through("/fn/login").sent_by_page_of(APP)),
        (405, preflight(&app, "/login", APP)),
        (200, app.get("/login").sent_by_page_of(APP)),
        (200, app.get("/healthz").sent_by_page_of(APP)),
    ] {
        request.await.assert_status(status).assert_allows_no_origin();
    }
    // Cookies are never allowed.
    app.get("me/").sent_by_page_of(APP).await.assert_no_header("access-control-allow-credentials");
    // The host is checked first.
    app.get("me/").sent_by_page_of(APP).replace_host("evil.example").await.assert_status(421);
}
