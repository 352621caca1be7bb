//! Registration, login, token check and logout.

use axum::{extract::State, response::Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    Endpoint, Message, Success,
    body::{Body, filled, lenient},
    empty, logged_out, respond,
};
use crate::{
    domain::{
        account::{Account, CurrentSession},
        token_scope::TokenScope,
    },
    error::AppError,
    http::{context::Bearer, response::ErrorFormat, state::AppState},
    service::{Caller, Principal},
    store::AccessToken,
};

pub fn endpoints() -> [Endpoint; 4] {
    let rate_limited = AppError::RateLimited { retry_after: 30 };
    [
        Endpoint::new(routes!(register)).with_errors([
            AppError::Invalid(Vec::new()),
            AppError::RegistrationClosed,
            AppError::Taken,
            rate_limited.clone(),
        ]),
        Endpoint::new(routes!(log_in)).with_errors([AppError::BadCredentials, AppError::EmailUnverified, rate_limited]),
        Endpoint::new(routes!(me)),
        Endpoint::new(routes!(log_out)).for_changes(),
    ]
}

/// A registration.
#[derive(Deserialize, ToSchema)]
struct Register {
    /// The email address. Only one account can have it, in any spelling.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(required, value_type = String, format = Email, max_length = 254, example = "ann@example.org")]
    email: Option<String>,
    /// The public name: 3 to 32 letters, digits, dots, underscores and hyphens.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(required, value_type = String, min_length = 3, example = "ann")]
    username: Option<String>,
    /// The password. The operator may require more than 8 characters. Passwords that are easy to guess are refused.
    #[serde(default, deserialize_with = "lenient")]
    #[schema(required, value_type = String, format = Password, min_length = 8, example = "seven green lanterns")]
    password: Option<String>,
}

/// Register
///
/// Creates an account. If the server sends mail, an email that already has an account gets the same response as a new
/// one. Its owner is notified by mail. Errors are listed under `errors`, by field.
#[utoipa::path(
    post,
    path = "/api/accounts/api_register/",
    tag = "Sign in",
    request_body = Register,
    responses((status = 200, description = "The account was created.", body = Message))
)]
async fn register(State(state): State<AppState>, caller: Caller, Body(body): Body<Register>) -> Response {
    let outcome = async {
        let Register { email, username, password } = &body;
        let service = &state.service;
        let registration = service.read_registration(email.as_deref(), username.as_deref(), password.as_deref())?;
        service.register(&caller, registration).await
    };
    respond(ErrorFormat::Register, outcome.await.map(|_| Message::of("The account is created!")))
}

/// A login.
#[derive(Deserialize, ToSchema)]
struct LogIn {
    /// The email or the username.
    #[schema(example = "ann@example.org")]
    email: Option<String>,
    /// The username. Used if `email` is missing or empty.
    username: Option<String>,
    /// The password.
    #[schema(format = Password, min_length = 1, example = "seven green lanterns")]
    password: String,
}

/// A new session.
#[derive(Serialize, ToSchema)]
struct LoggedIn {
    status: Success,
    /// The bearer token. It is shown only once: keep it as safe as a password.
    token: String,
    /// When the session expires at the latest.
    #[schema(format = DateTime)]
    expires_at: String,
}

/// Log in
///
/// Creates a session and returns its token. If the login fails, `token` is empty and `error` holds a message.
#[utoipa::path(
    post,
    path = "/api/accounts/api_auth/",
    tag = "Sign in",
    request_body = LogIn,
    responses((status = 200, description = "The session was created.", body = LoggedIn))
)]
async fn log_in(State(state): State<AppState>, caller: Caller, Body(body): Body<LogIn>) -> Response {
    let outcome = async {
        let LogIn { email, username, password } = &body;
        let identifier = filled(email.as_ref()).or_else(|| filled(username.as_ref())).ok_or(AppError::BadRequest)?;
        let password = filled(Some(password)).ok_or(AppError::BadRequest)?;
        state.service.log_in(&caller, identifier, password).await
    };
    let created = outcome.await.map(|login| LoggedIn {
        status: Success::Ok,
        token: login.token,
        expires_at: login.session.expires_at,
    });
    respond(ErrorFormat::Auth, created)
}

/// The account of a token.
#[derive(Serialize, ToSchema)]
struct Me<'a> {
    #[serde(flatten)]
    account: &'a Account,
    /// When the session or the access token expires at the latest.
    #[schema(format = DateTime)]
    expires_at: &'a str,
    /// When the account was last logged in to before this session, if ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    previous_login_at: Option<&'a String>,
    /// The scope of a personal access token. Missing for a session, which may do everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<TokenScope>,
}

/// Check a token
///
/// Returns the account that the token belongs to. An app's backend calls this to authenticate each request.
#[utoipa::path(
    get,
    path = "/api/accounts/me/",
    tag = "Sign in",
    security(("bearer" = [])),
    responses((status = 200, description = "The token is valid.", body = Me))
)]
async fn me(State(state): State<AppState>, Bearer(token): Bearer) -> Response {
    match state.service.authenticate_any(&token).await {
        Ok(Principal::Session(session)) => {
            let CurrentSession { account, expires_at, previous_login_at } = session.current();
            let previous_login_at = previous_login_at.as_ref();
            respond(ErrorFormat::Api, Ok(Me { account, expires_at, previous_login_at, scope: None }))
        }
        Ok(Principal::Access(AccessToken { user, scope, expires_at, .. })) => {
            let (account, expires_at) = (&user.into(), &expires_at.to_rfc3339());
            respond(ErrorFormat::Api, Ok(Me { account, expires_at, previous_login_at: None, scope: Some(scope) }))
        }
        Err(error) => ErrorFormat::Api.error_response(&error.into()),
    }
}

/// Log out
///
/// Ends the session on every server at once. If the token is a personal access token, it is revoked.
#[utoipa::path(
    post,
    path = "/api/accounts/logout/",
    tag = "Sign in",
    security(("bearer" = [])),
    responses((status = 204, description = "The token is no longer valid."))
)]
async fn log_out(State(state): State<AppState>, Bearer(token): Bearer) -> Response {
    empty(state.service.log_out(&token).await, logged_out)
}
