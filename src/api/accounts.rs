//! Accounts for operators: listing them, showing one, and changing one.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Done, Endpoint, LastAdmin, MailOff, Success};
use crate::{
    domain::{
        directory::{AccountDetails, AccountPage, AccountQuery},
        requests::{ChangeGroup, ChangeRole, DeclineAccount, DeleteAccount, RenameAccount},
    },
    error::AppError,
    http::{
        extract::{Body, Id, Parameters, Target},
        response::{ApiError, Json, OperationErrors},
        state::AppState,
    },
    service::{Caller, Operator, ProvenOperator},
};

pub fn endpoints() -> Vec<Endpoint> {
    endpoints![
        list_accounts,
        show_account,
        disable_account,
        enable_account,
        approve_account,
        decline_account,
        end_sessions_of_account,
        revoke_tokens_of_account,
        mail_password_link,
        join_group,
        leave_group,
        change_username_of_account,
        change_role,
        delete_account_by_operator,
    ]
}

/// List accounts
///
/// Requires a role. A request examines a limited number of accounts. Repeat it with `after`, until the list is complete.
#[utoipa::path(
    get,
    path = "/api/admin/accounts/",
    tag = "Operators",
    security(("bearer" = [])),
    params(AccountQuery),
    responses((status = 200, description = "Some accounts that match.", body = AccountPage, links(
        ("show" = (operation_id = "show_account", parameters(("id" = "$response.body#/accounts/0/id"))))
    )))
)]
async fn list_accounts(
    State(state): State<AppState>,
    operator: Operator,
    Parameters(query): Parameters<AccountQuery>,
) -> Result<Json<AccountPage>, ApiError> {
    Ok(Json(state.service.list_accounts(&operator, query).await?))
}

/// Show an account
///
/// Requires a role. Returns the account, its sessions and its access tokens.
#[utoipa::path(
    get,
    path = "/api/admin/accounts/{id}/",
    tag = "Operators",
    security(("bearer" = [])),
    params(("id" = String, Path, format = Uuid, description = "The account's `id`.")),
    responses((status = 200, description = "The account.", body = AccountDetails))
)]
async fn show_account(
    State(state): State<AppState>,
    operator: Operator,
    Id(id): Id,
) -> Result<Json<AccountDetails>, ApiError> {
    Ok(Json(state.service.account_details(&operator, &id).await?))
}

/// The result of a change that ends sessions.
#[derive(Serialize, ToSchema)]
struct AccountLoggedOut {
    status: Success,
    /// The number of sessions that were ended.
    #[schema(minimum = 0)]
    sessions_ended: u64,
}

impl AccountLoggedOut {
    const fn of(sessions_ended: u64) -> Json<Self> {
        Json(Self { status: Success::Ok, sessions_ended })
    }
}

/// Disable an account
///
/// Its sessions end, its access tokens are revoked, and nobody can log in until it is enabled. For admins and support.
/// Support can't change operators. The last admin can't be disabled.
#[utoipa::path(
    post,
    path = "/api/admin/accounts/{id}/disable/",
    tag = "Operators",
    security(("bearer" = [])),
    params(("id" = String, Path, format = Uuid, description = "The account's `id`.")),
    responses((status = 200, description = "The account is disabled.", body = AccountLoggedOut))
)]
async fn disable_account(
    State(state): State<AppState>,
    caller: Caller,
    operator: ProvenOperator,
    Target(id): Target,
) -> Result<Json<AccountLoggedOut>, ApiError<LastAdmin>> {
    Ok(AccountLoggedOut::of(state.service.disable_account(&caller, &operator, &id).await?))
}

/// Enable an account
///
/// Its owner can log in again, and its failed logins are forgotten. For admins and support.
#[utoipa::path(
    post,
    path = "/api/admin/accounts/{id}/enable/",
    tag = "Operators",
    security(("bearer" = [])),
    params(("id" = String, Path, format = Uuid, description = "The account's `id`.")),
    responses((status = 200, description = "The account is enabled.", body = Done))
)]
async fn enable_account(
    State(state): State<AppState>,
    caller: Caller,
    operator: ProvenOperator,
    Target(id): Target,
) -> Result<Json<Done>, ApiError> {
    state.service.enable_account(&caller, &operator, &id).await?;
    Ok(Json(Done::OK))
}

/// Approve an account
///
/// Its owner can log in, and is notified by email. An account that doesn't wait for approval is not changed. For admins and
/// support.
#[utoipa::path(
    post,
    path = "/api/admin/accounts/{id}/approve/",
    tag = "Operators",
    security(("bearer" = [])),
    params(("id" = String, Path, format = Uuid, description = "The account's `id`.")),
    responses((status = 200, description = "The account is approved.", body = Done))
)]
async fn approve_account(
    State(state): State<AppState>,
    caller: Caller,
    operator: ProvenOperator,
    Target(id): Target,
) -> Result<Json<Done>, ApiError> {
    state.service.approve_account(&caller, &operator, &id).await?;
    Ok(Json(Done::OK))
}

/// The errors of declining an account.
enum DeclineErrors {}

impl OperationErrors for DeclineErrors {
    fn errors() -> Vec<AppError> {
        vec![AppError::NotPending]
    }
}

/// Decline an account
///
/// Deletes an account that waits for approval, with all its data. This can't be undone. For admins and support.
#[utoipa::path(
    post,
    path = "/api/admin/accounts/{id}/decline/",
    tag = "Operators",
    security(("bearer" = [])),
    params(("id" = String, Path, format = Uuid, description = "The account's `id`.")),
    request_body = DeclineAccount,
    responses((status = 200, description = "The account was deleted.", body = Done))
)]
async fn decline_account(
    State(state): State<AppState>,
    caller: Caller,
    operator: ProvenOperator,
    Target(id): Target,
    Body(notify): Body<DeclineAccount>,
) -> Result<Json<Done>, ApiError<DeclineErrors>> {
    state.service.decline_account(&caller, &operator, &id, notify).await?;
    Ok(Json(Done::OK))
}

/// End an account's sessions
///
/// Ends all its sessions and revokes its access tokens. For admins and support.
#[utoipa::path(
    post,
    path = "/api/admin/accounts/{id}/end_sessions/",
    tag = "Operators",
    security(("bearer" = [])),
    params(("id" = String, Path, format = Uuid, description = "The account's `id`.")),
    responses((status = 200, description = "The account is logged out everywhere.", body = AccountLoggedOut))
)]
async fn end_sessions_of_account(
    State(state): State<AppState>,
    caller: Caller,
    operator: ProvenOperator,
    Target(id): Target,
) -> Result<Json<AccountLoggedOut>, ApiError> {
    Ok(AccountLoggedOut::of(state.service.end_sessions_of(&caller, &operator, &id).await?))
}

/// Revoked access tokens.
#[derive(Serialize, ToSchema)]
struct TokensRevoked {
    status: Success,
    /// The number of access tokens that were revoked.
    #[schema(minimum = 0)]
    tokens_revoked: u64,
}

/// Revoke an account's access tokens
///
/// Its sessions continue. For admins and support.
#[utoipa::path(
    post,
    path = "/api/admin/accounts/{id}/revoke_tokens/",
    tag = "Operators",
    security(("bearer" = [])),
    params(("id" = String, Path, format = Uuid, description = "The account's `id`.")),
    responses((status = 200, description = "The access tokens are revoked.", body = TokensRevoked))
)]
async fn revoke_tokens_of_account(
    State(state): State<AppState>,
    caller: Caller,
    operator: ProvenOperator,
    Target(id): Target,
) -> Result<Json<TokensRevoked>, ApiError> {
    let tokens_revoked = state.service.revoke_tokens_of(&caller, &operator, &id).await?;
    Ok(Json(TokensRevoked { status: Success::Ok, tokens_revoked }))
}

/// Mail a password link
///
/// Sends the owner the same email as `forgot_password/`. For admins and support.
#[utoipa::path(
    post,
    path = "/api/admin/accounts/{id}/mail_password_link/",
    tag = "Operators",
    security(("bearer" = [])),
    params(("id" = String, Path, format = Uuid, description = "The account's `id`.")),
    responses((status = 200, description = "The email will be sent.", body = Done))
)]
async fn mail_password_link(
    State(state): State<AppState>,
    caller: Caller,
    operator: ProvenOperator,
    Target(id): Target,
) -> Result<Json<Done>, ApiError<MailOff>> {
    state.service.mail_password_link(&caller, &operator, &id).await?;
    Ok(Json(Done::OK))
}

/// Add an account to a group
///
/// Apps see it at the next request. For admins and support.
#[utoipa::path(
    post,
    path = "/api/admin/accounts/{id}/join_group/",
    tag = "Operators",
    security(("bearer" = [])),
    params(("id" = String, Path, format = Uuid, description = "The account's `id`.")),
    request_body = ChangeGroup,
    responses((status = 200, description = "The account belongs to the group.", body = Done))
)]
async fn join_group(
    State(state): State<AppState>,
    caller: Caller,
    operator: ProvenOperator,
    Target(id): Target,
    Body(group): Body<ChangeGroup>,
) -> Result<Json<Done>, ApiError> {
    state.service.change_group_of(&caller, &operator, &id, &group, true).await?;
    Ok(Json(Done::OK))
}

/// Remove an account from a group
///
/// Apps see it at the next request. For admins and support.
#[utoipa::path(
    post,
    path = "/api/admin/accounts/{id}/leave_group/",
    tag = "Operators",
    security(("bearer" = [])),
    params(("id" = String, Path, format = Uuid, description = "The account's `id`.")),
    request_body = ChangeGroup,
    responses((status = 200, description = "The account doesn't belong to the group.", body = Done))
)]
async fn leave_group(
    State(state): State<AppState>,
    caller: Caller,
    operator: ProvenOperator,
    Target(id): Target,
    Body(group): Body<ChangeGroup>,
) -> Result<Json<Done>, ApiError> {
    state.service.change_group_of(&caller, &operator, &id, &group, false).await?;
    Ok(Json(Done::OK))
}

/// Change an account's username
///
/// The old username becomes available to everyone. Reserved names such as support are allowed. For admins.
#[utoipa::path(
    post,
    path = "/api/admin/accounts/{id}/change_username/",
    tag = "Operators",
    security(("bearer" = [])),
    params(("id" = String, Path, format = Uuid, description = "The account's `id`.")),
    request_body = RenameAccount,
    responses((status = 200, description = "The username was changed.", body = Done))
)]
async fn change_username_of_account(
    State(state): State<AppState>,
    caller: Caller,
    operator: ProvenOperator,
    Target(id): Target,
    Body(username): Body<RenameAccount>,
) -> Result<Json<Done>, ApiError> {
    state.service.rename_account(&caller, &operator, &id, username).await?;
    Ok(Json(Done::OK))
}

/// The errors of a new role.
enum RoleErrors {}

impl OperationErrors for RoleErrors {
    fn errors() -> Vec<AppError> {
        vec![AppError::EmailUnverified, AppError::LastAdmin]
    }
}

/// Change an account's role
///
/// Ends its sessions and revokes its access tokens. The owner is notified by email, and so are the other admins of a new
/// one. A role requires a confirmed email. For admins. The last admin stays one.
#[utoipa::path(
    post,
    path = "/api/admin/accounts/{id}/change_role/",
    tag = "Operators",
    security(("bearer" = [])),
    params(("id" = String, Path, format = Uuid, description = "The account's `id`.")),
    request_body = ChangeRole,
    responses((status = 200, description = "The account has the role.", body = AccountLoggedOut))
)]
async fn change_role(
    State(state): State<AppState>,
    caller: Caller,
    operator: ProvenOperator,
    Target(id): Target,
    Body(role): Body<ChangeRole>,
) -> Result<Json<AccountLoggedOut>, ApiError<RoleErrors>> {
    Ok(AccountLoggedOut::of(state.service.change_role(&caller, &operator, &id, role).await?))
}

/// Delete an account
///
/// Deletes the account and all its data permanently. This can't be undone. For admins. The last admin can't be deleted.
#[utoipa::path(
    post,
    path = "/api/admin/accounts/{id}/delete/",
    tag = "Operators",
    security(("bearer" = [])),
    params(("id" = String, Path, format = Uuid, description = "The account's `id`.")),
    request_body = DeleteAccount,
    responses((status = 200, description = "The account was deleted.", body = Done))
)]
async fn delete_account_by_operator(
    State(state): State<AppState>,
    caller: Caller,
    operator: ProvenOperator,
    Target(id): Target,
    Body(username): Body<DeleteAccount>,
) -> Result<Json<Done>, ApiError<LastAdmin>> {
    state.service.delete_account_of(&caller, &operator, &id, &username).await?;
    Ok(Json(Done::OK))
}
