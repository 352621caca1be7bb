//! Personal access tokens, which let scripts and other programs use the API without the account's password.

use axum::{extract::State, response::NoContent};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Endpoint, Success};
use crate::{
    domain::{account::AccessTokenLine, requests::NewAccessToken},
    http::{
        extract::{Body, Id},
        response::{ApiError, Json},
        state::AppState,
    },
    service::{Caller, NewToken, Principal, Proven, Writer},
};

pub fn endpoints() -> Vec<Endpoint> {
    endpoints![list_access_tokens, issue_access_token, revoke_access_token]
}

/// An account's personal access tokens.
#[derive(Serialize, ToSchema)]
struct AccessTokens {
    /// The valid tokens, newest first.
    tokens: Vec<AccessTokenLine>,
}

/// List the tokens
///
/// Returns the account's personal access tokens, without the secrets themselves.
#[utoipa::path(
    get,
    path = "/api/accounts/tokens/",
    tag = "Personal access tokens",
    security(("bearer" = [])),
    responses((status = 200, description = "The tokens.", body = AccessTokens, links(
        ("revoke" = (operation_id = "revoke_access_token", parameters(("id" = "$response.body#/tokens/0/id"))))
    )))
)]
async fn list_access_tokens(
    State(state): State<AppState>,
    principal: Principal,
) -> Result<Json<AccessTokens>, ApiError> {
    Ok(Json(AccessTokens { tokens: state.service.list_access_tokens(&principal).await? }))
}

/// A new token.
#[derive(Serialize, ToSchema)]
struct CreatedAccessToken {
    status: Success,
    /// The token. It is shown only once: keep it as safe as a password.
    token: String,
    /// The token's identifier, needed to revoke it.
    #[schema(format = Uuid)]
    id: String,
    /// When the token expires.
    #[schema(format = DateTime)]
    expires_at: String,
}

/// Create a token
///
/// Creates a personal access token, for a program that should not know the password.
#[utoipa::path(
    post,
    path = "/api/accounts/tokens/",
    tag = "Personal access tokens",
    security(("bearer" = [])),
    request_body = NewAccessToken,
    responses((status = 200, description = "The token was created.", body = CreatedAccessToken, links(
        ("revoke" = (operation_id = "revoke_access_token", parameters(("id" = "$response.body#/id"))))
    )))
)]
async fn issue_access_token(
    State(state): State<AppState>,
    caller: Caller,
    proven: Proven,
    Body(request): Body<NewAccessToken>,
) -> Result<Json<CreatedAccessToken>, ApiError> {
    let NewToken { token, line } = state.service.issue_access_token(&caller, &proven, request).await?;
    let token = token.expose().to_owned();
    Ok(Json(CreatedAccessToken { status: Success::Ok, token, id: line.id, expires_at: line.expires_at }))
}

/// Revoke a token
///
/// Revokes one personal access token of the account. Every server refuses it at once.
#[utoipa::path(
    delete,
    path = "/api/accounts/tokens/{id}/",
    tag = "Personal access tokens",
    security(("bearer" = [])),
    params(("id" = String, Path, format = Uuid, description = "The token's `id`, from the list.")),
    responses((status = 204, description = "The token was revoked."))
)]
async fn revoke_access_token(
    State(state): State<AppState>,
    caller: Caller,
    writer: Writer,
    Id(id): Id,
) -> Result<NoContent, ApiError> {
    state.service.revoke_access_token(&caller, &writer, &id).await?;
    Ok(NoContent)
}
