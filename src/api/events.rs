//! The audit trail, for operators.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Endpoint, NotFound};
use crate::{
    domain::{
        event::{EventLine, EventName, EventQuery, Outcome},
        page_size::PageSize,
        time::Timestamp,
    },
    error::AppError,
    http::{
        extract::{Id, Parameters},
        response::{ApiError, Json},
        state::AppState,
    },
    service::Operator,
};

pub fn endpoints() -> Vec<Endpoint> {
    endpoints![list_events, events_of_account]
}

/// Which account's events to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PersonParameter {
    /// Only what was done to this account: an email, a username or an id.
    #[param(value_type = String, required = false)]
    person: Option<String>,
}

/// Which events to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct EventParameters {
    /// Only this event, such as `password.change`, or this category, such as `login`.
    #[param(value_type = String, required = false)]
    name: Option<String>,
    /// Only this outcome: `ok`, `denied` or `failed`.
    #[param(value_type = String, required = false)]
    outcome: Option<String>,
    /// Only what this account did: an email, a username or an id.
    #[param(value_type = String, required = false)]
    actor: Option<String>,
    /// Only from this network, such as `192.0.2.x`.
    #[param(value_type = String, required = false)]
    network: Option<String>,
    /// Only since this time: a date or RFC 3339, in UTC.
    #[param(value_type = String, required = false)]
    from: Option<String>,
    /// Only before this time, written in the same way.
    #[param(value_type = String, required = false)]
    to: Option<String>,
    /// Where to continue: `next` of the previous response.
    #[param(value_type = String, format = Uuid, required = false)]
    after: Option<Uuid>,
    /// The number of events, 50 by default.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 200)]
    #[serde(default)]
    limit: PageSize,
}

impl EventParameters {
    /// Checks the parameters. An empty one is no restriction.
    fn query(self, person: String) -> Result<EventQuery, AppError> {
        let Self { name, outcome, actor, network, from, to, after, limit } = self;
        let (name, outcome) = (name.unwrap_or_default(), outcome.unwrap_or_default());
        if !(name.is_empty() || EventName::is_known(&name))
            || !(outcome.is_empty() || outcome.parse::<Outcome>().is_ok())
        {
            return Err(AppError::BadRequest);
        }
        let time = |text: Option<String>| match text.filter(|text| !text.is_empty()) {
            Some(text) => Timestamp::parse_day_or_time(&text).map(Timestamp::as_millis).map(Some),
            None => Some(None),
        };
        Ok(EventQuery {
            person,
            actor: actor.unwrap_or_default(),
            name,
            outcome,
            network: network.unwrap_or_default(),
            from: time(from).ok_or(AppError::BadRequest)?,
            to: time(to).ok_or(AppError::BadRequest)?,
            before: after.map_or_else(String::new, |id| id.to_string()),
            limit: limit.get(),
            ..EventQuery::default()
        })
    }
}

/// A part of the audit trail.
#[derive(Serialize, ToSchema)]
struct Events {
    /// The events, the newest first, with the usernames that the accounts have now.
    events: Vec<EventLine>,
    /// The `after` of the next page; null on the last one.
    #[schema(required, format = Uuid)]
    next: Option<String>,
}

/// List events
///
/// Requires a role. Returns events of the audit trail, the newest first. Filters can be combined. Returns 404 for an
/// account that doesn't exist; a deleted one has only its id.
#[utoipa::path(
    get,
    path = "/api/admin/events/",
    tag = "Operators",
    security(("bearer" = [])),
    params(PersonParameter, EventParameters),
    responses((status = 200, description = "Some events.", body = Events))
)]
async fn list_events(
    State(state): State<AppState>,
    operator: Operator,
    Parameters(PersonParameter { person }): Parameters<PersonParameter>,
    Parameters(parameters): Parameters<EventParameters>,
) -> Result<Json<Events>, ApiError<NotFound>> {
    let query = parameters.query(person.unwrap_or_default())?;
    let (events, next) = state.service.events(&operator, query).await?;
    Ok(Json(Events { events, next }))
}

/// List an account's events
///
/// Requires a role. Returns what was done to the account, the newest first. A deleted account keeps its events.
#[utoipa::path(
    get,
    path = "/api/admin/accounts/{id}/events/",
    tag = "Operators",
    security(("bearer" = [])),
    params(("id" = String, Path, format = Uuid, description = "The account's `id`."), EventParameters),
    responses((status = 200, description = "Some events.", body = Events))
)]
async fn events_of_account(
    State(state): State<AppState>,
    operator: Operator,
    Id(id): Id,
    Parameters(parameters): Parameters<EventParameters>,
) -> Result<Json<Events>, ApiError> {
    let id = Uuid::parse_str(&id).map_err(|_| AppError::NotFound)?;
    let (events, next) = state.service.events(&operator, parameters.query(id.to_string())?).await?;
    Ok(Json(Events { events, next }))
}
