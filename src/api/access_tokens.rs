//! Personal access tokens, which let scripts and other programs use the API without the account's password.

use axum::{extract::State, response::Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    Endpoint, Success,
    body::{Body, Id, lenient},
    empty, no_content, respond,
};
use crate::{
    domain::{account::AccessTokenLine, token_scope::TokenScope},
    error::AppError,
    http::{context::Bearer, response::ErrorFormat, state::AppState},
    service::{NewToken, NewTokenRequest},
};

pub fn endpoints() -> [Endpoint; 3] {
    let (invalid, rate_limited) = (AppError::Invalid(Vec::new()), AppError::RateLimited { retry_after: 30 });
    [
        Endpoint::new(routes!(list_access_tokens)),
        Endpoint::new(routes!(issue_access_token)).for_proven_sessions().with_errors([invalid, rate_limited]),
        Endpoint::new(routes!(revoke_access_token)).for_changes(),
    ]
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
async fn list_access_tokens(State(state): State<AppState>, Bearer(token): Bearer) -> Response {
    respond(ErrorFormat::Api, state.service.list_access_tokens(&token).await.map(|tokens| AccessTokens { tokens }))
}

/// A request for a new token.
#[derive(Deserialize, ToSchema)]
struct NewAccessToken {
    /// A name to recognise the token by.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(required, value_type = String, min_length = 1, example = "Nightly report")]
    name: Option<String>,
    /// What the token may do. `read` can only read. `full` can also make changes, except for calls that require a
    /// session or the password. An app that receives the token gets the scope from `me/` and can apply it too.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(required, value_type = TokenScope, example = "read")]
    scope: Option<String>,
    /// Days until the token expires, 1 to 366.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(required, value_type = u64, minimum = 1, maximum = 366, example = 90)]
    days: Option<i64>,
}

/// A new token.
#[derive(Serialize, ToSchema)]
struct AccessTokenMade {
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
    responses((status = 200, description = "The token was created.", body = AccessTokenMade, links(
        ("revoke" = (operation_id = "revoke_access_token", parameters(("id" = "$response.body#/id"))))
    )))
)]
async fn issue_access_token(
    State(state): State<AppState>,
    Bearer(token): Bearer,
    Body(body): Body<NewAccessToken>,
) -> Response {
    let outcome = async {
        let request = NewTokenRequest::parse(body.name.as_deref(), body.scope.as_deref(), body.days)?;
        state.service.issue_access_token(&state.service.require_reauth(&token).await?, request).await
    };
    let created = outcome.await.map(|NewToken { token, line }| AccessTokenMade {
        status: Success::Ok,
        token: token.expose().to_owned(),
        id: line.id,
        expires_at: line.expires_at,
    });
    respond(ErrorFormat::Api, created)
}

/// Revoke a token
///
/// Every server refuses the token at once.
#[utoipa::path(
    delete,
    path = "/api/accounts/tokens/{id}/",
    tag = "Personal access tokens",
    security(("bearer" = [])),
    params(("id" = String, Path, format = Uuid, description = "The token's `id`, from the list.")),
    responses((status = 204, description = "The token was revoked."))
)]
async fn revoke_access_token(State(state): State<AppState>, Bearer(token): Bearer, Id(id): Id) -> Response {
    empty(state.service.revoke_access_token(&token, &id).await, no_content)
}
