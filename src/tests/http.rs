//! What any request meets at the HTTP doors: headers, refusals, hostile input. One database is enough here unless a
//! test says otherwise.

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
    {"response":"The account is created!","status":"ok"}
    "#);
    let bad = app.post(REGISTER, &json!({ "email": "x", "username": 3 })).send().await;
    insta::assert_snapshot!(bad.shape(), @r#"
    400 Bad Request
    cache-control: no-store
    content-type: application/json; charset=utf-8
    vary: Authorization, Origin, Sec-Fetch-Site
    {"errors":{"email":["Enter a full email address, such as name@example.org."],"password":["Please fill in this field."],"username":["Please fill in this field."]},"status":"fail"}
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
        let told = r#"{"error":"Please provide both email and password.","status":"fail","token":""}"#;
        assert_eq!(answer.text, told, "{incomplete}");
    }
    let stranger = app.get(ME).send().await;
    insta::assert_snapshot!(stranger.shape(), @r#"
    401 Unauthorized
    www-authenticate: Bearer error="invalid_token"
    cache-control: no-store
    content-type: application/json; charset=utf-8
    vary: Authorization, Origin, Sec-Fetch-Site
    {"error":"You are not logged in, or your session has ended. Log in again.","status":"fail"}
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
    let out = app.call("POST", LOGOUT).header("authorization", format!("Token {token}")).send().await;
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
        assert_eq!(call.send().await.shape(), stranger, "one answer for all");
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

#[tokio::test]
async fn everything_but_the_public_list_wants_a_token_r46() {
    let app = app().await;
    let public = ["/", "/login", "/register", "/logout", "/healthz", "/readyz"];
    for path in public {
        assert_eq!(app.get(path).send().await.status, 200, "{path}");
    }
    let functions: BTreeSet<(String, String)> =
        server_fn::axum::server_fn_paths().map(|(path, method)| (path.to_owned(), method.to_string())).collect();
    let known = ["/fn/login", "/fn/logout", "/fn/me", "/fn/register"].map(|path| (path.to_owned(), "POST".to_owned()));
    assert_eq!(functions, BTreeSet::from(known), "R71: and each by POST; a new one needs a line here");
    for path in ["/fn/me", "/fn/logout"] {
        assert_eq!(app.post(path, &json!({})).send().await.status, 401, "{path}");
    }
    assert_eq!(app.get(ME).send().await.status, 401);
    assert_eq!(app.call("POST", LOGOUT).send().await.status, 401);
}

#[tokio::test]
async fn one_users_token_never_reaches_anothers_account_r45() {
    let app = app().await;
    app.register("ann").await;
    app.register("bob").await;
    let (ann, bob) = (app.token("ann").await, app.token("bob").await);
    let id = app.get(ME).bearer(&bob).send().await.json()["id"].clone();
    let me = app.get(&format!("{ME}?id={}", id.as_str().unwrap())).bearer(&ann).send().await.json();
    assert_eq!(me["username"], "ann", "no identifier in a request chooses the account");
    let body = json!({ "id": id, "user_id": id, "token": bob });
    assert_eq!(app.post(LOGOUT, &body).bearer(&ann).send().await.status, 204);
    assert_eq!((app.me(&ann).await.as_u16(), app.me(&bob).await.as_u16()), (401, 200));
}

#[tokio::test]
async fn nothing_changes_by_get_r71() {
    let app = app().await;
    for path in [REGISTER, AUTH, LOGOUT, "/fn/login", "/fn/register", "/fn/logout", "/fn/me"] {
        for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "PATCH"] {
            let answer = app.call(method, path).send().await;
            assert_eq!(answer.status, 405, "{method} {path}");
        }
    }
    assert_eq!(app.post(ME, &json!({})).send().await.status, 405);
    assert_eq!(app.post("/login", &json!({})).send().await.status, 405);
}

#[tokio::test]
async fn only_json_is_taken_r72() {
    let app = app().await;
    let body = json!({ "email": "ann@example.org", "username": "ann", "password": PASSWORD }).to_string();
    for path in [REGISTER, AUTH, LOGOUT, "/fn/login", "/fn/register"] {
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/jsonp",
            "",
        ] {
            let answer = app.call("POST", path).body(kind, body.clone()).send().await;
            assert_eq!(answer.status, 415, "{path} {kind}");
        }
        let none = app.call("POST", path).header("content-length", body.len().to_string());
        assert_eq!(none.send().await.status, 415, "{path} without a type");
    }
    let charset = app.call("POST", REGISTER).body("Application/JSON; charset=UTF-8", body).send().await;
    assert_eq!(charset.status, 200);
}

#[tokio::test]
async fn pages_of_other_sites_are_refused_r72_r74() {
    let app = app().await;
    app.register("ann").await;
    let body = json!({ "email": "ann", "password": PASSWORD });
    let hostile = [
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
    ];
    for path in [AUTH, "/fn/login"] {
        for (name, value) in hostile {
            let answer = app.post(path, &body).from(&some_address()).header(name, value).send().await;
            assert_eq!(answer.status, 403, "{path} {name}: {value}");
            assert!(!answer.headers.contains_key("access-control-allow-origin"));
        }
        let own = app.post(path, &body).from(&some_address());
        let own = own.header("sec-fetch-site", "same-origin").header("origin", "http://localhost:8000").send().await;
        assert_eq!(own.status, 200, "{path}");
    }
}

#[tokio::test]
async fn only_hosts_of_ours_are_answered_r78() {
    let app = App::start_with(Backend::Sqlite, |config| config.server.hosts = vec!["app.example.org".to_owned()]).await;
    for host in ["evil.example", "localhost.evil.example", "app.example.org.evil.example", "a b", ""] {
        assert_eq!(app.get(ME).replace_host(host).send().await.status, 421, "{host}");
    }
    for host in [
        "localhost",
        "localhost:8000",
        "127.0.0.1:8000",
        "[::1]:8000",
        "192.0.2.1",
        "APP.example.org",
        "app.example.org:443",
    ] {
        assert_eq!(app.get(ME).replace_host(host).send().await.status, 401, "{host}");
    }
}

#[tokio::test]
async fn every_answer_carries_the_security_headers_r36_r69_r73_r85() {
    let app = app().await;
    app.register("ann").await;
    let token = app.token("ann").await;
    let huge = "x".repeat(20_000);
    let answers = [
        (200, app.get("/login").send().await),
        (404, app.get("/no/such/page").send().await),
        (404, app.get("/pkg/nothing.js").send().await),
        (404, app.get("/api/accounts/nothing").send().await),
        (404, app.post("/fn/nothing", &json!({})).send().await),
        (200, app.get("/healthz").send().await),
        (200, app.get("/readyz").send().await),
        (200, app.get(ME).bearer(&token).send().await),
        (401, app.get(ME).send().await),
        (400, app.log_in("ann", "wrong").await),
        (405, app.get(AUTH).send().await),
        (413, app.call("POST", AUTH).body("application/json", huge).send().await),
        (415, app.call("POST", AUTH).body("text/plain", "x").send().await),
        (421, app.get(ME).replace_host("evil.example").send().await),
    ];
    for (status, answer) in answers {
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{status}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{status}");
        assert_eq!(answer.header("x-frame-options"), "DENY", "{status}");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin", "{status}");
        assert!(answer.header("content-security-policy").contains("default-src 'none'"), "{status}");
        assert!(answer.header("content-security-policy").contains("frame-ancestors 'none'"), "{status}");
        assert!(answer.header("content-type").contains("charset=utf-8"), "{status}: {}", answer.header("content-type"));
        assert!(!answer.headers.contains_key("server") && !answer.headers.contains_key("set-cookie"), "{status}");
        assert!(!answer.headers.contains_key("access-control-allow-origin"), "{status}");
        if !answer.header("cache-control").contains("max-age") {
            assert_eq!(answer.header("cache-control"), "no-store", "{status}");
        }
        let leaks = ["sqlx", "SELECT", "panicked", ".rs:", "/src/", "vestibule/0", "expected value", "line 1"];
        assert!(leaks.iter().all(|leak| !answer.text.contains(leak)), "{status}: {}", answer.text);
    }
}

#[tokio::test]
async fn each_page_has_a_nonce_of_its_own_and_allows_no_inline_code_r68() {
    let app = app().await;
    let nonce = |answer: &crate::util::Answer| {
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
        let strip = |answer: crate::util::Answer| {
            let policy = answer.header("content-security-policy").to_owned();
            let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap().to_owned();
            answer.text.replace(&nonce, "")
        };
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
        assert!(form[button.saturating_sub(200)..].contains("disabled"), "{path}: the submit button waits");
    }
}

#[tokio::test]
async fn no_address_redirects_elsewhere_r75_r76() {
    let app = app().await;
    let targets = [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "%2f%2fevil.example",
        "/%09/evil.example",
        "https:evil.example",
        "///evil.example",
        "http://localhost@evil.example",
    ];
    for target in targets {
        for key in ["next", "redirect", "return_to", "url"] {
            let answer = app.get(&format!("/login?{key}={target}")).send().await;
            assert!(!answer.headers.contains_key("location"), "{target}");
            assert!(!answer.text.contains("evil.example"), "{target}");
        }
    }
    let body = json!({ "email": "ghost", "password": "x" });
    let form = app
        .post("/fn/login", &body)
        .header("accept", "text/html")
        .header("referer", "https://evil.example/")
        .send()
        .await;
    assert_eq!(form.status, 400);
    assert!(!form.headers.contains_key("location"));
    let page = app.get("/login?__path=%2Ffn%2Flogin&__err=eyJjb2RlIjoiVGFrZW4ifQ==").send().await.text;
    assert!(!page.contains("exists already"), "no error comes from the address");
}

#[tokio::test]
async fn no_file_but_the_pages_own_is_served_r79() {
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
        let answer = app.get(path).send().await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.text.contains("[package]") && !answer.header("cache-control").contains("max-age"), "{path}");
    }
    let deep = app.get("/api/accounts/me/x.css").send().await;
    assert_eq!((deep.status.as_u16(), deep.header("cache-control")), (404, "no-store"));
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_everywhere_r25_r80() {
    let app = app().await;
    let before = app.service.hashes_run();
    let huge = json!({ "email": "ann", "username": "ann", "password": "x".repeat(1 << 20) });
    for path in [AUTH, REGISTER, LOGOUT, "/fn/login", "/fn/register"] {
        assert_eq!(app.post(path, &huge).send().await.status, 413, "{path}");
        let chunks = futures_util::stream::iter((0..64).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1024])));
        let chunked = app.call("POST", path).body("application/json", axum::body::Body::from_stream(chunks));
        assert_eq!(chunked.send().await.status, 413, "{path} in chunks");
    }
    assert_eq!(app.service.hashes_run(), before, "no hash is spent on it");
    let long = json!({ "email": "ann@example.org", "username": "ann", "password": "x".repeat(1025) });
    let answer = app.post(REGISTER, &long).send().await;
    assert_eq!((answer.status.as_u16(), app.service.hashes_run()), (400, before));
}

on_both! {
    async fn hostile_bodies_get_a_4xx_and_store_nothing_r16_r81(app: App) {
        let deep = format!("{}{}", "[".repeat(8000), "]".repeat(8000));
        let nul = r#"{"email":"a\u0000@example.org","username":"a\u0000nn","password":"tidal\u0000marmot kettle"}"#;
        let bodies: Vec<Vec<u8>> = vec![
            b"".to_vec(), b"{".to_vec(), b"null".to_vec(), b"[]".to_vec(), b"\"x\"".to_vec(), b"1e999".to_vec(),
            b"\xff\xfe{}".to_vec(), b"{\"email\":\"\\ud800\"}".to_vec(), b"{\"email\":\"\xc3\x28\"}".to_vec(), deep.into_bytes(),
            nul.as_bytes().to_vec(), br#"{"email":{"$ne":""},"password":{"$gt":""}}"#.to_vec(),
            br#"{"email":["a@b.org","c@d.org"],"username":["x"],"password":true}"#.to_vec(),
            br#"{"email":"a@b.org\r\nBcc: x@y.org","username":"ann","password":"tidal marmot kettle"}"#.to_vec(),
            br#"{"email":"' OR 1=1 --","username":"'; DROP TABLE users; --","password":"x"}"#.to_vec(),
            br#"{"email":99999999999999999999999999,"password":-1.5e300}"#.to_vec(),
        ];
        for path in [AUTH, REGISTER, "/fn/login", "/fn/register"] {
            for body in &bodies {
                let answer = app.call("POST", path).from(&some_address()).body("application/json", body.clone()).send().await;
                let text = String::from_utf8_lossy(body);
                assert!(answer.status.is_client_error(), "{path} {text}: {}", answer.status);
                assert!(!answer.text.is_empty(), "{path} {text}: it says what to do");
            }
        }
        assert!(app.store.list_users("", 9).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn of_two_equal_keys_the_last_counts_r81() {
    let app = app().await;
    let twice =
        format!(r#"{{"email":"x","email":"ann@example.org","username":"ann","password":"y","password":"{PASSWORD}"}}"#);
    assert_eq!(app.call("POST", REGISTER).body("application/json", twice).send().await.status, 200);
    assert_eq!(app.log_in("ann", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn hostile_headers_never_let_anybody_in_r16() {
    let app = app().await;
    app.register("ann").await;
    let body = json!({ "email": "ann", "password": "wrong" });
    let headers: [(&str, &[u8]); 8] = [
        ("x-forwarded-for", b"a"),
        ("x-forwarded-for", b"\xff\xff"),
        ("x-forwarded-for", b",,,"),
        ("user-agent", b"\xff[2J"),
        ("authorization", b"Bearer \xff"),
        ("x-forwarded-for", b"999.999.999.999"),
        ("accept", b"\xff"),
        ("forwarded", b"for="),
    ];
    for (name, value) in headers {
        let answer = app.post(AUTH, &body).header(name, value).send().await;
        assert!([400, 429].contains(&answer.status.as_u16()), "{name}: {}", answer.status);
    }
}

#[tokio::test]
async fn markup_in_a_field_is_never_taken_over_r83() {
    let app = app().await;
    let polyglot =
        "jaVasCript:/*-/*`/*\\`/*'/*\"/**/(alert())//</stYle/</titLe/</scRipt/--!>\\x3csVg/<sVg/oNloAd=alert()//>";
    for path in ["/login", "/register", "/logout", "/nothing"] {
        let encoded = polyglot.bytes().fold(String::new(), |text, byte| format!("{text}%{byte:02x}"));
        let html = app.get(&format!("{path}?email={encoded}&username={encoded}")).send().await.text;
        assert!(!html.contains("oNloAd") && !html.contains("alert()"), "{path}");
    }
    let body = json!({ "email": polyglot, "username": polyglot, "password": PASSWORD });
    let answer = app.post(REGISTER, &body).send().await;
    assert_eq!(answer.status, 400);
    assert!(!answer.text.contains("alert"), "what a stranger wrote is not repeated");
}

#[tokio::test]
async fn the_not_found_page_is_a_404() {
    let app = app().await;
    let answer = app.get("/no/such/page").send().await;
    assert_eq!(answer.status, 404);
    assert!(answer.header("content-type").starts_with("text/html") && answer.text.contains("/login"));
}
