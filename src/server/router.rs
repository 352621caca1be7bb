//! Every route in one list.

use any_spawner::Executor;
use axum::{
    Router,
    extract::{Request, State},
    http::Method,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use leptos::prelude::provide_context;
use leptos_axum::{handle_server_fns_with_context, render_app_to_stream_with_context};

use super::{answer::Surface, assets, config::ServerConfig, front, health, state::AppState};
use crate::{api, app::shell, error::AppError, pages::View};

/// The server's routes with what stands before them. `run` tells this start of the program from all others in the log.
pub fn router(state: &AppState, config: &ServerConfig, run: &str) -> Router {
    front::stand_before(routes(state).with_state(state.clone()), &state.trust, config, run)
}

fn routes(state: &AppState) -> Router<AppState> {
    // Rendering needs Leptos's executor. It can be set once in a process; later calls change nothing.
    drop(Executor::init_tokio());
    let mut routes = Router::new().merge(api::router()).merge(health::router()).merge(assets::router());
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

/// A browser gets the page's own "not found", anybody else the error in its surface's shape.
async fn not_found(State(state): State<AppState>, request: Request) -> Response {
    let surface = Surface::of(request.uri().path());
    if surface != Surface::Page || !matches!(*request.method(), Method::GET | Method::HEAD) {
        return surface.refuse(&AppError::NotFound);
    }
    page(State(state), request).await
}

async fn method_not_allowed(request: Request) -> Response {
    Surface::of(request.uri().path()).refuse(&AppError::MethodNotAllowed)
}
