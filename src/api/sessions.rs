//! The account's sessions.

use axum::{extract::State, response::NoContent};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Endpoint, Success};
use crate::{
    domain::account::SessionLine,
    http::{
        extract::Id,
        response::{ApiError, Json},
        state::AppState,
    },
    service::{Caller, Principal, Proven},
};

pub fn endpoints() -> Vec<Endpoint> {
    endpoints![list_sessions, end_other_sessions, end_session]
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
async fn list_sessions(State(state): State<AppState>, principal: Principal) -> Result<Json<Sessions>, ApiError> {
    Ok(Json(Sessions { sessions: state.service.list_sessions(&principal).await? }))
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
async fn end_other_sessions(
    State(state): State<AppState>,
    caller: Caller,
    proven: Proven,
) -> Result<Json<SessionsEnded>, ApiError> {
    let sessions_ended = state.service.end_other_sessions(&caller, &proven).await?;
    Ok(Json(SessionsEnded { status: Success::Ok, sessions_ended }))
}

/// End a session
///
/// Ends one session of the account. Its token is no longer valid.
#[utoipa::path(
    delete,
    path = "/api/accounts/sessions/{id}/",
    tag = "Sessions",
    security(("bearer" = [])),
    params(("id" = String, Path, format = Uuid, description = "The session's `id`, from the list.")),
    responses((status = 204, description = "The session has ended."))
)]
async fn end_session(
    State(state): State<AppState>,
    caller: Caller,
    proven: Proven,
    Id(id): Id,
) -> Result<NoContent, ApiError> {
    state.service.end_session(&caller, &proven, &id).await?;
    Ok(NoContent)
}
