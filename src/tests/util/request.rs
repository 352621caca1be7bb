//! Requests to a server without its sockets, and the responses.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU32, Ordering},
    },
};

use axum::{
    body::{Body, Bytes, to_bytes},
    http::{HeaderMap, HeaderValue, StatusCode, Version, request::Builder},
};
use serde_json::Value;
use vestibule::{http::client_ip::Peer, server::pipeline::Pipeline};

use super::document;

/// An address that no other request of this run has.
pub fn some_address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let [_, b, c, d] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    format!("10.{b}.{c}.{d}")
}

/// A handle to a server, which stays valid after a restart. It doesn't keep the server running.
#[derive(Clone, Default)]
pub struct Server(Arc<Mutex<Weak<Pipeline>>>);

impl Server {
    pub fn lead_to(&self, pipeline: &Arc<Pipeline>) {
        *self.0.lock().unwrap() = Arc::downgrade(pipeline);
    }

    /// A request from the server's own address. A path without a leading slash, such as `me/`, belongs to the API.
    pub fn request(&self, method: &str, path: &str) -> Request {
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/api/accounts/{path}") };
        let builder = axum::http::Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost:8000")
            .extension(Peer(SocketAddr::from(([127, 0, 0, 1], 40_000))));
        let pipeline = self.0.lock().unwrap().upgrade().expect("the server is stopped");
        Request { pipeline, builder, body: Body::empty() }
    }
}

/// A request. It is sent when it is awaited.
pub struct Request {
    pipeline: Arc<Pipeline>,
    builder: Builder,
    body: Body,
}

impl Request {
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.builder = self.builder.header(name, value.as_ref());
        self
    }

    /// Replaces a header.
    fn replace(mut self, name: &'static str, value: &str) -> Self {
        if let Some(headers) = self.builder.headers_mut() {
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
        self
    }

    /// Replaces the host.
    pub fn replace_host(self, host: &str) -> Self {
        self.replace("host", host)
    }

    /// Removes the host.
    pub fn without_host(mut self) -> Self {
        if let Some(headers) = self.builder.headers_mut() {
            headers.remove("host");
        }
        self
    }

    /// Sets another version of HTTP than 1.1.
    pub fn version(mut self, version: Version) -> Self {
        self.builder = self.builder.version(version);
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// Sets the client's address, as a proxy does.
    pub fn from(self, address: &str) -> Self {
        self.replace("x-forwarded-for", address)
    }

    /// Sets an address that no other request of this run has. No rate limit of addresses applies to it.
    pub fn with_fresh_address(self) -> Self {
        self.from(&some_address())
    }

    pub fn body(mut self, kind: &str, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self.header("content-type", kind)
    }

    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    /// Sends it. The test fails if the API's document doesn't describe the response.
    pub async fn send(self) -> Response {
        let request = self.builder.body(self.body).unwrap();
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let line = format!("{method} {} {:?}", request.uri(), request.headers());
        let response = Response { request: line, ..Response::read(self.pipeline.handle(request).await).await };
        document::expect(&self.pipeline, &method, &path, &response).await;
        response
    }
}

impl IntoFuture for Request {
    type Output = Response;
    type IntoFuture = Pin<Box<dyn Future<Output = Response> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

/// A response.
#[derive(Debug)]
pub struct Response {
    /// The request without its body, which the message of a failed assertion shows.
    request: String,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
    pub bytes: Bytes,
}

impl Response {
    pub async fn read(response: axum::response::Response) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 1 << 22).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Self { request: String::new(), status: parts.status, headers: parts.headers, text, bytes }
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    /// The token that it carries: a field of the API, or the whole body of a server function.
    #[track_caller]
    pub fn token(&self) -> String {
        let body = self.assert_status(200).json();
        let token = body.as_str().or(body["token"].as_str()).or(body["login"]["token"].as_str());
        token.unwrap_or_else(|| panic!("no token: {body}")).to_owned()
    }

    /// The error code: a field of the API, or the whole body of a server function.
    #[track_caller]
    pub fn code(&self) -> String {
        let body = self.json();
        body.as_str().or(body["code"].as_str()).unwrap_or_default().to_owned()
    }

    /// A header's value, or an empty text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Status, the relevant headers, and the body: for comparisons and for snapshots.
    pub fn shape(&self) -> String {
        let mut lines = vec![self.status.to_string()];
        for name in
            ["www-authenticate", "retry-after", "allow", "clear-site-data", "cache-control", "content-type", "vary"]
        {
            if let Some(value) = self.headers.get(name) {
                lines.push(format!("{name}: {}", value.to_str().unwrap()));
            }
        }
        lines.push(self.text.clone());
        lines.join("\n")
    }

    #[track_caller]
    pub fn assert_status(&self, status: u16) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{}: {}", self.request, self.text);
        self
    }

    #[track_caller]
    pub fn assert_code(&self, code: &str) -> &Self {
        assert_eq!(self.code(), code, "{}", self.text);
        self
    }

    /// Checks the message at one field of a form, in a response of the API.
    #[track_caller]
    pub fn assert_field_error(&self, field: &str, message: &str) -> &Self {
        let body = self.assert_status(400).json();
        assert_eq!(body["errors"][field], serde_json::json!([message]), "{body}");
        self
    }

    #[track_caller]
    pub fn assert_contains(&self, text: &str) -> &Self {
        assert!(self.text.contains(text), "{}", self.text);
        self
    }

    #[track_caller]
    pub fn assert_not_contains(&self, text: &str) -> &Self {
        assert!(!self.text.contains(text), "{}: {}", self.request, self.text);
        self
    }

    #[track_caller]
    pub fn assert_header(&self, name: &str, value: &str) -> &Self {
        let found = self.headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(found, Some(value), "{name}: {}", self.request);
        self
    }

    #[track_caller]
    pub fn assert_header_contains(&self, name: &str, part: &str) -> &Self {
        assert!(self.header(name).contains(part), "{name}: {:?}: {}", self.header(name), self.request);
        self
    }

    #[track_caller]
    pub fn assert_no_header(&self, name: &str) -> &Self {
        assert!(!self.headers.contains_key(name), "{name}: {:?}: {}", self.header(name), self.request);
        self
    }
}
