//! What the API's document tells, held against what the API answers.

use axum::http::{Method, StatusCode};
use serde_json::Value;
use tokio::sync::OnceCell;

use super::{Answer, App, Front, Request};

static DOCUMENT: OnceCell<Value> = OnceCell::const_new();

/// The document, as a server gives it.
pub async fn document(front: &Front) -> &'static Value {
    let read = async || {
        let request = Request::get("/api/openapi.json").header("host", "localhost").body(axum::body::Body::empty());
        Answer::read(front.answer(request.unwrap()).await).await.json()
    };
    DOCUMENT.get_or_init(read).await
}

/// What it tells of a call.
pub fn operation<'a>(document: &'a Value, method: &Method, path: &str) -> Option<&'a Value> {
    let parts = |path: &str| path.trim_end_matches('/').split('/').map(str::to_owned).collect::<Vec<_>>();
    let given = parts(path);
    let meant = |told: &str| {
        let told = parts(told);
        told.len() == given.len() && told.iter().zip(&given).all(|(told, given)| told == given || told.starts_with('{'))
    };
    let (_, item) = document["paths"].as_object().unwrap().iter().find(|(told, _)| meant(told))?;
    item.get(method.as_str().to_lowercase())
}

/// Fails on an answer that the document doesn't tell of: its status, the code of its error, the keys of its body.
pub async fn expect(front: &Front, method: &Method, path: &str, answer: &Answer) {
    if !path.starts_with("/api/accounts/") {
        return;
    }
    let document = document(front).await;
    let Some(operation) = operation(document, method, path) else {
        let untold = [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED];
        let refused = answer.status.is_client_error() || *method == Method::HEAD || *method == Method::OPTIONS;
        assert!(refused || untold.contains(&answer.status), "{method} {path} isn't told of");
        return;
    };
    let told = &operation["responses"][answer.status.as_str()];
    assert!(!told.is_null(), "{method} {path}: the document tells nothing of {}", answer.status);
    let schema = &told["content"]["application/json"]["schema"];
    if schema.is_null() {
        assert_eq!(answer.text, "", "{method} {path}");
        return;
    }
    let body = answer.json();
    let (told_keys, always) = keys(document, schema);
    let given: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert!(given.iter().all(|key| told_keys.contains(key)), "{method} {path}: {given:?} are more than {told_keys:?}");
    assert!(always.iter().all(|key| given.contains(key)), "{method} {path}: {given:?} are less than {always:?}");
    if let Some(code) = body.get("code").and_then(Value::as_str) {
        let about = told["description"].as_str().unwrap();
        assert!(about.contains(&format!("`{code}`")), "{method} {path}: {code} isn't in {about}");
    }
}

/// The keys of an object, and those that it always has.
fn keys<'a>(document: &'a Value, schema: &'a Value) -> (Vec<&'a str>, Vec<&'a str>) {
    if let Some(place) = schema.get("$ref").and_then(Value::as_str) {
        return keys(document, document.pointer(place.trim_start_matches('#')).unwrap());
    }
    if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
        let (all, always): (Vec<_>, Vec<_>) = parts.iter().map(|part| keys(document, part)).unzip();
        return (all.concat(), always.concat());
    }
    let all = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    let always = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    (all, always)
}

impl App {
    /// The API's document.
    pub async fn document(&self) -> &'static Value {
        document(&self.front).await
    }
}
