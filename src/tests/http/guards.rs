//! Requests that are rejected on any path, by method, media type, site, host or file. Also the headers.

use axum::http::Version;

use super::*;

#[tokio::test]
async fn nothing_changes_by_get_r71() {
    let app = app().await;
    for path in [REGISTER, AUTH, LOGOUT, "/fn/login", "/fn/register", "/fn/logout", "/fn/me"] {
        for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "PATCH"] {
            let answer = app.request(method, path).send().await;
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.header("allow"), "POST", "{method} {path}");
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
            let answer = app.request("POST", path).body(kind, body.clone()).send().await;
            assert_eq!(answer.status, 415, "{path} {kind}");
        }
        let none = app.request("POST", path).header("content-length", body.len().to_string());
        assert_eq!(none.send().await.status, 415, "{path} without a type");
    }
    let charset = app.request("POST", REGISTER).body("Application/JSON; charset=UTF-8", body).send().await;
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
    for host in ["evil.example", "localhost.evil.example", "app.example.org.evil.example", ""] {
        assert_eq!(app.get(ME).replace_host(host).send().await.status, 421, "{host}");
    }
    for host in ["a b", "ann@localhost", "[::1", "localhost:x"] {
        assert_eq!(app.get(ME).replace_host(host).send().await.status, 400, "{host}");
    }
    for host in [
        "localhost",
        "localhost:8000",
        "127.0.0.1:8000",
        "[::1]:8000",
        "192.0.2.1",
        "APP.example.org",
        "app.example.org.",
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
        (413, app.request("POST", AUTH).body("application/json", huge).send().await),
        (415, app.request("POST", AUTH).body("text/plain", "x").send().await),
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
    assert!(!page.contains("already exists"), "no error comes from the address");
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
async fn a_host_is_named_once_in_http_1_1_and_needs_not_be_before_r78() {
    let app = app().await;
    assert_eq!(app.get(ME).without_host().send().await.status, 400);
    assert_eq!(app.get(ME).header("host", "localhost").send().await.status, 400, "two");
    assert_eq!(app.get(ME).without_host().version(Version::HTTP_10).send().await.status, 401);
    let old = app.post(AUTH, &json!({})).without_host().version(Version::HTTP_10);
    assert_eq!(old.header("origin", "http://localhost:8000").send().await.status, 403, "a browser sends the host");
}

#[tokio::test]
async fn probes_are_answered_under_any_name_or_none() {
    let app = app().await;
    for path in ["/healthz", "/readyz"] {
        for host in ["10.0.0.7:8000", "vestibule.internal", "pod_7", ""] {
            assert_eq!(app.get(path).replace_host(host).send().await.status, 200, "{path} {host}");
        }
        assert_eq!(app.get(path).without_host().version(Version::HTTP_10).send().await.status, 200, "{path}");
        assert_eq!(app.get(path).without_host().send().await.status, 400, "{path}");
    }
}

#[tokio::test]
async fn a_proxy_that_leaves_the_port_out_keeps_nobody_out_r72() {
    let app = app().await;
    app.register("ann").await;
    let body = json!({ "email": "ann", "password": PASSWORD });
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        let origin = format!("http://{host}:8080");
        for path in [AUTH, "/fn/login"] {
            let from = |site: Option<&str>| {
                let call = app.post(path, &body).from(&some_address()).replace_host(host).header("origin", &origin);
                site.into_iter().fold(call, |call, site| call.header("sec-fetch-site", site))
            };
            assert_eq!(from(Some("same-origin")).send().await.status, 200, "{path} {host}");
            for other in [Some("same-site"), Some("cross-site"), None] {
                assert_eq!(from(other).send().await.status, 403, "{path} {host}: {other:?} is another port's page");
            }
        }
    }
}

#[tokio::test]
async fn a_link_on_another_site_opens_and_its_scripts_read_nothing_r72() {
    let app = app().await;
    let open = |mode: &str, dest: &str| {
        let call = app.get("/api/openapi.json").header("sec-fetch-site", "cross-site");
        call.header("sec-fetch-mode", mode).header("sec-fetch-dest", dest)
    };
    assert_eq!(open("navigate", "document").send().await.status, 200);
    for (mode, dest) in [("cors", "empty"), ("no-cors", "script"), ("navigate", "iframe"), ("navigate", "object")] {
        assert_eq!(open(mode, dest).send().await.status, 403, "{mode} {dest}");
    }
    let post = app.post(AUTH, &json!({})).header("sec-fetch-site", "cross-site");
    let post = post.header("sec-fetch-mode", "navigate").header("sec-fetch-dest", "document");
    assert_eq!(post.send().await.status, 403, "a form on another site");
}

#[tokio::test]
async fn browsers_are_told_to_keep_to_https_where_people_use_it_r70() {
    for (public, https) in [("https://accounts.example.org", true), ("http://accounts.example.org", false), ("", false)]
    {
        let app = App::start_with(Backend::Sqlite, |config| config.server.public_url = public.parse().ok()).await;
        for path in ["/login", ME, "/healthz", "/nothing"] {
            let answer = app.get(path).send().await;
            let header = answer.header("strict-transport-security");
            assert_eq!(header, if https { "max-age=31536000" } else { "" }, "{public} {path}");
        }
        let policy = app.get("/login").send().await.header("content-security-policy").to_owned();
        assert_eq!(policy.contains("; upgrade-insecure-requests"), https, "{policy}");
    }
}

#[tokio::test]
async fn the_identifier_of_a_request_tells_nothing_of_others() {
    let app = app().await;
    let mut seen = BTreeSet::new();
    for _ in 0..64 {
        let id = app.get("/healthz").send().await.header("x-request-id").to_owned();
        assert!(id.len() == 16 && id.bytes().all(|digit| digit.is_ascii_hexdigit()), "{id}");
        seen.insert(id);
    }
    assert_eq!(seen.len(), 64);
    // If the ids counted up, their first digits would be the same.
    let beginnings: BTreeSet<&str> = seen.iter().map(|id| &id[..8]).collect();
    assert!(beginnings.len() > 60, "{seen:?}");
}

#[tokio::test]
async fn password_managers_find_the_page_for_a_new_password() {
    let app = app().await;
    let answer = app.get("/.well-known/change-password").send().await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (302, "/account/security"));
    assert_eq!(app.get("/account/security").send().await.status, 200);
    // The specification's test of whether the response is reliable.
    let probe = "/.well-known/resource-that-should-not-exist-whose-status-code-should-not-be-200";
    assert_eq!(app.get(probe).send().await.status, 404);
}
