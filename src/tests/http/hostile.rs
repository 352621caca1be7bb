//! Malicious input.

use super::*;

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_everywhere_r25_r80() {
    let app = app().await;
    let before = app.service.hashes_run();
    let huge = json!({ "email": "ann", "username": "ann", "password": "x".repeat(1 << 20) });
    for path in [AUTH, REGISTER, LOGOUT, "/fn/login", "/fn/register"] {
        assert_eq!(app.post(path, &huge).send().await.status, 413, "{path}");
        let chunks = futures_util::stream::iter((0..64).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1024])));
        let chunked = app.request("POST", path).body("application/json", axum::body::Body::from_stream(chunks));
        assert_eq!(chunked.send().await.status, 413, "{path} in chunks");
    }
    assert_eq!(app.service.hashes_run(), before, "no hash is computed for it");
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
                let answer = app.request("POST", path).from(&some_address()).body("application/json", body.clone()).send().await;
                let text = String::from_utf8_lossy(body);
                assert!(answer.status.is_client_error(), "{path} {text}: {}", answer.status);
                assert!(!answer.text.is_empty(), "{path} {text}: the text says what to do");
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
    assert_eq!(app.request("POST", REGISTER).body("application/json", twice).send().await.status, 200);
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
    assert!(!answer.text.contains("alert"), "a stranger's input is not repeated");
}
