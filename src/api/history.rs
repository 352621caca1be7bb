//! The account's history.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Endpoint;
use crate::{
    domain::{event::EventLine, page_size::PageSize},
    http::{
        extract::Parameters,
        response::{ApiError, Json},
        state::AppState,
    },
    service::Principal,
};

pub fn endpoints() -> Vec<Endpoint> {
    endpoints![history]
}

/// Which events to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct HistoryQuery {
    /// Only what is older than the event with this `id`.
    #[param(value_type = String, format = Uuid, required = false)]
    before: Option<Uuid>,
    /// At most this many events, 50 by default.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 200)]
    #[serde(default)]
    limit: PageSize,
}

/// A page of an account's history.
#[derive(Serialize, ToSchema)]
struct History {
    /// What was done to the account, the newest first.
    events: Vec<EventLine>,
    /// The `before` of the next page; null on the last one.
    #[schema(required, format = Uuid)]
    next: Option<String>,
}

/// List what was done to the account
///
/// Returns logins, failed logins and changes of the account, the newest first: what happened, who did it, and from which
/// network. Not every failed login is listed. An operator is not named.
#[utoipa::path(
    get,
    path = "/api/accounts/history/",
    tag = "Account",
    security(("bearer" = [])),
    params(HistoryQuery),
    responses((status = 200, description = "The history.", body = History))
)]
async fn history(
    State(state): State<AppState>,
    principal: Principal,
    Parameters(HistoryQuery { before, limit }): Parameters<HistoryQuery>,
) -> Result<Json<History>, ApiError> {
    let before = before.map_or_else(String::new, |id| id.to_string());
    let (events, next) = state.service.history(&principal, &before, limit.get()).await?;
    Ok(Json(History { events, next }))
}
