//! The documents that the server renders.

use std::io::Read;

use flate2::read::GzDecoder;

use super::{LOG_IN, app};
use crate::util::{App, Backend, Response};

/// The nonce that the content security policy allows.
fn nonce(page: &Response) -> &str {
    let policy = page.header("content-security-policy");
    policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap()
}

/// A page's text without the nonce, which differs in each response.
fn without_nonce(page: &Response, text: &str) -> String {
    text.replace(nonce(page), "")
}

#[tokio::test]
async fn each_page_has_its_own_nonce_and_no_inline_code_r68() {
    let app = app().await;
    let (page, again) = (app.get("/login").await, app.get("/login").await);
    for page in [&page, &again] {
        let policy = page.header("content-security-policy");
        assert!(!policy.contains("unsafe-inline"), "{policy}");
        assert!(!policy.contains("'unsafe-eval'"), "{policy}");
    }
    let nonce_of_page = nonce(&page);
    assert!(nonce_of_page.len() >= 22, "{nonce_of_page}");
    assert_ne!(nonce_of_page, nonce(&again));
    for script in page.text.split("<script").skip(1) {
        let tag = script.split('>').next().unwrap();
        assert!(tag.contains(&format!("nonce=\"{nonce_of_page}\"")), "{tag}");
    }
    page.assert_not_contains(" style=").assert_not_contains(" onclick=");
    page.assert_header("cross-origin-opener-policy", "same-origin");
    page.assert_header_contains("permissions-policy", "camera=()");
}

#[tokio::test]
async fn the_server_renders_every_page_as_logged_out_r49() {
    let app = app().await;
    let phone = app.register("ann").await.log_in().await;
    for path in ["/", "/login", "/register", "/logout", "/nothing"] {
        let logged_out = app.get(path).await;
        let request = app.get(path).bearer(&phone.token).header("cookie", format!("token={}", phone.token));
        let logged_in = request.await;
        let expected = without_nonce(&logged_out, &logged_out.text);
        assert_eq!(without_nonce(&logged_in, &logged_in.text), expected, "{path}");
        logged_in.assert_not_contains(&phone.token).assert_not_contains("ann@example.org");
    }
}

#[tokio::test]
async fn password_forms_are_safe_before_the_script_runs_r20_r77() {
    let app = app().await;
    for (path, autocomplete) in [("/login", "current-password"), ("/register", "new-password")] {
        let html = app.get(path).await.text;
        let form = html.split("<form").nth(1).unwrap().split("</form>").next().unwrap();
        for attribute in ["method=\"post\"", "type=\"password\"", &format!("autocomplete=\"{autocomplete}\"")] {
            assert!(form.contains(attribute), "{path}: {attribute}: {form}");
        }
        let (before, after) = form.split_once("type=\"submit\"").unwrap();
        let button = [before.rsplit('<').next().unwrap(), after.split('>').next().unwrap()].concat();
        assert!(button.contains("disabled"), "{path}: {button}");
    }
}

#[tokio::test]
async fn the_not_found_page_is_a_404() {
    let app = app().await;
    let page = app.get("/no/such/page").await;
    page.assert_status(404).assert_contains("/login");
    assert!(page.header("content-type").starts_with("text/html"), "{page:?}");
}

#[tokio::test]
async fn the_page_shows_the_configured_password_length() {
    let app = App::start_with(Backend::Sqlite, |config| config.password.min_length = 12).await;
    let page = app.get("/register").await;
    page.assert_contains("data-password-min-length=\"12\"").assert_contains("At least 12 characters");
}

#[tokio::test]
async fn pages_are_compressed_if_the_browser_accepts_it() {
    let app = app().await;
    for path in ["/", "/login", "/account", "/nothing"] {
        let plain = app.get(path).await;
        plain.assert_no_header("content-encoding").assert_header("vary", "Accept-Encoding");
        let without_gzip = app.get(path).header("accept-encoding", "gzip;q=0, br").await;
        without_gzip.assert_no_header("content-encoding");

        let packed = app.get(path).header("accept-encoding", "gzip, deflate, br, zstd").await;
        packed.assert_header("content-encoding", "gzip").assert_header("vary", "Accept-Encoding");
        packed.assert_status(plain.status.as_u16()).assert_header("content-type", plain.header("content-type"));
        assert!(packed.bytes.len() * 2 < plain.bytes.len(), "{path}: {} of {}", packed.bytes.len(), plain.bytes.len());
        let mut text = String::new();
        GzDecoder::new(&*packed.bytes).read_to_string(&mut text).unwrap();
        assert_eq!(without_nonce(&packed, &text), without_nonce(&plain, &plain.text), "{path}");
    }
}

#[tokio::test]
async fn responses_with_secrets_are_never_compressed() {
    let app = app().await;
    let ann = app.register("ann").await;
    for path in LOG_IN {
        let login = ann.log_in_through(path).header("accept-encoding", "gzip").await;
        login.assert_status(200).assert_no_header("content-encoding");
    }
}
