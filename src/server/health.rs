//! Whether the server lives, and whether it can work: for a supervisor and a load balancer. Tells nothing else.

use axum::{
    extract::State,
    http::{StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
    routing::get,
};

use super::{routes::Route, state::AppState};

pub fn routes() -> impl IntoIterator<Item = Route> {
    [("/healthz".to_owned(), get(alive)), ("/readyz".to_owned(), get(ready))]
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
