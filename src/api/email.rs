//! Operations that use mail: confirming an email, changing it, and resetting a forgotten password.

use axum::{extract::State, response::NoContent};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Done, Endpoint, MailOff, Message, Taken, WrongPassword};
use crate::{
    domain::{
        account::PendingEmailChange,
        requests::{ChangeEmail, FollowLink, ForgotPassword, SetPassword},
    },
    http::{
        extract::Body,
        response::{ApiError, Json},
        state::AppState,
    },
    service::{Caller, Principal, Proven, Writer},
};

pub fn endpoints() -> Vec<Endpoint> {
    endpoints![
        verify_email,
        resend_verification,
        forgot_password,
        reset_password,
        change_email,
        pending_email_change,
        cancel_email_change,
        confirm_email,
        undo_email,
    ]
}

/// Confirm the email
///
/// Proves that the email belongs to the owner of the account. The link comes by email.
#[utoipa::path(
    post,
    path = "/api/accounts/verify_email/",
    tag = "Email and forgotten password",
    request_body = FollowLink,
    responses((status = 200, description = "The email is confirmed.", body = Done))
)]
async fn verify_email(
    State(state): State<AppState>,
    caller: Caller,
    Body((link, password)): Body<FollowLink>,
) -> Result<Json<Done>, ApiError<WrongPassword>> {
    state.service.verify_email(&caller, &link, &password).await?;
    Ok(Json(Done::OK))
}

/// Resend the confirmation
///
/// Sends another message with a link to confirm the email. Limited to a few times per hour.
#[utoipa::path(
    post,
    path = "/api/accounts/resend_verification/",
    tag = "Email and forgotten password",
    security(("bearer" = [])),
    responses((status = 200, description = "The message will be sent.", body = Done))
)]
async fn resend_verification(
    State(state): State<AppState>,
    writer: Writer,
    caller: Caller,
) -> Result<Json<Done>, ApiError<MailOff>> {
    state.service.resend_verification(&caller, &writer).await?;
    Ok(Json(Done::OK))
}

/// Request a password reset
///
/// Sends an email with a link to set a new password. The response is the same whether such an account exists or not.
#[utoipa::path(
    post,
    path = "/api/accounts/forgot_password/",
    tag = "Email and forgotten password",
    request_body = ForgotPassword,
    responses((status = 200, description = "An email will be sent if such an account exists.", body = Message))
)]
async fn forgot_password(
    State(state): State<AppState>,
    caller: Caller,
    Body(email): Body<ForgotPassword>,
) -> Result<Json<Message>, ApiError<MailOff>> {
    state.service.forgot_password(&caller, &email).await?;
    Ok(Json(Message::of("If there is an account with this email, a message is on its way.")))
}

/// Set a new password
///
/// Sets a new password with the link from the email. Ends every session and revokes every personal access token. Log in
/// afterwards to get a new session.
#[utoipa::path(
    post,
    path = "/api/accounts/reset_password/",
    tag = "Email and forgotten password",
    request_body = SetPassword,
    responses((status = 200, description = "The password was changed.", body = Done))
)]
async fn reset_password(
    State(state): State<AppState>,
    caller: Caller,
    Body(new): Body<SetPassword>,
) -> Result<Json<Done>, ApiError> {
    state.service.reset_password(&caller, new).await?;
    Ok(Json(Done::OK))
}

/// Change the email
///
/// Sends an email with a link to the new address. The old address stays in use until `confirm_email/` gets the link.
/// Then it is notified, if it was confirmed.
#[utoipa::path(
    post,
    path = "/api/accounts/change_email/",
    tag = "Email and forgotten password",
    security(("bearer" = [])),
    request_body = ChangeEmail,
    responses((status = 200, description = "An email will be sent to the new address.", body = Done))
)]
async fn change_email(
    State(state): State<AppState>,
    proven: Proven,
    caller: Caller,
    Body(email): Body<ChangeEmail>,
) -> Result<Json<Done>, ApiError<MailOff>> {
    state.service.change_email(&caller, &proven, &email).await?;
    Ok(Json(Done::OK))
}

/// A change of email that is not confirmed yet.
#[derive(Serialize, ToSchema)]
struct EmailChange {
    /// The latest requested change, or `null` if none waits for its confirmation.
    #[schema(required)]
    email_change: Option<PendingEmailChange>,
}

/// Get the pending change of the email
///
/// Returns the new address, until the change is confirmed, cancelled, replaced or expired.
#[utoipa::path(
    get,
    path = "/api/accounts/email_change/",
    tag = "Email and forgotten password",
    security(("bearer" = [])),
    responses((status = 200, description = "The pending change, if there is one.", body = EmailChange))
)]
async fn pending_email_change(
    State(state): State<AppState>,
    principal: Principal,
) -> Result<Json<EmailChange>, ApiError> {
    Ok(Json(EmailChange { email_change: state.service.pending_email_change(&principal).await? }))
}

/// Cancel the pending change of the email
///
/// Cancels the pending change. The link that was sent to the new address is no longer valid.
#[utoipa::path(
    delete,
    path = "/api/accounts/email_change/",
    tag = "Email and forgotten password",
    security(("bearer" = [])),
    responses((status = 204, description = "The change was cancelled, or none was pending."))
)]
async fn cancel_email_change(
    State(state): State<AppState>,
    caller: Caller,
    writer: Writer,
) -> Result<NoContent, ApiError> {
    state.service.cancel_email_change(&caller, &writer).await?;
    Ok(NoContent)
}

/// Confirm the new email
///
/// Changes the account's email to the new address, with the link that was sent there. If the old address was confirmed,
/// it gets an email with a link that undoes the change.
#[utoipa::path(
    post,
    path = "/api/accounts/confirm_email/",
    tag = "Email and forgotten password",
    request_body = FollowLink,
    responses((status = 200, description = "The email was changed.", body = Done))
)]
async fn confirm_email(
    State(state): State<AppState>,
    caller: Caller,
    Body((link, password)): Body<FollowLink>,
) -> Result<Json<Done>, ApiError<(WrongPassword, Taken)>> {
    state.service.confirm_email(&caller, &link, &password).await?;
    Ok(Json(Done::OK))
}

/// Undo the change of the email
///
/// Restores the old email, with the link that was sent there. Also sets a new password and ends every session.
#[utoipa::path(
    post,
    path = "/api/accounts/undo_email/",
    tag = "Email and forgotten password",
    request_body = SetPassword,
    responses((status = 200, description = "The old email was restored.", body = Done))
)]
async fn undo_email(
    State(state): State<AppState>,
    caller: Caller,
    Body(new): Body<SetPassword>,
) -> Result<Json<Done>, ApiError<Taken>> {
    state.service.undo_email(&caller, new).await?;
    Ok(Json(Done::OK))
}
