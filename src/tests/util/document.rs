//! Compares the API's responses with its document.

use axum::http::Method;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::{App, Pipeline, Response};

static DOCUMENT: OnceCell<Value> = OnceCell::const_new();

/// The document, as a server returns it.
pub async fn document(pipeline: &Pipeline) -> &'static Value {
    let read = async || {
        let request =
            axum::http::Request::get("/api/openapi.json").header("host", "localhost").body(axum::body::Body::empty());
        Response::read(pipeline.handle(request.unwrap()).await).await.json()
    };
    DOCUMENT.get_or_init(read).await
}

/// The description of an operation.
pub fn operation<'a>(document: &'a Value, method: &Method, path: &str) -> Option<&'a Value> {
    let parts = |path: &str| path.trim_end_matches('/').split('/').map(str::to_owned).collect::<Vec<_>>();
    let given = parts(path);
    let meant = |template: &str| {
        let template = parts(template);
        template.len() == given.len()
            && template.iter().zip(&given).all(|(part, given)| part == given || part.starts_with('{'))
    };
    let (_, item) = document["paths"].as_object().unwrap().iter().find(|(template, _)| meant(template))?;
    item.get(method.as_str().to_lowercase())
}

/// Fails on a response that the document doesn't describe: its status, its error code, the types and keys of its body.
pub async fn expect(pipeline: &Pipeline, method: &Method, path: &str, response: &Response) {
    if !path.starts_with("/api/a") {
        return;
    }
    let document = document(pipeline).await;
    let Some(operation) = operation(document, method, path) else {
        let undescribed = response.status.is_client_error() || *method == Method::HEAD || *method == Method::OPTIONS;
        assert!(undescribed, "{method} {path} is not described");
        return;
    };
    let described = &operation["responses"][response.status.as_str()];
    assert!(!described.is_null(), "{method} {path}: the document doesn't describe {}", response.status);
    let schema = &described["content"]["application/json"]["schema"];
    if schema.is_null() {
        assert_eq!(response.text, "", "{method} {path}");
        return;
    }
    let body = response.json();
    if let Err(fault) = compare(document, schema, &body) {
        panic!("{method} {path}: {fault}, in {body}");
    }
    if let Some(code) = body.get("code").and_then(Value::as_str) {
        let about = described["description"].as_str().unwrap();
        assert!(about.contains(&format!("`{code}`")), "{method} {path}: {code} isn't in {about}");
    }
}

/// Checks that a value has exactly the types and keys of a schema.
fn compare(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(options) = schema.get("oneOf").and_then(Value::as_array) {
        let fits = options.iter().any(|option| compare(document, option, value).is_ok());
        return fits.then_some(()).ok_or_else(|| format!("{value} matches none of {options:?}"));
    }
    let (properties, always) = keys(document, schema);
    let schema = resolve(document, schema);
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let kinds =
        schema.get("type").map_or_else(Vec::new, |kinds| kinds.as_array().cloned().unwrap_or(vec![kinds.clone()]));
    if !kinds.is_empty() && !kinds.contains(&Value::from(kind)) {
        return Err(format!("{value} is none of {kinds:?}"));
    }
    match value {
        Value::Array(list) => list.iter().try_for_each(|item| compare(document, &schema["items"], item)),
        Value::Object(object) if schema.get("additionalProperties").is_some() => {
            object.values().try_for_each(|value| compare(document, &schema["additionalProperties"], value))
        }
        Value::Object(object) => {
            if let Some(missing) = always.iter().find(|key| !object.contains_key(**key)) {
                return Err(format!("{missing} is missing"));
            }
            object.iter().try_for_each(|(key, value)| {
                let (_, property) =
                    properties.iter().find(|(name, _)| name == key).ok_or_else(|| format!("{key} is not described"))?;
                compare(document, property, value)
            })
        }
        _ => Ok(()),
    }
}

fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let place = schema.get("$ref").and_then(Value::as_str);
    place.map_or(schema, |place| document.pointer(place.trim_start_matches('#')).unwrap())
}

/// The properties of an object or of a composed schema, and the names of the required ones.
fn keys<'a>(document: &'a Value, schema: &'a Value) -> (Vec<(&'a str, &'a Value)>, Vec<&'a str>) {
    let schema = resolve(document, schema);
    if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
        let (all, always): (Vec<_>, Vec<_>) = parts.iter().map(|part| keys(document, part)).unzip();
        return (all.concat(), always.concat());
    }
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let always = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    (properties.map(|(name, schema)| (name.as_str(), schema)).collect(), always.collect())
}

impl App {
    /// The API's document.
    pub async fn document(&self) -> &'static Value {
        document(&self.pipeline).await
    }
}
