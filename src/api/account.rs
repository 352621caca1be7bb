//! The account: its password, its username, the export of its data, and its deletion.

use axum::{
    extract::State,
    http::header::{CONTENT_DISPOSITION, HeaderName},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Endpoint, LastAdmin, Success, WrongPassword};
use crate::{
    domain::{
        account::Export,
        requests::{ChangePassword, ChangeUsername, ConfirmPassword, DeleteAccount},
    },
    http::{
        extract::{Body, Session},
        response::{ApiError, Json, LoggedOut},
        state::AppState,
    },
    service::{Caller, PasswordChanged, Proven, Renewed},
};

pub fn endpoints() -> Vec<Endpoint> {
    endpoints![confirm_password, change_password, change_username, export, delete_account]
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
    session: Session,
    caller: Caller,
    Body(password): Body<ConfirmPassword>,
) -> Result<Json<PasswordConfirmed>, ApiError<WrongPassword>> {
    let Renewed { token, until } = state.service.confirm_password(&caller, &session, &password).await?;
    let token = token.expose().to_owned();
    Ok(Json(PasswordConfirmed { status: Success::Ok, token, until: until.to_rfc3339() }))
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
/// Ends all other sessions and notifies the owner by email. Personal access tokens stay valid unless
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
    session: Session,
    caller: Caller,
    Body(change): Body<ChangePassword>,
) -> Result<Json<ChangedPassword>, ApiError<WrongPassword>> {
    let PasswordChanged { token, sessions_ended } = state.service.change_password(&caller, &session, change).await?;
    Ok(Json(ChangedPassword { status: Success::Ok, token: token.expose().to_owned(), sessions_ended }))
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
    proven: Proven,
    caller: Caller,
    Body(username): Body<ChangeUsername>,
) -> Result<Json<ChangedUsername>, ApiError> {
    let account = state.service.change_username(&caller, &proven, &username).await?;
    Ok(Json(ChangedUsername { status: Success::Ok, username: account.username }))
}

/// A JSON body that browsers save as a file.
type Download<T> = ([(HeaderName, &'static str); 1], Json<T>);

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
async fn export(State(state): State<AppState>, caller: Caller, proven: Proven) -> Result<Download<Export>, ApiError> {
    let export = state.service.export(&caller, &proven).await?;
    Ok(([(CONTENT_DISPOSITION, "attachment; filename=\"account.json\"")], Json(export)))
}

/// Delete the account
///
/// Deletes the account and all its data permanently. Every session ends. This can't be undone. The last admin of the
/// server can't be deleted.
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
    proven: Proven,
    caller: Caller,
    Body(username): Body<DeleteAccount>,
) -> Result<LoggedOut, ApiError<LastAdmin>> {
    state.service.delete_account(&caller, &proven, &username).await?;
    Ok(LoggedOut)
}
