//! The account: its password, its username, the export of its data, and its deletion.

use axum::{
    extract::State,
    http::{HeaderValue, header::CONTENT_DISPOSITION},
    response::Response,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    Endpoint, Success,
    body::{Body, filled, lenient},
    empty, invalid, logged_out, respond,
};
use crate::{
    domain::{account::Export, username::Username},
    error::{AppError, Field, Problem},
    http::{context::Bearer, response::ErrorFormat, state::AppState},
    service::{Caller, PasswordChange, PasswordChanged, Renewed},
};

pub fn endpoints() -> [Endpoint; 5] {
    let (invalid, rate_limited) = (AppError::Invalid(Vec::new()), AppError::RateLimited { retry_after: 30 });
    [
        Endpoint::new(routes!(confirm_password)).for_sessions().with_errors([
            invalid.clone(),
            AppError::WrongPassword,
            rate_limited.clone(),
        ]),
        Endpoint::new(routes!(change_password)).for_sessions().with_errors([
            invalid.clone(),
            AppError::WrongPassword,
            rate_limited.clone(),
        ]),
        Endpoint::new(routes!(change_username)).for_proven_sessions().with_errors([invalid.clone(), rate_limited]),
        Endpoint::new(routes!(export)).for_proven_sessions(),
        Endpoint::new(routes!(delete_account)).for_proven_sessions().with_errors([invalid]),
    ]
}

/// A confirmation of the password.
#[derive(Deserialize, ToSchema)]
struct ConfirmPassword {
    /// The account's password.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(required, value_type = String, format = Password, min_length = 1, example = "seven green lanterns")]
    password: Option<String>,
}

/// A session in which the password was confirmed.
#[derive(Serialize, ToSchema)]
struct PasswordConfirmed {
    status: Success,
    /// The session's new token. It replaces the token of the request, which is no longer valid.
    token: String,
    /// Until when the session may make sensitive calls.
    #[schema(format = DateTime)]
    until: String,
}

/// Confirm the password
///
/// Allows sensitive calls for ten minutes, or the time that the operator configured. Sensitive calls are those that can
/// return `reauth_required`. The session continues with a new token: use it for all further requests.
#[utoipa::path(
    post,
    path = "/api/accounts/confirm_password/",
    tag = "Account",
    security(("bearer" = [])),
    request_body = ConfirmPassword,
    responses((status = 200, description = "The password is correct.", body = PasswordConfirmed))
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
    respond(ErrorFormat::Api, confirmed)
}

/// A change of the password.
#[derive(Deserialize, ToSchema)]
struct ChangePassword {
    /// The current password.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(required, value_type = String, format = Password, min_length = 1, example = "seven green lanterns")]
    current_password: Option<String>,
    /// The new password.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(required, value_type = String, format = Password, min_length = 8, example = "nine quiet harbours")]
    new_password: Option<String>,
    /// Whether to revoke every personal access token of the account as well.
    #[serde(default)]
    revoke_access_tokens: bool,
}

/// A changed password.
#[derive(Serialize, ToSchema)]
struct ChangedPassword {
    status: Success,
    /// The session's new token. It replaces the token of the request, which is no longer valid.
    token: String,
    /// The number of other sessions that were ended.
    #[schema(minimum = 0)]
    sessions_ended: u64,
}

/// Change the password
///
/// Ends all other sessions and notifies the owner by mail. Personal access tokens stay valid unless
/// `revoke_access_tokens` is true. The session continues with a new token: use it for all further requests.
#[utoipa::path(
    post,
    path = "/api/accounts/change_password/",
    tag = "Account",
    security(("bearer" = [])),
    request_body = ChangePassword,
    responses((status = 200, description = "The password was changed.", body = ChangedPassword))
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
    respond(ErrorFormat::Api, changed)
}

/// A change of the username.
#[derive(Deserialize, ToSchema)]
struct ChangeUsername {
    /// The new username.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(required, value_type = String, min_length = 3, example = "annie")]
    username: Option<String>,
}

/// A changed username.
#[derive(Serialize, ToSchema)]
struct ChangedUsername {
    status: Success,
    /// The new username.
    username: String,
}

/// Change the username
///
/// The old username becomes available to everyone.
#[utoipa::path(
    post,
    path = "/api/accounts/change_username/",
    tag = "Account",
    security(("bearer" = [])),
    request_body = ChangeUsername,
    responses((status = 200, description = "The username was changed.", body = ChangedUsername))
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
        let proven = state.service.require_reauth(&token).await?;
        state.service.change_username(&caller, &proven, &username).await
    };
    let changed = outcome.await.map(|account| ChangedUsername { status: Success::Ok, username: account.username });
    respond(ErrorFormat::Api, changed)
}

/// Export the account
///
/// Returns everything that the server stores about the account, as a file to download.
#[utoipa::path(
    get,
    path = "/api/accounts/export/",
    tag = "Account",
    security(("bearer" = [])),
    responses((status = 200, description = "The stored data.", body = Export))
)]
async fn export(State(state): State<AppState>, Bearer(token): Bearer) -> Response {
    let outcome = async { state.service.export(&state.service.require_reauth(&token).await?).await };
    let mut response = respond(ErrorFormat::Api, outcome.await);
    if response.status().is_success() {
        let name = HeaderValue::from_static("attachment; filename=\"account.json\"");
        response.headers_mut().insert(CONTENT_DISPOSITION, name);
    }
    response
}

/// A deletion. The username guards against a deletion by accident.
#[derive(Deserialize, ToSchema)]
struct DeleteAccount {
    /// The account's username.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(required, value_type = String, min_length = 3, example = "ann")]
    username: Option<String>,
}

/// Delete the account
///
/// Deletes the account and all its data permanently. Every session ends. This can't be undone.
#[utoipa::path(
    post,
    path = "/api/accounts/delete/",
    tag = "Account",
    security(("bearer" = [])),
    request_body = DeleteAccount,
    responses((status = 204, description = "The account was deleted."))
)]
async fn delete_account(
    State(state): State<AppState>,
    Bearer(token): Bearer,
    Body(body): Body<DeleteAccount>,
) -> Response {
    let outcome = async {
        let proven = state.service.require_reauth(&token).await?;
        state.service.delete_account(&proven, body.username.as_deref().unwrap_or_default()).await
    };
    empty(outcome.await, logged_out)
}
