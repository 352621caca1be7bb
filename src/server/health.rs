//! Liveness and readiness probes, for a supervisor and a load balancer. They reveal nothing else,
//! except to who has the server's key (`probe`).

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header::RETRY_AFTER, request::Parts},
    response::{IntoResponse, Response},
    routing::get,
};

use super::probe;
use crate::http::state::{AppState, Route};

/// Liveness: the server runs.
const ALIVE: &str = "/healthz";
/// Readiness: the server can handle requests.
const READY: &str = "/readyz";

pub fn routes() -> impl IntoIterator<Item = Route> {
    [(ALIVE.to_owned(), get(alive)), (READY.to_owned(), get(ready))]
}

/// Whether a path is one of the probes. They accept any host name, because a prober may know only the server's address.
pub fn is_probe(path: &str) -> bool {
    [ALIVE, READY].contains(&path)
}

async fn alive(State(state): State<AppState>, parts: Parts) -> Response {
    match probe::answer(&state, &parts) {
        Some(seen) => Json(seen).into_response(),
        None => "alive\n".into_response(),
    }
}

async fn ready(State(state): State<AppState>) -> Response {
    match state.service.ready().await {
        Ok(()) => "ready\n".into_response(),
        Err(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "2")], "the database is unavailable\n").into_response()
        }
    }
}
