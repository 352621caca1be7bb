//! Malicious input.

use std::{io, iter};

use axum::body::Body;
use futures_util::stream;
use serde_json::json;

use super::{LOG_IN, REGISTER, app};
use crate::util::{App, PASSWORD, macros::both};

both! {
    hostile_bodies_get_a_4xx_and_store_nothing_r16_r81,
}

#[tokio::test]
async fn a_body_that_is_too_large_is_rejected_everywhere_r25_r80() {
    let app = app().await;
    let before = app.service.hashes_run();
    let huge = json!({ "email": "ann", "username": "ann", "password": "x".repeat(1 << 20) });
    for path in LOG_IN.into_iter().chain(REGISTER).chain(["logout/"]) {
        app.post(path, &huge).await.assert_status(413);
        let chunks = iter::repeat_n(vec![b' '; 1024], 64).map(Ok::<_, io::Error>);
        let chunked = app.request("POST", path).body("application/json", Body::from_stream(stream::iter(chunks)));
        chunked.await.assert_status(413);
    }
    assert_eq!(app.service.hashes_run(), before);
}

#[tokio::test]
async fn a_password_that_is_too_long_is_not_hashed_r25() {
    let app = app().await;
    let before = app.service.hashes_run();
    let long = json!({ "email": "ann@example.org", "username": "ann", "password": "x".repeat(1025) });
    app.post("api_register/", &long).await.assert_status(400);
    assert_eq!(app.service.hashes_run(), before);
}

async fn hostile_bodies_get_a_4xx_and_store_nothing_r16_r81(app: App) {
    let deep = format!("{}{}", "[".repeat(8000), "]".repeat(8000));
    let bodies: [&[u8]; 16] = [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\"x\"",
        b"1e999",
        b"\xff\xfe{}",
        b"{\"email\":\"\\ud800\"}",
        b"{\"email\":\"\xc3\x28\"}",
        deep.as_bytes(),
        br#"{"email":"a\u0000@example.org","username":"a\u0000nn","password":"tidal\u0000marmot kettle"}"#,
        br#"{"email":{"$ne":""},"password":{"$gt":""}}"#,
        br#"{"email":["a@b.org","c@d.org"],"username":["x"],"password":true}"#,
        br#"{"email":"a@b.org\r\nBcc: x@y.org","username":"ann","password":"tidal marmot kettle"}"#,
        br#"{"email":"' OR 1=1 --","username":"'; DROP TABLE users; --","password":"x"}"#,
        br#"{"email":99999999999999999999999999,"password":-1.5e300}"#,
    ];
    for path in LOG_IN.into_iter().chain(REGISTER) {
        for body in bodies {
            let request = app.request("POST", path).with_fresh_address().body("application/json", body.to_vec());
            let rejected = request.await;
            let text = String::from_utf8_lossy(body);
            assert!(rejected.status.is_client_error(), "{path} {text}: {}", rejected.status);
            assert!(!rejected.text.is_empty(), "{path} {text}: no message");
        }
    }
    assert!(app.store.list_users("", 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_last_of_two_equal_json_keys_is_used_r81() {
    let app = app().await;
    let twice =
        format!(r#"{{"email":"x","email":"ann@example.org","username":"ann","password":"y","password":"{PASSWORD}"}}"#);
    app.request("POST", "api_register/").body("application/json", twice).await.assert_status(200);
    app.user("ann").assert_can_log_in(PASSWORD).await;
}

#[tokio::test]
async fn hostile_headers_never_log_anybody_in_r16() {
    let app = app().await;
    app.register("ann").await;
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
        // The request has no address of its own, so that the header is the only one of its name.
        let request = app.post("api_auth/", &json!({ "email": "ann", "password": "wrong" }));
        let status = request.header(name, value).await.status;
        assert!(status == 400 || status == 429, "{name}: {status}");
    }
}

#[tokio::test]
async fn markup_in_input_is_never_repeated_r83() {
    let app = app().await;
    let polyglot =
        "jaVasCript:/*-/*`/*\\`/*'/*\"/**/(alert())//</stYle/</titLe/</scRipt/--!>\\x3csVg/<sVg/oNloAd=alert()//>";
    let encoded = polyglot.bytes().fold(String::new(), |text, byte| format!("{text}%{byte:02x}"));
    for path in ["/login", "/register", "/logout", "/nothing"] {
        let page = app.get(&format!("{path}?email={encoded}&username={encoded}")).await;
        page.assert_not_contains("oNloAd").assert_not_contains("alert()");
    }
    let body = json!({ "email": polyglot, "username": polyglot, "password": PASSWORD });
    app.post("api_register/", &body).await.assert_status(400).assert_not_contains("alert");
}
