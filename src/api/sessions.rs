//! The account's sessions.

use axum::{extract::State, response::Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{Endpoint, Success, body::Id, empty, no_content, respond};
use crate::{
    domain::account::SessionLine,
    http::{context::Bearer, response::ErrorFormat, state::AppState},
};

pub fn endpoints() -> [Endpoint; 3] {
    [
        Endpoint::new(routes!(list_sessions)),
        Endpoint::new(routes!(end_other_sessions)).for_proven_sessions(),
        Endpoint::new(routes!(end_session)).for_proven_sessions(),
    ]
}

/// An account's sessions.
#[derive(Serialize, ToSchema)]
struct Sessions {
    /// The active sessions: the session of this request first, then the others, most recently used first.
    sessions: Vec<SessionLine>,
}

/// List the sessions
///
/// Returns where the account is logged in.
#[utoipa::path(
    get,
    path = "/api/accounts/sessions/",
    tag = "Sessions",
    security(("bearer" = [])),
    responses((status = 200, description = "The sessions.", body = Sessions, links(
        ("end" = (operation_id = "end_session", parameters(("id" = "$response.body#/sessions/0/id"))))
    )))
)]
async fn list_sessions(State(state): State<AppState>, Bearer(token): Bearer) -> Response {
    respond(ErrorFormat::Api, state.service.list_sessions(&token).await.map(|sessions| Sessions { sessions }))
}

/// Ended sessions.
#[derive(Serialize, ToSchema)]
struct SessionsEnded {
    status: Success,
    /// The number of sessions that were ended.
    #[schema(minimum = 0)]
    sessions_ended: u64,
}

/// End all other sessions
///
/// Ends every session of the account except that of this request.
#[utoipa::path(
    delete,
    path = "/api/accounts/sessions/",
    tag = "Sessions",
    security(("bearer" = [])),
    responses((status = 200, description = "The other sessions have ended.", body = SessionsEnded))
)]
async fn end_other_sessions(State(state): State<AppState>, Bearer(token): Bearer) -> Response {
    let outcome = async { state.service.end_other_sessions(&state.service.require_reauth(&token).await?).await };
    let ended = outcome.await.map(|sessions_ended| SessionsEnded { status: Success::Ok, sessions_ended });
    respond(ErrorFormat::Api, ended)
}

/// End a session
///
/// The session's token is no longer valid.
#[utoipa::path(
    delete,
    path = "/api/accounts/sessions/{id}/",
    tag = "Sessions",
    security(("bearer" = [])),
    params(("id" = String, Path, format = Uuid, description = "The session's `id`, from the list.")),
    responses((status = 204, description = "The session has ended."))
)]
async fn end_session(State(state): State<AppState>, Bearer(token): Bearer, Id(id): Id) -> Response {
    let outcome = async { state.service.end_session(&state.service.require_reauth(&token).await?, &id).await };
    empty(outcome.await, no_content)
}
