//! Registration, login, token check and logout.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Endpoint, Message, Success};
use crate::{
    domain::{
        account::{Account, CurrentSession},
        requests::{LogIn, Register},
        token_scope::TokenScope,
    },
    error::AppError,
    http::{
        extract::Body,
        response::{ApiError, ErrorFormat, Json, LoggedOut, OperationErrors},
        state::AppState,
    },
    service::{Caller, Principal, Writer},
    store::AccessToken,
};

pub fn endpoints() -> Vec<Endpoint> {
    endpoints![register, log_in, me, log_out]
}

/// The errors of a registration, in the tutorial's format.
enum RegisterErrors {}

impl OperationErrors for RegisterErrors {
    const FORMAT: ErrorFormat = ErrorFormat::Register;

    fn errors() -> Vec<AppError> {
        vec![AppError::RegistrationClosed, AppError::Taken]
    }
}

/// Register
///
/// Creates an account. If the server sends mail, an email that already has an account gets the same response as a new
/// one. Its owner is notified by email. Where an operator must approve accounts, logins get `approval_pending` until then.
/// Errors are listed under `errors`, by field.
#[utoipa::path(
    post,
    path = "/api/accounts/api_register/",
    tag = "Log in",
    request_body = Register,
    responses((status = 200, description = "The account was created.", body = Message))
)]
async fn register(
    State(state): State<AppState>,
    caller: Caller,
    body: Result<Body<Register>, ApiError>,
) -> Result<Json<Message>, ApiError<RegisterErrors>> {
    let Body(registration) = body.map_err(AppError::from)?;
    let made = state.service.register(&caller, registration).await?;
    Ok(Json(Message::of(if made.pending {
        "The account is created. It waits for an operator's approval."
    } else {
        "The account is created!"
    })))
}

/// The errors of a login, in the tutorial's format.
enum LogInErrors {}

impl OperationErrors for LogInErrors {
    const FORMAT: ErrorFormat = ErrorFormat::Auth;

    fn errors() -> Vec<AppError> {
        vec![AppError::BadCredentials, AppError::EmailUnverified, AppError::ApprovalPending]
    }
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
    tag = "Log in",
    request_body = LogIn,
    responses((status = 200, description = "The session was created.", body = LoggedIn))
)]
async fn log_in(
    State(state): State<AppState>,
    caller: Caller,
    body: Result<Body<LogIn>, ApiError>,
) -> Result<Json<LoggedIn>, ApiError<LogInErrors>> {
    let Body((identifier, password)) = body.map_err(AppError::from)?;
    let login = state.service.log_in(&caller, &identifier, &password).await?;
    Ok(Json(LoggedIn { status: Success::Ok, token: login.token, expires_at: login.session.expires_at }))
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
    tag = "Log in",
    security(("bearer" = [])),
    responses((status = 200, description = "The token is valid.", body = Me))
)]
async fn me(principal: Principal) -> Response {
    // Serialized here, because it borrows from the cached session.
    match principal {
        Principal::Session(session) => {
            let CurrentSession { account, expires_at, previous_login_at } = session.current();
            let previous_login_at = previous_login_at.as_ref();
            Json(Me { account, expires_at, previous_login_at, scope: None }).into_response()
        }
        Principal::Access(token) => {
            let AccessToken { user, scope, expires_at, .. } = *token;
            let (account, expires_at) = (&user.into(), &expires_at.to_rfc3339());
            Json(Me { account, expires_at, previous_login_at: None, scope: Some(scope) }).into_response()
        }
    }
}

/// Log out
///
/// Ends the session on every server at once. If the token is a personal access token, it is revoked.
#[utoipa::path(
    post,
    path = "/api/accounts/logout/",
    tag = "Log in",
    security(("bearer" = [])),
    responses((status = 204, description = "The token is no longer valid."))
)]
async fn log_out(State(state): State<AppState>, caller: Caller, writer: Writer) -> Result<LoggedOut, ApiError> {
    state.service.log_out(&caller, &writer).await?;
    Ok(LoggedOut)
}
