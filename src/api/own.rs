//! What people do with accounts of their own, for other programs.

use axum::{
    body::Bytes,
    extract::{Path, State},
    http::{HeaderValue, StatusCode, header::CONTENT_DISPOSITION},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use serde_json::json;

use super::{answer, object, text};
use crate::{
    domain::username::Username,
    error::{AppError, Field, FieldProblem, Problem},
    server::{answer::Surface, door::Bearer, routes::Calls, state::AppState},
    service::{Caller, PasswordChange},
};

/// The paths, without their trailing slashes.
pub fn calls() -> [Calls; 7] {
    [
        ("/api/accounts/confirm_password", post(confirm_password)),
        ("/api/accounts/change_password", post(change_password)),
        ("/api/accounts/change_username", post(change_username)),
        ("/api/accounts/export", get(export)),
        ("/api/accounts/delete", post(delete_account)),
        ("/api/accounts/sessions", get(list_sessions).delete(end_other_sessions)),
        ("/api/accounts/sessions/{id}", delete(end_session)),
    ]
}

async fn confirm_password(
    State(state): State<AppState>,
    Bearer(token): Bearer,
    caller: Caller,
    body: Bytes,
) -> Response {
    let outcome = async {
        let body = object(&body)?;
        let password = text(&body, "password").ok_or(AppError::BadRequest)?;
        state.service.confirm_password(&caller, &token, password).await
    };
    let told = |until: crate::domain::time::Timestamp| json!({ "status": "ok", "until": until.to_rfc3339() });
    answer(Surface::Api, outcome.await.map(told))
}

async fn change_password(
    State(state): State<AppState>,
    Bearer(token): Bearer,
    caller: Caller,
    body: Bytes,
) -> Response {
    let outcome = async {
        let body = object(&body)?;
        let change = PasswordChange::parse(text(&body, "current_password"), text(&body, "new_password"))?;
        state.service.change_password(&caller, &token, change).await
    };
    answer(Surface::Api, outcome.await.map(|ended| json!({ "status": "ok", "sessions_ended": ended })))
}

async fn change_username(State(state): State<AppState>, Bearer(token): Bearer, body: Bytes) -> Response {
    let outcome = async {
        let body = object(&body)?;
        let username = text(&body, "username").ok_or(Problem::Missing).and_then(Username::parse);
        let username =
            username.map_err(|problem| AppError::Invalid(vec![FieldProblem { field: Field::Username, problem }]))?;
        state.service.change_username(&token, &username).await
    };
    answer(Surface::Api, outcome.await.map(|account| json!({ "status": "ok", "username": account.username })))
}

async fn export(State(state): State<AppState>, Bearer(token): Bearer) -> Response {
    let mut answer = answer(Surface::Api, state.service.export(&token).await);
    if answer.status().is_success() {
        let name = HeaderValue::from_static("attachment; filename=\"account.json\"");
        answer.headers_mut().insert(CONTENT_DISPOSITION, name);
    }
    answer
}

async fn delete_account(State(state): State<AppState>, Bearer(token): Bearer, body: Bytes) -> Response {
    let outcome = async {
        let body = object(&body)?;
        state.service.delete_account(&token, text(&body, "username").unwrap_or_default()).await
    };
    match outcome.await {
        Ok(()) => super::gone(),
        Err(error) => Surface::Api.refuse(&error.into()),
    }
}

async fn list_sessions(State(state): State<AppState>, Bearer(token): Bearer) -> Response {
    answer(Surface::Api, state.service.list_sessions(&token).await.map(|sessions| json!({ "sessions": sessions })))
}

async fn end_other_sessions(State(state): State<AppState>, Bearer(token): Bearer) -> Response {
    let outcome = state.service.end_other_sessions(&token).await;
    answer(Surface::Api, outcome.map(|ended| json!({ "status": "ok", "sessions_ended": ended })))
}

async fn end_session(State(state): State<AppState>, Bearer(token): Bearer, Path(id): Path<String>) -> Response {
    match state.service.end_session(&token, &id).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => Surface::Api.refuse(&error.into()),
    }
}
