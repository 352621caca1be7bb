//! A number and a line in the log for each request.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode},
    response::Response,
};
use tracing::Instrument;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Who looks at every request first, and at its answer last.
#[derive(Debug)]
pub struct Observer {
    run: String,
    count: AtomicU64,
}

impl Observer {
    /// `run` tells this start of the program from all others; requests are numbered within it.
    #[must_use]
    pub fn new(run: &str) -> Self {
        Self { run: run.to_owned(), count: AtomicU64::new(0) }
    }

    /// Numbers the request, and logs how it went. The path is never logged, only the route that
    /// it leads to: somebody may have put a secret into it.
    pub async fn observe(
        &self,
        request: Request,
        route: &str,
        answer: impl AsyncFnOnce(Request) -> Response,
    ) -> Response {
        let id = format!("{}-{:x}", self.run, self.count.fetch_add(1, Ordering::Relaxed));
        let span = tracing::info_span!("request", id = id.as_str());
        let method = request.method().clone();
        let answered = async {
            let started = Instant::now();
            let response = answer(request).await;
            let status = response.status().as_u16();
            let millis = started.elapsed().as_secs_f64() * 1000.0;
            // What the configuration leaves out (501) is no fault of ours, and a stranger may ask for it as often as they like.
            if status >= 500 && status != StatusCode::NOT_IMPLEMENTED {
                tracing::warn!(%method, route, status, millis, "answered");
            } else {
                tracing::debug!(%method, route, status, millis, "answered");
            }
            response
        };
        let mut response = answered.instrument(span).await;
        if let Ok(id) = HeaderValue::try_from(id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        response
    }
}
