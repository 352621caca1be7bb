//! Whether the server lives, and whether it can work: for a supervisor and a load balancer. Tells nothing else.

use axum::{
    extract::State,
    http::{StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
    routing::get,
};

use crate::http::state::{AppState, Route};

/// Where a supervisor asks whether the server lives.
const ALIVE: &str = "/healthz";
/// Where a load balancer asks whether the server can work.
const READY: &str = "/readyz";

pub fn routes() -> impl IntoIterator<Item = Route> {
    [(ALIVE.to_owned(), get(alive)), (READY.to_owned(), get(ready))]
}

/// Whether a path is one of these. They answer under any host name: whoever asks has the server's address at most.
pub fn is_probe(path: &str) -> bool {
    [ALIVE, READY].contains(&path)
}

async fn alive() -> &'static str {
    "alive\n"
}

async fn ready(State(state): State<AppState>) -> Response {
    match state.service.ready().await {
        Ok(()) => "ready\n".into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "2")], "the database is away\n").into_response(),
    }
}
