//! The list of all routes.

use std::convert::Infallible;

use any_spawner::Executor;
use axum::{
    Router,
    extract::{Request, State},
    http::{
        HeaderValue, Method, StatusCode,
        header::{LOCATION, VARY},
    },
    response::{IntoResponse, Response},
    routing::{get, post},
};
use leptos::prelude::provide_context;
use leptos_axum::{handle_server_fns_with_context, render_app_to_stream_with_context};
use tower::Service;

use super::{brand, health};
use crate::{
    api,
    app::shell,
    error::AppError,
    http::{
        assets, gzip,
        response::{ErrorFormat, function_response},
        state::{AppState, Route},
    },
    route::{Part, View},
};

/// The router, and the paths of all routes except those of the page's files.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    router: Router,
    paths: Vec<String>,
}

impl Routes {
    /// Builds all routes of the server.
    #[must_use]
    pub fn of(state: &AppState) -> Self {
        // Rendering requires Leptos's executor. It can be set once per process; later calls have no effect.
        drop(Executor::init_tokio());
        let (mut router, mut paths) = (assets::router(), Vec::new());
        let listed = api::routes()
            .into_iter()
            .chain(health::routes())
            .chain(brand::routes())
            .chain(functions(state))
            .chain(views())
            .chain([change_password()]);
        for (path, handler) in listed {
            router = router.route(&path, handler);
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        let router = router.fallback(not_found).method_not_allowed_fallback(method_not_allowed);
        Self { router: router.with_state(state.clone()), paths }
    }

    /// The paths of all routes except those of the page's files.
    #[must_use]
    pub fn paths(&self) -> &[String] {
        &self.paths
    }

    /// The route that a path matches, for the log. The path itself may contain anything, such as a secret.
    #[must_use]
    pub fn name(&self, path: &str) -> &str {
        self.place(path).and_then(|place| self.paths.get(place)).map_or("other", String::as_str)
    }

    /// The place in [`Routes::paths`] of the route that a path matches.
    #[must_use]
    pub fn place(&self, path: &str) -> Option<usize> {
        // Most paths are equal to their route, and that comparison is cheap.
        let same = self.paths.iter().position(|route| *route == path);
        same.or_else(|| self.paths.iter().position(|route| matches(route, path)))
    }

    /// Handles a request that has passed the guard.
    pub async fn call(&self, request: Request) -> Response {
        let Ok(response): Result<Response, Infallible> = self.router.clone().call(request).await;
        response
    }
}

impl From<Router> for Routes {
    fn from(router: Router) -> Self {
        Self { router, paths: Vec::new() }
    }
}

/// Whether a route matches a path. A part in braces matches any text.
fn matches(route: &str, path: &str) -> bool {
    let (mut parts, mut given) = (route.split('/'), path.split('/'));
    let any = |part: &str| part.starts_with('{');
    loop {
        match (parts.next(), given.next()) {
            (None, None) => return true,
            (Some(part), Some(found)) if part == found || any(part) && !found.is_empty() => {}
            _ => return false,
        }
    }
}

/// The page's server functions. Only POST is routed, because with another method a link could change something.
fn functions(state: &AppState) -> impl Iterator<Item = Route> {
    let called = server_fn::axum::server_fn_paths().filter(|(_, method)| *method == Method::POST);
    called.map(|(path, _)| {
        let context = context(state);
        let answer = async move |request: Request| {
            function_response(handle_server_fns_with_context(context, request).await.into_response()).await
        };
        (path.to_owned(), post(answer))
    })
}

fn views() -> impl Iterator<Item = Route> {
    let paths = View::all().map(View::path).chain(View::OPERATORS_PATHS).chain(["/"]);
    paths.map(|path| (path.to_owned(), get(page)))
}

/// The path where password managers look for the page to change a password (W3C, "A Well-Known URL for Changing
/// Passwords").
fn change_password() -> Route {
    let page = View::Account(Part::Security).path();
    let redirect = async move || (StatusCode::FOUND, [(LOCATION, page)]);
    ("/.well-known/change-password".to_owned(), get(redirect))
}

/// Provides the context of the page and its server functions.
fn context(state: &AppState) -> impl Fn() + Clone + Send + Sync + 'static {
    let state = state.clone();
    move || {
        provide_context(state.clone());
        provide_context(state.files.clone());
    }
}

async fn page(State(state): State<AppState>, request: Request) -> Response {
    let compressed = gzip::is_accepted(request.headers());
    let page = render_app_to_stream_with_context(context(&state), shell)(request).await.into_response();
    let mut page = if compressed { gzip::compress(page).await } else { page };
    page.headers_mut().insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    page
}

/// Responds with the page's "not found" view for a browser, or else with an error in the path's format.
async fn not_found(State(state): State<AppState>, request: Request) -> Response {
    let format = ErrorFormat::of(request.uri().path());
    if format != ErrorFormat::Page || !matches!(*request.method(), Method::GET | Method::HEAD) {
        return format.error_response(&AppError::NotFound);
    }
    page(State(state), request).await
}

async fn method_not_allowed(request: Request) -> Response {
    ErrorFormat::of(request.uri().path()).error_response(&AppError::MethodNotAllowed)
}
