//! Registering, logging in, who is there, and logging out.

use axum::{extract::State, response::Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    Endpoint, Message, Success, answer,
    body::{Body, filled, lenient},
    empty, gone,
};
use crate::{
    domain::{
        account::{Account, Identity},
        token_scope::TokenScope,
    },
    error::AppError,
    http::{context::Bearer, response::ErrorFormat, state::AppState},
    service::{Caller, Principal},
    store::AccessToken,
};

pub fn endpoints() -> [Endpoint; 4] {
    let busy = AppError::RateLimited { retry_after: 30 };
    [
        Endpoint::new(routes!(register)).refuses([
            AppError::Invalid(Vec::new()),
            AppError::RegistrationClosed,
            AppError::Taken,
            busy.clone(),
        ]),
        Endpoint::new(routes!(log_in)).refuses([AppError::BadCredentials, AppError::EmailUnverified, busy]),
        Endpoint::new(routes!(me)),
        Endpoint::new(routes!(log_out)).for_changes(),
    ]
}

/// A new account.
#[derive(Deserialize, ToSchema)]
struct Register {
    /// The email address. It may belong to one account only, however it is spelled.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(required, value_type = String, format = Email, max_length = 254, example = "ann@example.org")]
    email: Option<String>,
    /// The public name: 3 to 32 letters, digits, dots, underscores and hyphens.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(required, value_type = String, min_length = 3, example = "ann")]
    username: Option<String>,
    /// The password. The operator may want more than 8 characters, and one that is easily guessed is refused.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(required, value_type = String, format = Password, min_length = 8, example = "seven green lanterns")]
    password: Option<String>,
}

/// Register
///
/// Makes an account. Where the server sends mail, an email that somebody has is answered like a new one, and its owner gets
/// a mail that says so. Errors stand under `errors`, by the field that they are about.
#[utoipa::path(
    post,
    path = "/api/accounts/api_register/",
    tag = "Sign in",
    request_body = Register,
    responses((status = 200, description = "The account is there.", body = Message))
)]
async fn register(State(state): State<AppState>, caller: Caller, Body(body): Body<Register>) -> Response {
    let outcome = async {
        let Register { email, username, password } = &body;
        let service = &state.service;
        let registration = service.read_registration(email.as_deref(), username.as_deref(), password.as_deref())?;
        service.register(&caller, registration).await
    };
    answer(ErrorFormat::Register, outcome.await.map(|_| Message::of("The account is created!")))
}

/// Who logs in.
#[derive(Deserialize, ToSchema)]
struct LogIn {
    /// The email or the username.
    #[schema(example = "ann@example.org")]
    email: Option<String>,
    /// The username, for who sends no `email`.
    username: Option<String>,
    /// The password.
    #[schema(format = Password, min_length = 1, example = "seven green lanterns")]
    password: String,
}

/// A session that has begun.
#[derive(Serialize, ToSchema)]
struct LoggedIn {
    status: Success,
    /// The bearer token. It is told this once: keep it as safe as a password.
    token: String,
    /// When the session ends at the latest.
    #[schema(format = DateTime)]
    expires_at: String,
}

/// Log in
///
/// Begins a session and tells its token. With an error, `token` is empty and `error` is for people.
#[utoipa::path(
    post,
    path = "/api/accounts/api_auth/",
    tag = "Sign in",
    request_body = LogIn,
    responses((status = 200, description = "The session has begun.", body = LoggedIn))
)]
async fn log_in(State(state): State<AppState>, caller: Caller, Body(body): Body<LogIn>) -> Response {
    let outcome = async {
        let LogIn { email, username, password } = &body;
        let identifier = filled(email.as_ref()).or_else(|| filled(username.as_ref())).ok_or(AppError::BadRequest)?;
        let password = filled(Some(password)).ok_or(AppError::BadRequest)?;
        state.service.log_in(&caller, identifier, password).await
    };
    let begun = outcome.await.map(|done| LoggedIn {
        status: Success::Ok,
        token: done.token,
        expires_at: done.identity.expires_at,
    });
    answer(ErrorFormat::Auth, begun)
}

/// Who is behind a token.
#[derive(Serialize, ToSchema)]
struct Me<'a> {
    #[serde(flatten)]
    account: &'a Account,
    /// When the session or the token ends at the latest.
    #[schema(format = DateTime)]
    expires_at: &'a str,
    /// When somebody logged in for the last time before this session, if ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    previous_login_at: Option<&'a String>,
    /// What a personal access token may do; a session may do everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<TokenScope>,
}

/// Who is there
///
/// Tells whose token this is: the question to ask on every request of an app.
#[utoipa::path(
    get,
    path = "/api/accounts/me/",
    tag = "Sign in",
    security(("bearer" = [])),
    responses((status = 200, description = "The token counts.", body = Me))
)]
async fn me(State(state): State<AppState>, Bearer(token): Bearer) -> Response {
    match state.service.authenticate_any(&token).await {
        Ok(Principal::Session(session)) => {
            let Identity { account, expires_at, previous_login_at } = session.identity();
            let previous_login_at = previous_login_at.as_ref();
            answer(ErrorFormat::Api, Ok(Me { account, expires_at, previous_login_at, scope: None }))
        }
        Ok(Principal::Access(AccessToken { user, scope, expires_at, .. })) => {
            let (account, expires_at) = (&user.into(), &expires_at.to_rfc3339());
            answer(ErrorFormat::Api, Ok(Me { account, expires_at, previous_login_at: None, scope: Some(scope) }))
        }
        Err(error) => ErrorFormat::Api.error_response(&error.into()),
    }
}

/// Log out
///
/// Ends the session, on every server at once. A personal access token is revoked by it.
#[utoipa::path(
    post,
    path = "/api/accounts/logout/",
    tag = "Sign in",
    security(("bearer" = [])),
    responses((status = 204, description = "The token is worth nothing any more."))
)]
async fn log_out(State(state): State<AppState>, Bearer(token): Bearer) -> Response {
    empty(state.service.log_out(&token).await, gone)
}
