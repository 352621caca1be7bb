//! Groups of accounts, for operators.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Done, Endpoint, Success};
use crate::{
    domain::{
        directory::AccountLine,
        page_size::PageSize,
        requests::{DeleteGroup, NameGroup},
    },
    error::AppError,
    http::{
        extract::{Body, Id, Parameters},
        response::{ApiError, Json, OperationErrors},
        state::AppState,
    },
    service::{Caller, Operator, ProvenOperator, groups::GroupLine},
};

pub fn endpoints() -> Vec<Endpoint> {
    endpoints![list_groups, create_group, rename_group, delete_group, list_members]
}

/// All groups.
#[derive(Serialize, ToSchema)]
struct Groups {
    /// The groups, by name.
    groups: Vec<GroupLine>,
}

/// List the groups
///
/// Requires a role. Returns all groups with the number of their members.
#[utoipa::path(
    get,
    path = "/api/admin/groups/",
    tag = "Operators",
    security(("bearer" = [])),
    responses((status = 200, description = "All groups.", body = Groups, links(
        ("members" = (operation_id = "list_members", parameters(("id" = "$response.body#/groups/0/id"))))
    )))
)]
async fn list_groups(State(state): State<AppState>, operator: Operator) -> Result<Json<Groups>, ApiError> {
    Ok(Json(Groups { groups: state.service.groups(&operator).await? }))
}

/// A new group.
#[derive(Serialize, ToSchema)]
struct CreatedGroup {
    status: Success,
    /// The group's identifier.
    #[schema(format = Uuid)]
    id: String,
}

/// Create a group
///
/// For admins.
#[utoipa::path(
    post,
    path = "/api/admin/groups/",
    tag = "Operators",
    security(("bearer" = [])),
    request_body = NameGroup,
    responses((status = 200, description = "The group was created.", body = CreatedGroup))
)]
async fn create_group(
    State(state): State<AppState>,
    caller: Caller,
    operator: ProvenOperator,
    Body(name): Body<NameGroup>,
) -> Result<Json<CreatedGroup>, ApiError> {
    let id = state.service.create_group(&caller, &operator, &name).await?;
    Ok(Json(CreatedGroup { status: Success::Ok, id }))
}

/// Rename a group
///
/// Apps see the new name at the next request. For admins.
#[utoipa::path(
    post,
    path = "/api/admin/groups/{id}/rename/",
    tag = "Operators",
    security(("bearer" = [])),
    params(("id" = String, Path, description = "The group's `id` or its name.")),
    request_body = NameGroup,
    responses((status = 200, description = "The group has the name.", body = Done))
)]
async fn rename_group(
    State(state): State<AppState>,
    caller: Caller,
    operator: ProvenOperator,
    Id(group): Id,
    Body(name): Body<NameGroup>,
) -> Result<Json<Done>, ApiError> {
    state.service.change_group_name(&caller, &operator, &group, &name).await?;
    Ok(Json(Done::OK))
}

/// The errors of deleting a group.
enum DeleteErrors {}

impl OperationErrors for DeleteErrors {
    fn errors() -> Vec<AppError> {
        vec![AppError::GroupNotEmpty]
    }
}

/// Delete a group
///
/// Its members keep their accounts. A group with members is deleted only with `force`. For admins.
#[utoipa::path(
    post,
    path = "/api/admin/groups/{id}/delete/",
    tag = "Operators",
    security(("bearer" = [])),
    params(("id" = String, Path, description = "The group's `id` or its name.")),
    request_body = DeleteGroup,
    responses((status = 200, description = "The group was deleted.", body = Done))
)]
async fn delete_group(
    State(state): State<AppState>,
    caller: Caller,
    operator: ProvenOperator,
    Id(group): Id,
    Body(force): Body<DeleteGroup>,
) -> Result<Json<Done>, ApiError<DeleteErrors>> {
    state.service.remove_group(&caller, &operator, &group, force).await?;
    Ok(Json(Done::OK))
}

/// Which members to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct MemberQuery {
    /// Where to continue: `next` of the previous response.
    #[param(value_type = String, format = Uuid, required = false)]
    after: Option<Uuid>,
    /// The number of accounts, 50 by default.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 200)]
    #[serde(default)]
    limit: PageSize,
}

/// A part of the list of a group's members.
#[derive(Serialize, ToSchema)]
struct Members {
    /// The accounts, the oldest first.
    accounts: Vec<AccountLine>,
    /// The `after` of the next page; null on the last one.
    #[schema(required, format = Uuid)]
    next: Option<String>,
}

/// List a group's members
///
/// Requires a role. Returns the accounts in the order of their creation.
#[utoipa::path(
    get,
    path = "/api/admin/groups/{id}/members/",
    tag = "Operators",
    security(("bearer" = [])),
    params(("id" = String, Path, description = "The group's `id` or its name."), MemberQuery),
    responses((status = 200, description = "Some members.", body = Members))
)]
async fn list_members(
    State(state): State<AppState>,
    operator: Operator,
    Id(group): Id,
    Parameters(MemberQuery { after, limit }): Parameters<MemberQuery>,
) -> Result<Json<Members>, ApiError> {
    let after = after.map_or_else(String::new, |id| id.to_string());
    let (accounts, next) = state.service.members(&operator, &group, &after, limit.get()).await?;
    Ok(Json(Members { accounts, next }))
}
