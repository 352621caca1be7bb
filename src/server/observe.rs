//! Gives each request an identifier and a line in the log.

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

/// Gives a request an identifier and logs its outcome. The identifier is random, so it reveals nothing about other
/// requests. Only the route is logged, because the path itself may contain a secret.
///
/// A 503 means that the server is busy. Anybody can cause any number of them, so `busy` logs them once an hour.
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
                busy.warn(|left_out| tracing::warn!(%method, route, status, millis, left_out, "request handled"));
            }
            // A feature that the operator turned off is not a server error, and anybody can cause any number of these.
            StatusCode::NOT_IMPLEMENTED => tracing::debug!(%method, route, status, millis, "request handled"),
            _ if status >= 500 => tracing::warn!(%method, route, status, millis, "request handled"),
            _ => tracing::debug!(%method, route, status, millis, "request handled"),
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
