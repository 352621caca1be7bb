//! The documents that the server renders.

use std::io::Read;

use super::*;

#[tokio::test]
async fn each_page_has_a_nonce_of_its_own_and_allows_no_inline_code_r68() {
    let app = app().await;
    let nonce = |answer: &crate::util::Response| {
        let policy = answer.header("content-security-policy").to_owned();
        assert!(!policy.contains("unsafe-inline") && !policy.contains("'unsafe-eval'"), "{policy}");
        policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap().to_owned()
    };
    let (one, two) = (app.get("/login").send().await, app.get("/login").send().await);
    let (first, second) = (nonce(&one), nonce(&two));
    assert!(first.len() >= 22 && first != second);
    for script in one.text.split("<script").skip(1) {
        let tag = script.split('>').next().unwrap();
        assert!(tag.contains(&format!("nonce=\"{first}\"")), "{tag}");
    }
    assert!(!one.text.contains(" style=") && !one.text.contains(" onclick="));
    assert_eq!(one.header("cross-origin-opener-policy"), "same-origin");
    assert!(one.header("permissions-policy").contains("camera=()"));
}

#[tokio::test]
async fn the_server_renders_every_page_as_for_a_stranger_r49() {
    let app = app().await;
    app.register("ann").await;
    let token = app.token("ann").await;
    for path in ["/", "/login", "/register", "/logout", "/nothing"] {
        let strip = |answer: crate::util::Response| without_nonce(&answer, &answer.text);
        let stranger = strip(app.get(path).send().await);
        let known = strip(app.get(path).bearer(&token).header("cookie", format!("token={token}")).send().await);
        assert_eq!(stranger, known, "{path}");
        assert!(!known.contains(&token) && !known.contains("ann@example.org"), "{path}");
    }
}

#[tokio::test]
async fn password_forms_are_safe_before_the_page_lives_r20_r77() {
    let app = app().await;
    for (path, autocomplete) in [("/login", "current-password"), ("/register", "new-password")] {
        let html = app.get(path).send().await.text;
        let form = html.split("<form").nth(1).unwrap().split("</form>").next().unwrap();
        assert!(form.contains("method=\"post\""), "{path}: {form}");
        assert!(
            form.contains("type=\"password\"") && form.contains(&format!("autocomplete=\"{autocomplete}\"")),
            "{path}"
        );
        let button = form.split("type=\"submit\"").next().unwrap().len();
        assert!(form[button.saturating_sub(200)..].contains("disabled"), "{path}: the submit button is disabled");
    }
}

#[tokio::test]
async fn the_not_found_page_is_a_404() {
    let app = app().await;
    let answer = app.get("/no/such/page").send().await;
    assert_eq!(answer.status, 404);
    assert!(answer.header("content-type").starts_with("text/html") && answer.text.contains("/login"));
}

#[tokio::test]
async fn the_page_tells_the_configured_length_of_a_password() {
    let app = App::start_with(Backend::Sqlite, |config| config.password.min_length = 12).await;
    let page = app.get("/register").send().await.text;
    assert!(page.contains("data-password-min-length=\"12\"") && page.contains("At least 12 characters"), "{page}");
}

#[tokio::test]
async fn pages_are_compressed_for_those_who_can_read_it_and_secrets_never_are() {
    let app = app().await;
    app.register("ann").await;
    for path in ["/", "/login", "/account", "/nothing"] {
        let plain = app.get(path).send().await;
        assert_eq!((plain.header("content-encoding"), plain.header("vary")), ("", "Accept-Encoding"), "{path}");
        let refused = app.get(path).header("accept-encoding", "gzip;q=0, br").send().await;
        assert_eq!(refused.header("content-encoding"), "", "{path}");
        let packed = app.get(path).header("accept-encoding", "gzip, deflate, br, zstd").send().await;
        assert_eq!((packed.header("content-encoding"), packed.header("vary")), ("gzip", "Accept-Encoding"), "{path}");
        assert_eq!((packed.status, packed.header("content-type")), (plain.status, plain.header("content-type")));
        assert!(packed.bytes.len() * 2 < plain.bytes.len(), "{path}: {} of {}", packed.bytes.len(), plain.bytes.len());
        let mut text = String::new();
        flate2::read::GzDecoder::new(&*packed.bytes).read_to_string(&mut text).unwrap();
        assert_eq!(without_nonce(&packed, &text), without_nonce(&plain, &plain.text), "{path}");
    }
    let body = json!({ "email": "ann", "password": PASSWORD });
    for path in [AUTH, "/fn/login"] {
        let login = app.post(path, &body).from(&some_address()).header("accept-encoding", "gzip").send().await;
        assert_eq!((login.status.as_u16(), login.header("content-encoding")), (200, ""), "{path}");
    }
}

/// A page's text without the parts that differ in each response.
fn without_nonce(answer: &crate::util::Response, text: &str) -> String {
    let policy = answer.header("content-security-policy");
    text.replace(policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap(), "")
}
