//! How much a stranger can make the log grow.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use tracing::Level;
use vestibule::{
    mail::MailUrl,
    server::{config::Config, pipeline::Pipeline, routes::Routes},
};

use super::*;
use crate::util::captured_log::CapturedLog;

/// Requests of one kind from one address.
const REQUESTS: usize = 20;

/// Every path with its method: of the API, of the page's server functions, and one that doesn't exist.
async fn routes(app: &App) -> Vec<(String, String)> {
    let document = app.get("/api/openapi.json").send().await.json();
    let paths = document["paths"].as_object().unwrap().clone();
    let calls = paths.iter().flat_map(|(path, methods)| {
        let path = path.replace("{id}", "018f2f3a-0000-7000-8000-000000000000");
        methods.as_object().unwrap().keys().map(move |method| (method.to_uppercase(), path.clone())).collect::<Vec<_>>()
    });
    let functions = endpoints().into_iter().map(|name| ("POST".to_owned(), format!("/fn/{name}")));
    let pages = ["/", "/login", "/account", "/nothing"].map(|path| ("GET".to_owned(), path.to_owned()));
    calls.chain(functions).chain(pages).collect()
}

/// The server functions, as the page names them.
fn endpoints() -> Vec<String> {
    let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") && !path.ends_with("http/log.rs") {
                let text = std::fs::read_to_string(path).unwrap();
                let names = text.split("endpoint = \"").skip(1).filter_map(|rest| rest.split('"').next());
                found.extend(names.map(str::to_owned));
            }
        }
    }
    assert!(found.iter().any(|name| name == "login"), "{found:?}");
    found
}

/// The kinds of requests, which are rejected or not.
const WAYS: [&str; 8] = ["bare", "empty", "junk", "filled", "no token", "old proof", "other host", "other site"];

fn request(app: &App, (method, path): &(String, String), way: &str, token: &str) -> crate::util::Request {
    let call = app.request(method, path);
    let filled = json!({
        "email": "nobody@example.org", "username": "nobody", "password": "wrong", "new_email": "new@example.org",
        "current_password": "wrong", "new_password": "short", "token": "vsl_nothing", "name": "x", "scope": "read", "days": 1,
    });
    match way {
        "bare" => call,
        "empty" => call.body("application/json", "{}"),
        "junk" => call.body("text/plain", "{"),
        "filled" => call.body("application/json", filled.to_string()),
        "no token" => call.bearer("vst_nothing").body("application/json", filled.to_string()),
        "old proof" => call.bearer(token).body("application/json", filled.to_string()),
        "other host" => call.replace_host("other.example"),
        _ => call.header("sec-fetch-site", "cross-site").body("application/json", "{}"),
    }
}

#[tokio::test]
async fn no_stranger_writes_a_line_into_the_log_with_each_request_r112() {
    let mut checked = 0;
    for mail in ["off", "folder:mail"] {
        let app = App::start_with(Backend::Sqlite, |config| config.mail.url = MailUrl::parse(mail).unwrap()).await;
        app.register("ann").await;
        for route in routes(&app).await {
            for way in WAYS {
                let token = if way == "old proof" { app.token("ann").await } else { String::new() };
                app.clock.advance(Duration::from_mins(11));
                let address = some_address();
                let relevant = |metadata: &tracing::Metadata<'_>| {
                    metadata.is_event()
                        && *metadata.level() <= Level::INFO
                        && metadata.target().starts_with("vestibule")
                };
                let (captured, listening) = CapturedLog::listen(relevant);
                for _ in 0..REQUESTS {
                    request(&app, &route, way, &token).from(&address).send().await;
                }
                drop(listening);
                let lines = captured.take();
                assert!(lines.len() < REQUESTS, "{route:?}, {way}, mail {mail}: {lines:#?}");
                checked += 1;
            }
        }
    }
    assert!(checked > 500, "{checked}");
}

#[tokio::test]
async fn answers_of_a_busy_server_are_one_line_and_faults_one_each_r112() {
    let status = |status| axum::routing::get(async move || status);
    let routes = axum::Router::new()
        .route("/busy", status(StatusCode::SERVICE_UNAVAILABLE))
        .route("/broken", status(StatusCode::INTERNAL_SERVER_ERROR));
    let config = Config::load(None, []).unwrap();
    let pipeline = Pipeline::new(Routes::from(routes), &Arc::default(), &config.server);
    for (path, status, lines) in [("/busy", "status: 503", 1), ("/broken", "status: 500", REQUESTS)] {
        let (captured, listening) =
            CapturedLog::listen(|metadata| metadata.is_event() && *metadata.level() <= Level::WARN);
        for _ in 0..REQUESTS {
            pipeline.handle(Request::get(path).header("host", "localhost").body(Body::empty()).unwrap()).await;
        }
        drop(listening);
        let logged = captured.take();
        assert!(logged.len() == lines && logged.iter().all(|line| line.contains(status)), "{logged:?}");
    }
}
