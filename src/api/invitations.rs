//! Invitations to register, for operators.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Done, Endpoint, MailOff, NotFound, Success, Taken};
use crate::{
    domain::{
        page_size::PageSize,
        requests::{Invite, SendInvitation},
    },
    http::{
        extract::{Body, Id, Parameters},
        response::{ApiError, Json},
        state::AppState,
    },
    service::{
        Caller, Operator, ProvenOperator,
        invitations::{Created, InvitationLine},
    },
};

pub fn endpoints() -> Vec<Endpoint> {
    endpoints![list_invitations, create_invitation, send_invitation, revoke_invitation]
}

/// Which invitations to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct InvitationQuery {
    /// Where to continue: `next` of the previous response.
    #[param(value_type = String, format = Uuid, required = false)]
    after: Option<Uuid>,
    /// The number of invitations, 50 by default.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 200)]
    #[serde(default)]
    limit: PageSize,
}

/// A part of the list of invitations.
#[derive(Serialize, ToSchema)]
struct Invitations {
    /// The invitations, the oldest first.
    invitations: Vec<InvitationLine>,
    /// The `after` of the next page; null on the last one.
    #[schema(required, format = Uuid)]
    next: Option<String>,
}

/// List the invitations
///
/// Requires a role. Used and expired invitations stay in the list for a month. No link is among them.
#[utoipa::path(
    get,
    path = "/api/admin/invitations/",
    tag = "Operators",
    security(("bearer" = [])),
    params(InvitationQuery),
    responses((status = 200, description = "Some invitations.", body = Invitations, links(
        ("revoke" = (operation_id = "revoke_invitation", parameters(("id" = "$response.body#/invitations/0/id"))))
    )))
)]
async fn list_invitations(
    State(state): State<AppState>,
    operator: Operator,
    Parameters(InvitationQuery { after, limit }): Parameters<InvitationQuery>,
) -> Result<Json<Invitations>, ApiError> {
    let after = after.map_or_else(String::new, |id| id.to_string());
    let (invitations, next) = state.service.invitations(&operator, &after, limit.get()).await?;
    Ok(Json(Invitations { invitations, next }))
}

/// A new invitation.
#[derive(Serialize, ToSchema)]
struct CreatedInvitation {
    status: Success,
    /// The invitation's identifier.
    #[schema(format = Uuid)]
    id: String,
    /// The token of the link `/invite#TOKEN`. It is shown only once. Null if the link is sent.
    #[schema(required)]
    token: Option<String>,
    /// When the invitation expires.
    #[schema(format = DateTime)]
    expires_at: String,
}

/// Create an invitation
///
/// Returns 404 for a group that doesn't exist, and 409 for an email that has an account. For admins and support.
#[utoipa::path(
    post,
    path = "/api/admin/invitations/",
    tag = "Operators",
    security(("bearer" = [])),
    request_body = Invite,
    responses((status = 200, description = "The invitation was created.", body = CreatedInvitation))
)]
async fn create_invitation(
    State(state): State<AppState>,
    caller: Caller,
    operator: ProvenOperator,
    Body(request): Body<Invite>,
) -> Result<Json<CreatedInvitation>, ApiError<(MailOff, (NotFound, Taken))>> {
    let Created { id, token, expires_at } = state.service.create_invitation(&caller, &operator, request).await?;
    let token = token.map(|token| token.expose().to_owned());
    Ok(Json(CreatedInvitation { status: Success::Ok, id, token, expires_at: expires_at.to_rfc3339() }))
}

/// An invitation that is sent again.
#[derive(Serialize, ToSchema)]
struct SentInvitation {
    status: Success,
    /// When the invitation expires.
    #[schema(format = DateTime)]
    expires_at: String,
}

/// Send an invitation again
///
/// Sends a new link to the invitation's email. The old link is no longer valid. Returns 404 for an invitation that is for
/// any email, used or revoked, and 409 if the email has an account. For admins and support.
#[utoipa::path(
    post,
    path = "/api/admin/invitations/{id}/send/",
    tag = "Operators",
    security(("bearer" = [])),
    params(("id" = String, Path, format = Uuid, description = "The invitation's `id`.")),
    request_body = SendInvitation,
    responses((status = 200, description = "The email will be sent.", body = SentInvitation))
)]
async fn send_invitation(
    State(state): State<AppState>,
    caller: Caller,
    operator: ProvenOperator,
    Id(id): Id,
    Body(days): Body<SendInvitation>,
) -> Result<Json<SentInvitation>, ApiError<(MailOff, Taken)>> {
    let expires_at = state.service.resend_invitation(&caller, &operator, &id, days).await?;
    Ok(Json(SentInvitation { status: Success::Ok, expires_at: expires_at.to_rfc3339() }))
}

/// Revoke an invitation
///
/// Nobody can register with it any more. For admins and support.
#[utoipa::path(
    post,
    path = "/api/admin/invitations/{id}/revoke/",
    tag = "Operators",
    security(("bearer" = [])),
    params(("id" = String, Path, format = Uuid, description = "The invitation's `id`.")),
    responses((status = 200, description = "The invitation is revoked.", body = Done))
)]
async fn revoke_invitation(
    State(state): State<AppState>,
    caller: Caller,
    operator: ProvenOperator,
    Id(id): Id,
) -> Result<Json<Done>, ApiError> {
    state.service.withdraw_invitation(&caller, &operator, &id).await?;
    Ok(Json(Done::OK))
}
