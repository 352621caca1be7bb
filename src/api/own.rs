//! What people do with accounts of their own, for other programs.

use axum::{
    body::Bytes,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderValue, StatusCode, header::CONTENT_DISPOSITION},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use serde_json::json;

use super::{answer, gone, object, text};
use crate::{
    domain::username::Username,
    error::{AppError, Field, FieldProblem, Problem},
    server::{answer::Surface, door::Bearer, routes::Calls, state::AppState},
    service::{Caller, Error, NewToken, PasswordChange, PasswordChanged, Renewed, TokenWish},
};

/// The paths, without their trailing slashes.
pub fn calls() -> [Calls; 9] {
    [
        ("/api/accounts/confirm_password", post(confirm_password)),
        ("/api/accounts/change_password", post(change_password)),
        ("/api/accounts/change_username", post(change_username)),
        ("/api/accounts/export", get(export)),
        ("/api/accounts/delete", post(delete_account)),
        ("/api/accounts/sessions", get(list_sessions).delete(end_other_sessions)),
        ("/api/accounts/sessions/{id}", delete(end_session)),
        ("/api/accounts/tokens", get(list_access_tokens).post(issue_access_token)),
        ("/api/accounts/tokens/{id}", delete(revoke_access_token)),
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
        let password = text(&body, "password").filter(|text| !text.is_empty());
        let password = password.ok_or_else(|| invalid(Field::Password, Problem::Missing))?;
        state.service.confirm_password(&caller, &token, password).await
    };
    let told = |Renewed { token, until }: Renewed| json!({ "status": "ok", "token": token.expose(), "until": until.to_rfc3339() });
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
    let told = |PasswordChanged { token, sessions_ended }: PasswordChanged| json!({ "status": "ok", "token": token.expose(), "sessions_ended": sessions_ended });
    answer(Surface::Api, outcome.await.map(told))
}

async fn change_username(
    State(state): State<AppState>,
    Bearer(token): Bearer,
    caller: Caller,
    body: Bytes,
) -> Response {
    let outcome = async {
        let body = object(&body)?;
        let username = text(&body, "username").ok_or(Problem::Missing).and_then(Username::parse);
        let username = username.map_err(|problem| invalid(Field::Username, problem))?;
        let asking = state.service.prove(&token).await?;
        state.service.change_username(&caller, &asking, &username).await
    };
    answer(Surface::Api, outcome.await.map(|account| json!({ "status": "ok", "username": account.username })))
}

async fn export(State(state): State<AppState>, Bearer(token): Bearer) -> Response {
    let outcome = async { state.service.export(&state.service.prove(&token).await?).await };
    let mut answer = answer(Surface::Api, outcome.await);
    if answer.status().is_success() {
        let name = HeaderValue::from_static("attachment; filename=\"account.json\"");
        answer.headers_mut().insert(CONTENT_DISPOSITION, name);
    }
    answer
}

async fn delete_account(State(state): State<AppState>, Bearer(token): Bearer, body: Bytes) -> Response {
    let outcome = async {
        let body = object(&body)?;
        let asking = state.service.prove(&token).await?;
        state.service.delete_account(&asking, text(&body, "username").unwrap_or_default()).await
    };
    empty(outcome.await, gone)
}

async fn list_sessions(State(state): State<AppState>, Bearer(token): Bearer) -> Response {
    answer(Surface::Api, state.service.list_sessions(&token).await.map(|sessions| json!({ "sessions": sessions })))
}

async fn end_other_sessions(State(state): State<AppState>, Bearer(token): Bearer) -> Response {
    let outcome = async { state.service.end_other_sessions(&state.service.prove(&token).await?).await };
    answer(Surface::Api, outcome.await.map(|ended| json!({ "status": "ok", "sessions_ended": ended })))
}

async fn end_session(
    State(state): State<AppState>,
    Bearer(token): Bearer,
    id: Result<Path<String>, PathRejection>,
) -> Response {
    let outcome = async {
        let asking = state.service.prove(&token).await?;
        let Path(id) = id.map_err(|_| AppError::NotFound)?;
        state.service.end_session(&asking, &id).await
    };
    empty(outcome.await, || StatusCode::NO_CONTENT.into_response())
}

async fn list_access_tokens(State(state): State<AppState>, Bearer(token): Bearer) -> Response {
    answer(Surface::Api, state.service.list_access_tokens(&token).await.map(|tokens| json!({ "tokens": tokens })))
}

async fn issue_access_token(State(state): State<AppState>, Bearer(token): Bearer, body: Bytes) -> Response {
    let outcome = async {
        let body = object(&body)?;
        let days = body.get("days").and_then(serde_json::Value::as_u64);
        let wish = TokenWish::parse(text(&body, "name"), text(&body, "scope"), days)?;
        state.service.issue_access_token(&state.service.prove(&token).await?, wish).await
    };
    let told = |NewToken { token, line }: NewToken| json!({ "status": "ok", "token": token.expose(), "id": line.id, "expires_at": line.expires_at });
    answer(Surface::Api, outcome.await.map(told))
}

async fn revoke_access_token(
    State(state): State<AppState>,
    Bearer(token): Bearer,
    id: Result<Path<String>, PathRejection>,
) -> Response {
    let outcome = async {
        // The token first, so that nobody without one learns what an identifier looks like.
        let Path(id) = id.unwrap_or_else(|_| Path(String::new()));
        state.service.revoke_access_token(&token, &id).await
    };
    empty(outcome.await, || StatusCode::NO_CONTENT.into_response())
}

pub(super) fn invalid(field: Field, problem: Problem) -> AppError {
    AppError::Invalid(vec![FieldProblem { field, problem }])
}

/// An answer without a body.
fn empty(outcome: Result<(), Error>, answer: impl FnOnce() -> Response) -> Response {
    match outcome {
        Ok(()) => answer(),
        Err(error) => Surface::Api.refuse(&error.into()),
    }
}
