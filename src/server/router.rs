//! Every route in one list, and the layers round them.

use std::any::Any;

use any_spawner::Executor;
use axum::{
    Router,
    extract::{Request, State},
    http::Method,
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use leptos::prelude::provide_context;
use leptos_axum::{handle_server_fns_with_context, render_app_to_stream_with_context};
use tower_http::catch_panic::CatchPanicLayer;

use super::{
    answer::Door,
    assets,
    config::ServerConfig,
    guard::{Limits, guard},
    headers::add_headers,
    health,
    observe::{Observer, observe},
    state::AppState,
};
use crate::{api, app::shell, error::AppError, pages::View};

/// The server's routes with all their layers. `run` tells this start of the program from all others in the log.
pub fn router(state: AppState, config: &ServerConfig, run: &str) -> Router {
    let observer = Observer::new(state.trust.clone(), run);
    let limits =
        Limits { trust: state.trust.clone(), body_timeout: config.body_timeout, answer_timeout: config.answer_timeout };
    layers(routes(&state).with_state(state), observer, limits)
}

fn routes(state: &AppState) -> Router<AppState> {
    // Rendering needs Leptos's executor. It can be set once in a process; later calls change nothing.
    drop(Executor::init_tokio());
    let mut routes = Router::new().nest("/api/accounts", api::router()).merge(health::router()).merge(assets::router());
    for (path, method) in server_fn::axum::server_fn_paths() {
        // Every server function is called by POST; any other method would be a link that changes something.
        if method == Method::POST {
            let context = context(state);
            routes = routes.route(path, post(move |request: Request| handle_server_fns_with_context(context, request)));
        }
    }
    for view in View::CHOICES {
        routes = routes.route(view.path(), get(page));
    }
    routes.route("/", get(page)).fallback(not_found).method_not_allowed_fallback(method_not_allowed)
}

/// What the page and its server functions find in their context.
fn context(state: &AppState) -> impl Fn() + Clone + Send + Sync + 'static {
    let state = state.clone();
    move || {
        provide_context(state.clone());
        provide_context(state.files.clone());
    }
}

async fn page(State(state): State<AppState>, request: Request) -> Response {
    render_app_to_stream_with_context(context(&state), shell)(request).await.into_response()
}

/// What stands round every route, the outermost last. A panic becomes an answer inside of the headers and the log.
fn layers(routes: Router, observer: Observer, limits: Limits) -> Router {
    routes
        .layer(middleware::from_fn_with_state(limits, guard))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(add_headers))
        .layer(middleware::from_fn_with_state(observer, observe))
}

/// A browser gets the page's own "not found", anybody else the error in their door's shape.
async fn not_found(State(state): State<AppState>, request: Request) -> Response {
    let door = Door::of(request.uri().path());
    if door != Door::Page || !matches!(*request.method(), Method::GET | Method::HEAD) {
        return door.refuse(&AppError::NotFound);
    }
    page(State(state), request).await
}

async fn method_not_allowed(request: Request) -> Response {
    Door::of(request.uri().path()).refuse(&AppError::MethodNotAllowed)
}

fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    // Where it was has been logged by the panic hook. What it said may hold a secret.
    Door::Api.refuse(&AppError::Internal)
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use axum::{body::Body, http::StatusCode, routing::get};
    use tower::ServiceExt;

    use super::*;

    fn with_panic() -> Router {
        let routes = Router::new()
            .route("/panic", get(async || -> &'static str { panic!("a secret") }))
            .route("/good", get(async || "good"));
        let limits = Limits {
            trust: Arc::default(),
            body_timeout: Duration::from_secs(1),
            answer_timeout: Duration::from_secs(1),
        };
        layers(routes, Observer::new(Arc::default(), "test"), limits)
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
