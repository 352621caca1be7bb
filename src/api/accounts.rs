//! Accounts for operators: listing them, and showing one.

use axum::extract::State;

use super::Endpoint;
use crate::{
    domain::directory::{AccountDetails, AccountPage, AccountQuery},
    http::{
        extract::{Id, Parameters},
        response::{ApiError, Json},
        state::AppState,
    },
    service::Operator,
};

pub fn endpoints() -> Vec<Endpoint> {
    endpoints![list_accounts, show_account]
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
