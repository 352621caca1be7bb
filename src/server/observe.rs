//! Gives each request an identifier and a line in the log.

use std::time::Instant;

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode},
    response::Response,
};

use super::{hourly::Hourly, metrics::RequestCounts, routes::Routes};
use crate::service::{entropy::SystemEntropy, request_id::RequestId};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives a request an identifier, counts it and logs its outcome. Only the route is logged, because the path itself may contain a
/// secret.
///
/// A 503 means that the server is busy. Anybody can cause any number of them, so `busy` logs them once an hour.
pub async fn observe(
    request: Request,
    routes: &Routes,
    busy: &Hourly,
    counts: Option<&RequestCounts>,
    answer: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    let id = RequestId::generate(&SystemEntropy);
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let answered = async {
        let started = Instant::now();
        let response = answer(request).await;
        let status = response.status().as_u16();
        if let Some(counts) = counts {
            counts.count(routes.place(uri.path()), &method, response.status(), started.elapsed());
        }
        // Called only for what is logged.
        let route = || routes.name(uri.path());
        let millis = || started.elapsed().as_secs_f64() * 1000.0;
        match response.status() {
            StatusCode::SERVICE_UNAVAILABLE => busy.warn(|left_out| {
                tracing::warn!(%method, route = route(), status, millis = millis(), left_out, "request handled");
            }),
            status if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED => {
                let status = status.as_u16();
                tracing::warn!(%method, route = route(), status, millis = millis(), "request handled");
            }
            // A feature that the operator turned off is not a server error, and anybody can cause any number of these.
            _ => tracing::debug!(%method, route = route(), status, millis = millis(), "request handled"),
        }
        response
    };
    let mut response = id.scope(answered).await;
    if let Ok(id) = HeaderValue::from_bytes(id.as_bytes()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}
