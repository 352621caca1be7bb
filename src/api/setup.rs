//! The first admin, who is made by the link that the program prints.

use axum::extract::State;

use super::{Done, Endpoint, Taken, WrongPassword};
use crate::{
    domain::requests::{BecomeAdmin, SetUp},
    http::{
        extract::{Body, Session},
        response::{ApiError, Json},
        state::AppState,
    },
    service::Caller,
};

pub fn endpoints() -> Vec<Endpoint> {
    endpoints![set_up, become_admin]
}

/// Create the first admin
///
/// Creates an account with the role admin and a confirmed email. The link comes from `vestibule operator link`, or from
/// the terminal on which the server was started. It works once, and only while there is no enabled admin.
#[utoipa::path(
    post,
    path = "/api/admin/setup/",
    tag = "Operators",
    request_body = SetUp,
    responses((status = 200, description = "The account was created.", body = Done))
)]
async fn set_up(
    State(state): State<AppState>,
    caller: Caller,
    Body(request): Body<SetUp>,
) -> Result<Json<Done>, ApiError<Taken>> {
    state.service.set_up(&caller, request).await?;
    Ok(Json(Done::OK))
}

/// Become the first admin
///
/// Gives the own account the role admin by the same link, and confirms its email. Ends all its sessions and revokes its
/// access tokens. Log in afterwards to get a new session.
#[utoipa::path(
    post,
    path = "/api/admin/setup/me/",
    tag = "Operators",
    security(("bearer" = [])),
    request_body = BecomeAdmin,
    responses((status = 200, description = "The account is an admin.", body = Done))
)]
async fn become_admin(
    State(state): State<AppState>,
    session: Session,
    caller: Caller,
    Body(request): Body<BecomeAdmin>,
) -> Result<Json<Done>, ApiError<WrongPassword>> {
    state.service.become_first_admin(&caller, &session, request).await?;
    Ok(Json(Done::OK))
}
