//! What is done by mail: confirming an email, changing it, and a forgotten password.

use axum::{extract::State, response::Response};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    Done, Endpoint, Message, answer,
    body::{Body, filled, lenient},
    done, invalid,
};
use crate::{
    domain::email::Email,
    error::{AppError, Field, Problem},
    http::{context::Bearer, response::ErrorFormat, state::AppState},
    service::{Caller, NewPassword, Service},
};

pub fn endpoints() -> [Endpoint; 7] {
    let invalid = || AppError::Invalid(Vec::new());
    let busy = || AppError::RateLimited { retry_after: 30 };
    let opened = || [AppError::LinkInvalid, AppError::WrongPassword, invalid(), busy()];
    [
        Endpoint::new(routes!(verify_email)).refuses(opened()),
        Endpoint::new(routes!(resend_verification)).for_changes().refuses([AppError::MailOff, busy()]),
        Endpoint::new(routes!(forgot_password)).refuses([AppError::MailOff, invalid(), busy()]),
        Endpoint::new(routes!(reset_password)).refuses([AppError::LinkInvalid, invalid(), busy()]),
        Endpoint::new(routes!(change_email)).for_proven_sessions().refuses([AppError::MailOff, invalid(), busy()]),
        Endpoint::new(routes!(confirm_email)).refuses(opened()).refuses([AppError::Taken]),
        Endpoint::new(routes!(undo_email)).refuses([AppError::LinkInvalid, AppError::Taken, invalid(), busy()]),
    ]
}

/// A link from a mail, and the account's password.
#[derive(Deserialize, ToSchema)]
struct FollowLink {
    /// What stands behind the `#` of the link in the mail.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(required, value_type = String, pattern = "^vsl_[0-9A-Za-z]{49}$")]
    token: Option<String>,
    /// The account's password, so that a click alone proves nothing.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(required, value_type = String, format = Password, min_length = 1, example = "seven green lanterns")]
    password: Option<String>,
}

impl FollowLink {
    fn password(&self) -> Result<&str, AppError> {
        filled(self.password.as_ref()).ok_or_else(|| invalid(Field::Password, Problem::Missing))
    }
}

/// A link from a mail, and a password to set.
#[derive(Deserialize, ToSchema)]
struct SetPassword {
    /// What stands behind the `#` of the link in the mail.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(required, value_type = String, pattern = "^vsl_[0-9A-Za-z]{49}$")]
    token: Option<String>,
    /// The password from now on.
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
/// Proves that the account's email is its owner's.
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

/// Send the confirmation again
///
/// Another mail with a link, a few times in an hour.
#[utoipa::path(
    post,
    path = "/api/accounts/resend_verification/",
    tag = "Email and forgotten password",
    security(("bearer" = [])),
    responses((status = 200, description = "The mail is on its way.", body = Done))
)]
async fn resend_verification(State(state): State<AppState>, Bearer(token): Bearer, caller: Caller) -> Response {
    done(state.service.resend_verification(&caller, &token).await)
}

/// Who forgot the password.
#[derive(Deserialize, ToSchema)]
struct ForgotPassword {
    /// The account's email.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(required, value_type = String, format = Email, max_length = 254, example = "ann@example.org")]
    email: Option<String>,
}

/// Forgot the password
///
/// Sends a link to a new password. The answer is the same whether there is such an account or not.
#[utoipa::path(
    post,
    path = "/api/accounts/forgot_password/",
    tag = "Email and forgotten password",
    request_body = ForgotPassword,
    responses((status = 200, description = "A mail is on its way, if there is such an account.", body = Message))
)]
async fn forgot_password(State(state): State<AppState>, caller: Caller, Body(body): Body<ForgotPassword>) -> Response {
    let outcome = async {
        let email = email(body.email.as_deref(), Field::Email)?;
        state.service.forgot_password(&caller, &email).await
    };
    let told = "If there is an account with this email, a mail is on its way.";
    answer(ErrorFormat::Api, outcome.await.map(|()| Message::of(told)))
}

/// Set a new password
///
/// With a link from the mail. Ends every session and revokes every personal access token; the next step is to log in.
#[utoipa::path(
    post,
    path = "/api/accounts/reset_password/",
    tag = "Email and forgotten password",
    request_body = SetPassword,
    responses((status = 200, description = "The new password counts.", body = Done))
)]
async fn reset_password(State(state): State<AppState>, caller: Caller, Body(body): Body<SetPassword>) -> Response {
    let outcome = async { state.service.reset_password(&caller, body.parse()?).await.map(drop) };
    done(outcome.await)
}

/// Another email.
#[derive(Deserialize, ToSchema)]
struct ChangeEmail {
    /// The email from now on.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(required, value_type = String, format = Email, max_length = 254, example = "ann@example.com")]
    new_email: Option<String>,
}

/// Change the email
///
/// Sends a link to the new address. Until it is followed, the old one counts.
#[utoipa::path(
    post,
    path = "/api/accounts/change_email/",
    tag = "Email and forgotten password",
    security(("bearer" = [])),
    request_body = ChangeEmail,
    responses((status = 200, description = "A mail is on its way to the new address.", body = Done))
)]
async fn change_email(
    State(state): State<AppState>,
    Bearer(token): Bearer,
    caller: Caller,
    Body(body): Body<ChangeEmail>,
) -> Response {
    let outcome = async {
        let email = email(body.new_email.as_deref(), Field::NewEmail)?;
        let asking = state.service.require_reauth(&token).await?;
        state.service.change_email(&caller, &asking, &email).await
    };
    done(outcome.await)
}

/// Confirm the new email
///
/// Takes the new address, with the link that was sent there. The old one gets a mail with a link that undoes it.
#[utoipa::path(
    post,
    path = "/api/accounts/confirm_email/",
    tag = "Email and forgotten password",
    request_body = FollowLink,
    responses((status = 200, description = "The new email counts.", body = Done))
)]
async fn confirm_email(State(state): State<AppState>, caller: Caller, Body(body): Body<FollowLink>) -> Response {
    let outcome = async {
        let link = Service::read_link(body.token.as_deref())?;
        state.service.confirm_email(&caller, &link, body.password()?).await.map(drop)
    };
    done(outcome.await)
}

/// Take the old email back
///
/// With the link from the mail to the old address. Sets a new password and ends every session.
#[utoipa::path(
    post,
    path = "/api/accounts/undo_email/",
    tag = "Email and forgotten password",
    request_body = SetPassword,
    responses((status = 200, description = "The old email counts again.", body = Done))
)]
async fn undo_email(State(state): State<AppState>, caller: Caller, Body(body): Body<SetPassword>) -> Response {
    let outcome = async { state.service.undo_email(&caller, body.parse()?).await.map(drop) };
    done(outcome.await)
}

fn email(text: Option<&str>, field: Field) -> Result<Email, AppError> {
    text.ok_or(Problem::Missing).and_then(Email::parse).map_err(|problem| invalid(field, problem))
}
