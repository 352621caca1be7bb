//! What every request goes through, whatever its address is: one layer, so that a request pays for one.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
};
use futures_util::FutureExt;

use super::{
    answer::Surface,
    config::ServerConfig,
    guard::{Limits, guard},
    headers::add_headers,
    observe::Observer,
    state::Trust,
};
use crate::error::AppError;

/// What the layer needs.
#[derive(Debug)]
struct Front {
    observer: Observer,
    limits: Limits,
}

/// Puts the layer round all routes. `run` tells this start of the program from all others in the log.
pub fn stand_before(routes: Router, trust: &Arc<Trust>, config: &ServerConfig, run: &str) -> Router {
    let limits = Limits::new(Arc::clone(trust), config);
    let front = Front { observer: Observer::new(Arc::clone(trust), run), limits };
    routes.layer(middleware::from_fn_with_state(Arc::new(front), pass))
}

/// From the outside to the inside: the log, the headers, the net for panics, the guard.
async fn pass(State(front): State<Arc<Front>>, request: Request, next: Next) -> Response {
    let surface = Surface::of(request.uri().path());
    let answer = async |request| {
        let guarded = AssertUnwindSafe(guard(&front.limits, surface, request, next)).catch_unwind().await;
        let mut response = guarded.unwrap_or_else(|panic| panicked(surface, &panic));
        add_headers(surface, response.headers_mut());
        response
    };
    front.observer.observe(request, answer).await
}

/// Where it was has been logged by the panic hook. What it said may hold a secret.
fn panicked(surface: Surface, _panic: &(dyn Any + Send)) -> Response {
    surface.refuse(&AppError::Internal)
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::StatusCode, routing::get};
    use tower::ServiceExt;

    use super::*;
    use crate::server::config::Config;

    fn with_panic() -> Router {
        let routes = Router::new()
            .route("/panic", get(async || -> &'static str { panic!("a secret") }))
            .route("/good", get(async || "good"));
        let config = Config::load(None, []).expect("the defaults");
        stand_before(routes, &Arc::default(), &config.server, "test")
    }

    async fn get_path(router: &Router, path: &str) -> Response {
        let request = Request::get(path).header("host", "localhost").body(Body::empty()).expect("a request");
        router.clone().oneshot(request).await.expect("an answer")
    }

    #[tokio::test]
    async fn a_panic_is_one_generic_500_and_the_server_goes_on_r84() {
        let router = with_panic();
        let response = get_path(&router, "/panic").await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(response.headers().contains_key("x-request-id") && response.headers().contains_key("x-frame-options"));
        let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.expect("a body");
        assert!(!String::from_utf8_lossy(&body).contains("secret"));
        for _ in 0..1000 {
            assert_eq!(get_path(&router, "/good").await.status(), StatusCode::OK);
        }
    }
}
