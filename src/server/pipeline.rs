//! What every request goes through, whatever its address is, before it reaches a route.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc};

use axum::{extract::Request, response::Response};
use futures_util::FutureExt;

use super::{
    config::ServerConfig, guard::Limits, headers::CommonHeaders, hourly::Hourly, observe::observe, routes::Routes,
};
use crate::{
    error::AppError,
    http::{response::ErrorFormat, trust::Trust},
};

/// The server as a whole: a request goes in, an answer comes out. From the outside to the inside stand the log, the
/// headers, the net for panics, the guard, and the routes. It is no stack of axum's layers: each of those would clone
/// and box itself for every request.
#[derive(Debug)]
pub struct Pipeline {
    headers: CommonHeaders,
    limits: Limits,
    routes: Routes,
    /// Answers of 503.
    busy: Hourly,
}

impl Pipeline {
    /// Stands before some routes.
    #[must_use]
    pub fn new(routes: Routes, trust: &Arc<Trust>, config: &ServerConfig) -> Self {
        let limits = Limits::new(Arc::clone(trust), config);
        Self { headers: CommonHeaders::new(trust.is_https()), limits, routes, busy: Hourly::default() }
    }

    /// The routes behind it.
    #[must_use]
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// Answers a request, whatever happens.
    pub async fn answer(&self, request: Request) -> Response {
        let surface = ErrorFormat::of(request.uri().path());
        let route = self.routes.name(request.uri().path());
        let answer = async |request| {
            let guarded = AssertUnwindSafe(self.limits.guard(surface, request, &self.routes)).catch_unwind().await;
            let mut response = guarded.unwrap_or_else(|panic| panicked(surface, &panic));
            self.headers.add_to(surface, response.headers_mut());
            response
        };
        observe(request, route, &self.busy, answer).await
    }
}

/// Where it was has been logged by the panic hook. What it said may hold a secret.
fn panicked(surface: ErrorFormat, _panic: &(dyn Any + Send)) -> Response {
    surface.error_response(&AppError::Internal)
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

    async fn get_path(front: &Pipeline, path: &str) -> Response {
        front.answer(Request::get(path).header("host", "localhost").body(Body::empty()).expect("a request")).await
    }

    #[tokio::test]
    async fn a_panic_is_one_generic_500_and_the_server_goes_on_r84() {
        let front = with_panic();
        let response = get_path(&front, "/panic").await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(response.headers().contains_key("x-request-id") && response.headers().contains_key("x-frame-options"));
        let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.expect("a body");
        assert!(!String::from_utf8_lossy(&body).contains("secret"));
        for _ in 0..1000 {
            assert_eq!(get_path(&front, "/good").await.status(), StatusCode::OK);
        }
    }
}
