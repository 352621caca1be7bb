//! The API's description for programs and for people. Every test of the API compares its responses with the
//! description: see `util::document`.

use std::collections::BTreeSet;

use axum::http::Method;
use serde_json::{Value, json};

use crate::util::{App, Backend, document::operation};

const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

#[tokio::test]
async fn the_document_tells_of_every_call_and_of_nothing_else() {
    let app = App::start(Backend::Sqlite).await;
    let document = app.document().await;
    assert_eq!(document["openapi"], "3.1.0");
    let described: BTreeSet<&str> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let routes = app.pipeline.routes().paths().iter().map(String::as_str);
    let is_call = |path: &&str| ["/api/accounts/", "/api/admin/"].iter().any(|start| path.starts_with(start));
    let there: BTreeSet<&str> = routes.filter(|path| is_call(path) && path.ends_with('/')).collect();
    assert_eq!(described, there);
    for path in described {
        for method in METHODS {
            let given = app.request(method.as_str(), &path.replace("{id}", "0")).send().await.status;
            assert_eq!(given == 405, operation(document, &method, path).is_none(), "{method} {path}: {given}");
        }
    }
}

#[tokio::test]
async fn the_document_tells_which_calls_want_a_token_r46() {
    let app = App::start(Backend::Sqlite).await;
    let document = app.document().await;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, entry) in item.as_object().unwrap() {
            let call = app.request(&method.to_uppercase(), &path.replace("{id}", "0"));
            let given = call.body("application/json", "{}").send().await.status;
            assert_eq!(given == 401, entry["security"] == json!([{ "bearer": [] }]), "{method} {path}: {given}");
        }
    }
}

#[tokio::test]
async fn the_documents_references_resolve_and_its_names_are_unique() {
    let app = App::start(Backend::Sqlite).await;
    let document = app.document().await;
    let calls = document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
    let called: Vec<&str> = calls.map(|call| call["operationId"].as_str().unwrap()).collect();
    let names: BTreeSet<&str> = called.iter().copied().collect();
    assert_eq!(names.len(), called.len(), "{called:?}");
    let mut open = vec![document];
    let mut references = BTreeSet::new();
    while let Some(value) = open.pop() {
        match value {
            Value::Object(object) => {
                references.extend(object.get("$ref").and_then(Value::as_str));
                // The target of a link must exist, too.
                assert!(object.get("operationId").is_none_or(|name| names.contains(name.as_str().unwrap())));
                open.extend(object.values());
            }
            Value::Array(list) => open.extend(list),
            _ => {}
        }
    }
    assert!(references.len() > 10 && references.iter().all(|place| document.pointer(&place[1..]).is_some()));
}

#[tokio::test]
async fn the_docs_page_lists_every_call_and_loads_nothing_remote() {
    let app = App::start(Backend::Sqlite).await;
    let document = app.document().await;
    let page = app.get("/api/docs").header("sec-fetch-site", "cross-site").send().await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert_eq!(page.text, app.get("/api/docs/").send().await.text);
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'self'; img-src 'self';"), "{policy}");
    assert!(!page.text.contains("<script") && !page.text.contains("=\"http") && !page.text.contains(" style="));
    assert!(!page.text.contains("=\"//") && !page.text.contains("$SERVER"), "the page knows its address");
    assert!(page.text.contains("curl -X POST \"http://localhost:8000/api/accounts/api_auth/\""));
    let odd = app.get("/api/docs").replace_host("localhost:80<b>").send().await;
    assert!(!odd.text.contains("<b>"), "a host name is always escaped");
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, entry) in item.as_object().unwrap() {
            let address = format!("<strong>{}</strong> <code>{path}</code>", method.to_uppercase());
            assert!(page.text.contains(&address), "{address}");
            let name = entry["operationId"].as_str().unwrap();
            assert!(page.text.contains(&format!("<h3 id=\"{name}\">")), "{name}");
        }
    }
    for field in ["current_password", "days", "\"read\" or \"full\"", "sessions_ended", "reauth_required", "too_large"]
    {
        assert!(page.text.contains(field), "{field}");
    }
}
