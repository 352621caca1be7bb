//! The number of log lines that a stranger can cause.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{self, StatusCode},
    routing,
};
use serde_json::json;
use tracing::{Level, Metadata};
use vestibule::{
    mail::MailUrl,
    server::{config::Config, pipeline::Pipeline, routes::Routes},
};

use crate::util::{App, Backend, Request, captured_log::CapturedLog, some_address};

/// The number of requests of one kind from one address.
const REQUESTS: usize = 20;

/// A path with its method.
#[derive(Debug)]
struct Route {
    method: String,
    path: String,
}

impl Route {
    fn new(method: &str, path: &str) -> Self {
        let path = path.replace("{id}", "018f2f3a-0000-7000-8000-000000000000");
        Self { method: method.to_uppercase(), path }
    }
}

/// The API's calls, the page's server functions, some pages, and a path that doesn't exist.
async fn routes(app: &App) -> Vec<Route> {
    let mut routes = Vec::new();
    for (path, methods) in app.document().await["paths"].as_object().unwrap() {
        routes.extend(methods.as_object().unwrap().keys().map(|method| Route::new(method, path)));
    }
    let functions = app.pipeline.routes().paths().iter().filter(|path| path.starts_with("/fn/"));
    routes.extend(functions.map(|path| Route::new("POST", path)));
    for function in ["/fn/login", "/fn/export"] {
        assert!(routes.iter().any(|route| route.path == function), "{function}: {routes:?}");
    }
    routes.extend(["/", "/login", "/account", "/nothing"].map(|path| Route::new("GET", path)));
    routes
}

/// A kind of request, which is rejected or not.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    NoBody,
    EmptyBody,
    NotJson,
    AllFields,
    InvalidToken,
    OldProof,
    OtherHost,
    OtherSite,
}

const KINDS: [Kind; 8] = [
    Kind::NoBody,
    Kind::EmptyBody,
    Kind::NotJson,
    Kind::AllFields,
    Kind::InvalidToken,
    Kind::OldProof,
    Kind::OtherHost,
    Kind::OtherSite,
];

/// A request of a kind. The token belongs to a session whose password was confirmed long ago.
fn request(app: &App, route: &Route, kind: Kind, token: &str) -> Request {
    let request = app.request(&route.method, &route.path);
    let fields = json!({
        "email": "nobody@example.org", "username": "nobody", "password": "wrong", "new_email": "new@example.org",
        "current_password": "wrong", "new_password": "short", "token": "vsl_nothing", "name": "x", "scope": "read",
        "days": 1,
    });
    match kind {
        Kind::NoBody => request,
        Kind::EmptyBody => request.json(&json!({})),
        Kind::NotJson => request.body("text/plain", "{"),
        Kind::AllFields => request.json(&fields),
        Kind::InvalidToken => request.bearer("vst_nothing").json(&fields),
        Kind::OldProof => request.bearer(token).json(&fields),
        Kind::OtherHost => request.replace_host("other.example"),
        Kind::OtherSite => request.header("sec-fetch-site", "cross-site").json(&json!({})),
    }
}

/// Whether the log contains an event by default.
fn is_logged(metadata: &Metadata<'_>) -> bool {
    metadata.is_event() && *metadata.level() <= Level::INFO && metadata.target().starts_with("vestibule")
}

fn is_warning(metadata: &Metadata<'_>) -> bool {
    metadata.is_event() && *metadata.level() <= Level::WARN
}

#[tokio::test]
async fn repeated_requests_do_not_each_write_a_log_line_r112() {
    let mut checked = 0;
    for mail in ["off", "folder:mail"] {
        let app = App::start_with(Backend::Sqlite, |config| config.mail.url = MailUrl::parse(mail).unwrap()).await;
        let ann = app.register("ann").await;
        for route in routes(&app).await {
            for kind in KINDS {
                // A request may end the session, so each route uses a new one.
                let token = if kind == Kind::OldProof { ann.log_in().await.token } else { String::new() };
                app.clock.advance(Duration::from_mins(11));
                let address = some_address();
                let (captured, listening) = CapturedLog::listen(is_logged);
                for _ in 0..REQUESTS {
                    request(&app, &route, kind, &token).from(&address).await;
                }
                drop(listening);
                let lines = captured.take();
                assert!(lines.len() < REQUESTS, "{route:?}, {kind:?}, mail {mail}: {lines:#?}");
                checked += 1;
            }
        }
    }
    assert!(checked > 500, "{checked}");
}

/// Sends [`REQUESTS`] requests. Returns the lines of the log.
async fn log_of(pipeline: &Pipeline, path: &str) -> Vec<String> {
    let (captured, listening) = CapturedLog::listen(is_warning);
    for _ in 0..REQUESTS {
        let request = http::Request::get(path).header("host", "localhost").body(Body::empty()).unwrap();
        pipeline.handle(request).await;
    }
    drop(listening);
    captured.take()
}

#[tokio::test]
async fn repeated_503s_are_logged_once_and_each_500_is_logged_r112() {
    let respond = |status| routing::get(async move || status);
    let routes = Router::new()
        .route("/busy", respond(StatusCode::SERVICE_UNAVAILABLE))
        .route("/broken", respond(StatusCode::INTERNAL_SERVER_ERROR));
    let config = Config::load(None, []).unwrap();
    let pipeline = Pipeline::new(Routes::from(routes), &Arc::default(), &config.server);

    let busy = log_of(&pipeline, "/busy").await;
    assert_eq!(busy.len(), 1, "{busy:?}");
    assert!(busy[0].contains("status: 503"), "{busy:?}");

    let broken = log_of(&pipeline, "/broken").await;
    assert_eq!(broken.len(), REQUESTS, "{broken:?}");
    assert!(broken.iter().all(|line| line.contains("status: 500")), "{broken:?}");
}
