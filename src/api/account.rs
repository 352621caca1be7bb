//! The account itself: its password, its username, all that is kept about it, and its end.

use axum::{
    extract::State,
    http::{HeaderValue, header::CONTENT_DISPOSITION},
    response::Response,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    Endpoint, Success, answer,
    body::{Body, filled, lenient},
    empty, gone, invalid,
};
use crate::{
    domain::{account::Export, username::Username},
    error::{AppError, Field, Problem},
    http::{context::Bearer, response::ErrorFormat, state::AppState},
    service::{Caller, PasswordChange, PasswordChanged, Renewed},
};

pub fn endpoints() -> [Endpoint; 5] {
    let (invalid, busy) = (AppError::Invalid(Vec::new()), AppError::RateLimited { retry_after: 30 });
    [
        Endpoint::new(routes!(confirm_password)).for_sessions().refuses([
            invalid.clone(),
            AppError::WrongPassword,
            busy.clone(),
        ]),
        Endpoint::new(routes!(change_password)).for_sessions().refuses([
            invalid.clone(),
            AppError::WrongPassword,
            busy.clone(),
        ]),
        Endpoint::new(routes!(change_username)).for_proven_sessions().refuses([invalid.clone(), busy]),
        Endpoint::new(routes!(export)).for_proven_sessions(),
        Endpoint::new(routes!(delete_account)).for_proven_sessions().refuses([invalid]),
    ]
}

/// The password, again.
#[derive(Deserialize, ToSchema)]
struct ConfirmPassword {
    /// The password.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(required, value_type = String, format = Password, min_length = 1, example = "seven green lanterns")]
    password: Option<String>,
}

/// A session in which the password was proven.
#[derive(Serialize, ToSchema)]
struct PasswordConfirmed {
    status: Success,
    /// The session's token from now on. The one that was sent is worth nothing any more.
    token: String,
    /// Until when the proof counts.
    #[schema(format = DateTime)]
    until: String,
}

/// Confirm the password
///
/// Opens what wants a fresh proof of the password, for ten minutes where the operator hasn't chosen another time. The session
/// goes on under another token: use that from then on.
#[utoipa::path(
    post,
    path = "/api/accounts/confirm_password/",
    tag = "Account",
    security(("bearer" = [])),
    request_body = ConfirmPassword,
    responses((status = 200, description = "The password is right.", body = PasswordConfirmed))
)]
async fn confirm_password(
    State(state): State<AppState>,
    Bearer(token): Bearer,
    caller: Caller,
    Body(body): Body<ConfirmPassword>,
) -> Response {
    let outcome = async {
        let password = filled(body.password.as_ref()).ok_or_else(|| invalid(Field::Password, Problem::Missing))?;
        state.service.confirm_password(&caller, &token, password).await
    };
    let confirmed = outcome.await.map(|Renewed { token, until }| PasswordConfirmed {
        status: Success::Ok,
        token: token.expose().to_owned(),
        until: until.to_rfc3339(),
    });
    answer(ErrorFormat::Api, confirmed)
}

/// Another password.
#[derive(Deserialize, ToSchema)]
struct ChangePassword {
    /// The password until now.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(required, value_type = String, format = Password, min_length = 1, example = "seven green lanterns")]
    current_password: Option<String>,
    /// The password from now on.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(required, value_type = String, format = Password, min_length = 8, example = "nine quiet harbours")]
    new_password: Option<String>,
    /// Whether to revoke every personal access token of the account as well.
    #[serde(default)]
    revoke_access_tokens: bool,
}

/// A password that was changed.
#[derive(Serialize, ToSchema)]
struct ChangedPassword {
    status: Success,
    /// The session's token from now on. The one that was sent is worth nothing any more.
    token: String,
    /// How many other sessions have ended.
    #[schema(minimum = 0)]
    sessions_ended: u64,
}

/// Change the password
///
/// Ends all other sessions, and tells the owner by mail. Personal access tokens stay, unless `revoke_access_tokens` is true. The
/// session goes on under another token: use that from then on.
#[utoipa::path(
    post,
    path = "/api/accounts/change_password/",
    tag = "Account",
    security(("bearer" = [])),
    request_body = ChangePassword,
    responses((status = 200, description = "The new password counts.", body = ChangedPassword))
)]
async fn change_password(
    State(state): State<AppState>,
    Bearer(token): Bearer,
    caller: Caller,
    Body(body): Body<ChangePassword>,
) -> Response {
    let outcome = async {
        let change = PasswordChange::read(body.current_password.as_deref(), body.new_password.as_deref());
        let change = change.revoking_access_tokens(body.revoke_access_tokens);
        state.service.change_password(&caller, &token, change).await
    };
    let changed = outcome.await.map(|PasswordChanged { token, sessions_ended }| ChangedPassword {
        status: Success::Ok,
        token: token.expose().to_owned(),
        sessions_ended,
    });
    answer(ErrorFormat::Api, changed)
}

/// Another username.
#[derive(Deserialize, ToSchema)]
struct ChangeUsername {
    /// The username from now on.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(required, value_type = String, min_length = 3, example = "annie")]
    username: Option<String>,
}

/// A username that was changed.
#[derive(Serialize, ToSchema)]
struct ChangedUsername {
    status: Success,
    /// The username from now on.
    username: String,
}

/// Change the username
///
/// The old one is free for anybody from then on.
#[utoipa::path(
    post,
    path = "/api/accounts/change_username/",
    tag = "Account",
    security(("bearer" = [])),
    request_body = ChangeUsername,
    responses((status = 200, description = "The new username counts.", body = ChangedUsername))
)]
async fn change_username(
    State(state): State<AppState>,
    Bearer(token): Bearer,
    caller: Caller,
    Body(body): Body<ChangeUsername>,
) -> Response {
    let outcome = async {
        let username = body.username.as_deref().ok_or(Problem::Missing).and_then(Username::choose);
        let username = username.map_err(|problem| invalid(Field::Username, problem))?;
        let asking = state.service.require_reauth(&token).await?;
        state.service.change_username(&caller, &asking, &username).await
    };
    let changed = outcome.await.map(|account| ChangedUsername { status: Success::Ok, username: account.username });
    answer(ErrorFormat::Api, changed)
}

/// Download everything
///
/// All that the server keeps about the account, as a file.
#[utoipa::path(
    get,
    path = "/api/accounts/export/",
    tag = "Account",
    security(("bearer" = [])),
    responses((status = 200, description = "All that is kept.", body = Export))
)]
async fn export(State(state): State<AppState>, Bearer(token): Bearer) -> Response {
    let outcome = async { state.service.export(&state.service.require_reauth(&token).await?).await };
    let mut answer = answer(ErrorFormat::Api, outcome.await);
    if answer.status().is_success() {
        let name = HeaderValue::from_static("attachment; filename=\"account.json\"");
        answer.headers_mut().insert(CONTENT_DISPOSITION, name);
    }
    answer
}

/// The account's name, so that nobody removes it by accident.
#[derive(Deserialize, ToSchema)]
struct DeleteAccount {
    /// The account's username.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(required, value_type = String, min_length = 3, example = "ann")]
    username: Option<String>,
}

/// Delete the account
///
/// For good: all sessions end, and all that is kept about it is gone.
#[utoipa::path(
    post,
    path = "/api/accounts/delete/",
    tag = "Account",
    security(("bearer" = [])),
    request_body = DeleteAccount,
    responses((status = 204, description = "The account is gone."))
)]
async fn delete_account(
    State(state): State<AppState>,
    Bearer(token): Bearer,
    Body(body): Body<DeleteAccount>,
) -> Response {
    let outcome = async {
        let asking = state.service.require_reauth(&token).await?;
        state.service.delete_account(&asking, body.username.as_deref().unwrap_or_default()).await
    };
    empty(outcome.await, gone)
}
