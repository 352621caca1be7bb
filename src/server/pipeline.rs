//! The steps that every request passes through before it reaches a route, whatever its path.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc};

use axum::{extract::Request, response::Response};
use futures_util::FutureExt;

use super::{
    config::ServerConfig, guard::Limits, headers::CommonHeaders, hourly::Hourly, metrics::RequestCounts,
    observe::observe, routes::Routes,
};
use crate::{
    error::AppError,
    http::{response::ErrorFormat, trust::Trust},
};

/// Turns a request into a response. The steps, from the outside in, are: log, headers, panic handler, guard, routes.
///
/// The steps are not axum layers, because each layer would be cloned and boxed for every request.
#[derive(Debug)]
pub struct Pipeline {
    headers: CommonHeaders,
    limits: Limits,
    routes: Routes,
    /// Limits the logging of 503 responses.
    busy: Hourly,
    /// `None` unless metrics are served.
    counts: Option<Arc<RequestCounts>>,
}

impl Pipeline {
    /// Builds the pipeline in front of the given routes.
    #[must_use]
    pub fn new(routes: Routes, trust: &Arc<Trust>, config: &ServerConfig) -> Self {
        let limits = Limits::new(Arc::clone(trust), config);
        let headers = CommonHeaders::new(trust.is_https());
        Self { headers, limits, routes, busy: Hourly::default(), counts: None }
    }

    /// Also counts requests by route. Returns the counts.
    pub fn count_requests(&mut self) -> Arc<RequestCounts> {
        let counts = Arc::new(RequestCounts::new(self.routes.paths()));
        self.counts = Some(Arc::clone(&counts));
        counts
    }

    /// Returns the routes.
    #[must_use]
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// Handles a request. A panic becomes a 500 response.
    pub async fn handle(&self, request: Request) -> Response {
        let format = ErrorFormat::of(request.uri().path());
        let handle = async |request| {
            let guarded = AssertUnwindSafe(self.limits.guard(format, request, &self.routes)).catch_unwind().await;
            let mut response = guarded.unwrap_or_else(|panic| panicked(format, &panic));
            self.headers.add_to(format, response.headers_mut());
            response
        };
        observe(request, &self.routes, &self.busy, self.counts.as_deref(), handle).await
    }
}

/// The response after a panic. The panic hook has logged its place. Its message is dropped, as it may hold a secret.
fn panicked(format: ErrorFormat, _panic: &(dyn Any + Send)) -> Response {
    format.error_response(&AppError::Internal)
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, http::StatusCode, routing::get};

    use super::*;
    use crate::server::config::Config;

    fn with_panic() -> Pipeline {
        let routes = Router::new()
            .route("/panic", get(async || -> &'static str { panic!("a secret") }))
            .route("/good", get(async || "good"));
        let config = Config::load(None, []).expect("the defaults");
        Pipeline::new(Routes::from(routes), &Arc::default(), &config.server)
    }

    async fn get_path(pipeline: &Pipeline, path: &str) -> Response {
        pipeline.handle(Request::get(path).header("host", "localhost").body(Body::empty()).expect("a request")).await
    }

    #[tokio::test]
    async fn a_panic_is_one_generic_500_and_the_server_continues_r84() {
        let pipeline = with_panic();
        let response = get_path(&pipeline, "/panic").await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(response.headers().contains_key("x-request-id") && response.headers().contains_key("x-frame-options"));
        let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.expect("a body");
        assert!(!String::from_utf8_lossy(&body).contains("secret"));
        for _ in 0..1000 {
            assert_eq!(get_path(&pipeline, "/good").await.status(), StatusCode::OK);
        }
    }
}
