//! The account's history.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Endpoint;
use crate::{
    domain::event::EventLine,
    http::{
        extract::Page,
        response::{ApiError, Json},
        state::AppState,
    },
    service::Principal,
};

pub fn endpoints() -> Vec<Endpoint> {
    endpoints![history]
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
    params(
        ("before" = Option<String>, Query, format = Uuid, description = "Only what is older than the event with this `id`."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "At most this many events; 50 by default.")
    ),
    responses((status = 200, description = "The history.", body = History))
)]
async fn history(State(state): State<AppState>, principal: Principal, page: Page) -> Result<Json<History>, ApiError> {
    let (events, next) = state.service.history(&principal, &page.before, page.limit).await?;
    Ok(Json(History { events, next }))
}
