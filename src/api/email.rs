//! Operations that use mail: confirming an email, changing it, and resetting a forgotten password.

use axum::{extract::State, response::Response};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    Done, Endpoint, Message,
    body::{Body, filled, lenient},
    done, invalid, respond,
};
use crate::{
    domain::email::Email,
    error::{AppError, Field, Problem},
    http::{context::Bearer, response::ErrorFormat, state::AppState},
    service::{Caller, NewPassword, Service},
};

pub fn endpoints() -> [Endpoint; 7] {
    let invalid = || AppError::Invalid(Vec::new());
    let rate_limited = || AppError::RateLimited { retry_after: 30 };
    let by_link = || [AppError::LinkInvalid, AppError::WrongPassword, invalid(), rate_limited()];
    [
        Endpoint::new(routes!(verify_email)).with_errors(by_link()),
        Endpoint::new(routes!(resend_verification)).for_changes().with_errors([AppError::MailOff, rate_limited()]),
        Endpoint::new(routes!(forgot_password)).with_errors([AppError::MailOff, invalid(), rate_limited()]),
        Endpoint::new(routes!(reset_password)).with_errors([AppError::LinkInvalid, invalid(), rate_limited()]),
        Endpoint::new(routes!(change_email)).for_proven_sessions().with_errors([
            AppError::MailOff,
            invalid(),
            rate_limited(),
        ]),
        Endpoint::new(routes!(confirm_email)).with_errors(by_link()).with_errors([AppError::Taken]),
        Endpoint::new(routes!(undo_email)).with_errors([
            AppError::LinkInvalid,
            AppError::Taken,
            invalid(),
            rate_limited(),
        ]),
    ]
}

/// A link from a mail, and the account's password.
#[derive(Deserialize, ToSchema)]
struct FollowLink {
    /// The part of the mail's link after the `#`.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(required, value_type = String, pattern = "^vsl_[0-9A-Za-z]{49}$")]
    token: Option<String>,
    /// The account's password. It is required because a click on a link alone proves nothing.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(required, value_type = String, format = Password, min_length = 1, example = "seven green lanterns")]
    password: Option<String>,
}

impl FollowLink {
    fn password(&self) -> Result<&str, AppError> {
        filled(self.password.as_ref()).ok_or_else(|| invalid(Field::Password, Problem::Missing))
    }
}

/// A link from a mail, and the new password.
#[derive(Deserialize, ToSchema)]
struct SetPassword {
    /// The part of the mail's link after the `#`.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(required, value_type = String, pattern = "^vsl_[0-9A-Za-z]{49}$")]
    token: Option<String>,
    /// The new password.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(required, value_type = String, format = Password, min_length = 8, example = "nine quiet harbours")]
    new_password: Option<String>,
}

impl SetPassword {
    fn parse(&self) -> Result<NewPassword, AppError> {
        NewPassword::parse(self.token.as_deref(), self.new_password.as_deref())
    }
}

/// Confirm the email
///
/// Proves that the email belongs to the owner of the account. The link comes by mail.
#[utoipa::path(
    post,
    path = "/api/accounts/verify_email/",
    tag = "Email and forgotten password",
    request_body = FollowLink,
    responses((status = 200, description = "The email is confirmed.", body = Done))
)]
async fn verify_email(State(state): State<AppState>, caller: Caller, Body(body): Body<FollowLink>) -> Response {
    let outcome = async {
        let link = Service::read_link(body.token.as_deref())?;
        state.service.verify_email(&caller, &link, body.password()?).await.map(drop)
    };
    done(outcome.await)
}

/// Resend the confirmation
///
/// Sends another mail with a link to confirm the email. Limited to a few times per hour.
#[utoipa::path(
    post,
    path = "/api/accounts/resend_verification/",
    tag = "Email and forgotten password",
    security(("bearer" = [])),
    responses((status = 200, description = "The mail will be sent.", body = Done))
)]
async fn resend_verification(State(state): State<AppState>, Bearer(token): Bearer, caller: Caller) -> Response {
    done(state.service.resend_verification(&caller, &token).await)
}

/// A request for a link to set a new password.
#[derive(Deserialize, ToSchema)]
struct ForgotPassword {
    /// The account's email.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(required, value_type = String, format = Email, max_length = 254, example = "ann@example.org")]
    email: Option<String>,
}

/// Request a password reset
///
/// Sends a mail with a link to set a new password. The response is the same whether such an account exists or not.
#[utoipa::path(
    post,
    path = "/api/accounts/forgot_password/",
    tag = "Email and forgotten password",
    request_body = ForgotPassword,
    responses((status = 200, description = "A mail will be sent if such an account exists.", body = Message))
)]
async fn forgot_password(State(state): State<AppState>, caller: Caller, Body(body): Body<ForgotPassword>) -> Response {
    let outcome = async {
        let email = email(body.email.as_deref(), Field::Email)?;
        state.service.forgot_password(&caller, &email).await
    };
    let message = "If there is an account with this email, a mail is on its way.";
    respond(ErrorFormat::Api, outcome.await.map(|()| Message::of(message)))
}

/// Set a new password
///
/// Sets a new password with the link from the mail. Ends every session and revokes every personal access token. Log in
/// afterwards to get a new session.
#[utoipa::path(
    post,
    path = "/api/accounts/reset_password/",
    tag = "Email and forgotten password",
    request_body = SetPassword,
    responses((status = 200, description = "The password was changed.", body = Done))
)]
async fn reset_password(State(state): State<AppState>, caller: Caller, Body(body): Body<SetPassword>) -> Response {
    let outcome = async { state.service.reset_password(&caller, body.parse()?).await.map(drop) };
    done(outcome.await)
}

/// A change of the email.
#[derive(Deserialize, ToSchema)]
struct ChangeEmail {
    /// The new email.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(required, value_type = String, format = Email, max_length = 254, example = "ann@example.com")]
    new_email: Option<String>,
}

/// Change the email
///
/// Sends a mail with a link to the new address. The old address stays in use until `confirm_email/` gets the link.
#[utoipa::path(
    post,
    path = "/api/accounts/change_email/",
    tag = "Email and forgotten password",
    security(("bearer" = [])),
    request_body = ChangeEmail,
    responses((status = 200, description = "A mail will be sent to the new address.", body = Done))
)]
async fn change_email(
    State(state): State<AppState>,
    Bearer(token): Bearer,
    caller: Caller,
    Body(body): Body<ChangeEmail>,
) -> Response {
    let outcome = async {
        let email = email(body.new_email.as_deref(), Field::NewEmail)?;
        let proven = state.service.require_reauth(&token).await?;
        state.service.change_email(&caller, &proven, &email).await
    };
    done(outcome.await)
}

/// Confirm the new email
///
/// Changes the account's email to the new address, with the link that was sent there. The old address gets a mail with
/// a link that undoes the change.
#[utoipa::path(
    post,
    path = "/api/accounts/confirm_email/",
    tag = "Email and forgotten password",
    request_body = FollowLink,
    responses((status = 200, description = "The email was changed.", body = Done))
)]
async fn confirm_email(State(state): State<AppState>, caller: Caller, Body(body): Body<FollowLink>) -> Response {
    let outcome = async {
        let link = Service::read_link(body.token.as_deref())?;
        state.service.confirm_email(&caller, &link, body.password()?).await.map(drop)
    };
    done(outcome.await)
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
async fn undo_email(State(state): State<AppState>, caller: Caller, Body(body): Body<SetPassword>) -> Response {
    let outcome = async { state.service.undo_email(&caller, body.parse()?).await.map(drop) };
    done(outcome.await)
}

fn email(text: Option<&str>, field: Field) -> Result<Email, AppError> {
    text.ok_or(Problem::Missing).and_then(Email::parse).map_err(|problem| invalid(field, problem))
}
