//! An identifier and a line in the log for each request.

use std::time::Instant;

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode},
    response::Response,
};
use tracing::Instrument;

use super::hourly::Hourly;
use crate::service::entropy::{Entropy, SystemEntropy};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Identifies a request by a random number, which tells a visitor nothing of other requests, and logs how it went. The
/// path is never logged, only the route that it leads to: somebody may have put a secret into it.
///
/// An answer of 503 says that the server is busy. A stranger can cause as many as they like, so `busy` logs it once an hour.
pub async fn observe(
    request: Request,
    route: &str,
    busy: &Hourly,
    answer: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    let id = request_id();
    let span = tracing::info_span!("request", id = id.as_str());
    let method = request.method().clone();
    let answered = async {
        let started = Instant::now();
        let response = answer(request).await;
        let status = response.status().as_u16();
        let millis = started.elapsed().as_secs_f64() * 1000.0;
        match response.status() {
            StatusCode::SERVICE_UNAVAILABLE => {
                busy.warn(|left_out| tracing::warn!(%method, route, status, millis, left_out, "answered"));
            }
            // What the configuration leaves out is no fault of ours, and a stranger may ask for it as often as they like.
            StatusCode::NOT_IMPLEMENTED => tracing::debug!(%method, route, status, millis, "answered"),
            _ if status >= 500 => tracing::warn!(%method, route, status, millis, "answered"),
            _ => tracing::debug!(%method, route, status, millis, "answered"),
        }
        response
    };
    let mut response = answered.instrument(span).await;
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

fn request_id() -> String {
    let mut bytes = [0; 8];
    SystemEntropy.fill(&mut bytes);
    format!("{:016x}", u64::from_ne_bytes(bytes))
}
