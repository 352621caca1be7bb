//! Personal access tokens: for programs of one's own.

use axum::{extract::State, response::Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    Endpoint, Success, answer,
    body::{Body, Id, lenient},
    empty, no_content,
};
use crate::{
    domain::{account::AccessTokenLine, token_scope::TokenScope},
    error::AppError,
    http::{context::Bearer, response::ErrorFormat, state::AppState},
    service::{NewToken, NewTokenRequest},
};

pub fn endpoints() -> [Endpoint; 3] {
    let (invalid, busy) = (AppError::Invalid(Vec::new()), AppError::RateLimited { retry_after: 30 });
    [
        Endpoint::new(routes!(list_access_tokens)),
        Endpoint::new(routes!(issue_access_token)).for_proven_sessions().refuses([invalid, busy]),
        Endpoint::new(routes!(revoke_access_token)).for_changes(),
    ]
}

/// An account's personal access tokens.
#[derive(Serialize, ToSchema)]
struct AccessTokens {
    /// Those that count, the youngest first.
    tokens: Vec<AccessTokenLine>,
}

/// List the tokens
///
/// The account's personal access tokens, without what would let anybody in.
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
    answer(ErrorFormat::Api, state.service.list_access_tokens(&token).await.map(|tokens| AccessTokens { tokens }))
}

/// A token that is wanted.
#[derive(Deserialize, ToSchema)]
struct NewAccessToken {
    /// What to call it.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(required, value_type = String, min_length = 1, example = "Nightly report")]
    name: Option<String>,
    /// What it may do: `read` tells and changes nothing; `full` changes things as well, but for what wants the password. An app
    /// that is shown the token learns it from `me/` and may go by it.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(required, value_type = TokenScope, example = "read")]
    scope: Option<String>,
    /// How many days it lasts, 1 to 366.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(required, value_type = u64, minimum = 1, maximum = 366, example = 90)]
    days: Option<i64>,
}

/// A token that was made.
#[derive(Serialize, ToSchema)]
struct AccessTokenMade {
    status: Success,
    /// The token. It is told this once: keep it as safe as a password.
    token: String,
    /// Its identifier, by which it is revoked.
    #[schema(format = Uuid)]
    id: String,
    /// When it ends.
    #[schema(format = DateTime)]
    expires_at: String,
}

/// Make a token
///
/// A personal access token, for a program that should not know the password.
#[utoipa::path(
    post,
    path = "/api/accounts/tokens/",
    tag = "Personal access tokens",
    security(("bearer" = [])),
    request_body = NewAccessToken,
    responses((status = 200, description = "The token is there.", body = AccessTokenMade, links(
        ("revoke" = (operation_id = "revoke_access_token", parameters(("id" = "$response.body#/id"))))
    )))
)]
async fn issue_access_token(
    State(state): State<AppState>,
    Bearer(token): Bearer,
    Body(body): Body<NewAccessToken>,
) -> Response {
    let outcome = async {
        let wish = NewTokenRequest::parse(body.name.as_deref(), body.scope.as_deref(), body.days)?;
        state.service.issue_access_token(&state.service.require_reauth(&token).await?, wish).await
    };
    let made = outcome.await.map(|NewToken { token, line }| AccessTokenMade {
        status: Success::Ok,
        token: token.expose().to_owned(),
        id: line.id,
        expires_at: line.expires_at,
    });
    answer(ErrorFormat::Api, made)
}

/// Revoke a token
///
/// No server takes it any more.
#[utoipa::path(
    delete,
    path = "/api/accounts/tokens/{id}/",
    tag = "Personal access tokens",
    security(("bearer" = [])),
    params(("id" = String, Path, format = Uuid, description = "The token's `id`, from the list.")),
    responses((status = 204, description = "It is revoked."))
)]
async fn revoke_access_token(State(state): State<AppState>, Bearer(token): Bearer, Id(id): Id) -> Response {
    empty(state.service.revoke_access_token(&token, &id).await, no_content)
}
