//! Responses: JSON, and errors in the format of each part of the server.

use std::{collections::BTreeMap, marker::PhantomData};

use axum::{
    body::Body,
    http::{
        HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt, Collected};
use serde::Serialize;
use server_fn::error::{FromServerFnError, SERVER_FN_ERROR_HEADER};
use utoipa::ToSchema;

use crate::{
    error::{AppError, Field},
    service,
};

/// `Clear-Site-Data` (W3C), sent at a logout: the browser clears what the page stored.
pub const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

/// The value of `Clear-Site-Data`.
pub const STORAGE: &str = "\"storage\"";

const JSON: &str = "application/json; charset=utf-8";

/// A JSON body.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => ([(CONTENT_TYPE, JSON)], body).into_response(),
            Err(cause) => <ApiError>::from(service::Error::Fault(cause.to_string())).into_response(),
        }
    }
}

/// The response to a logout or a deletion. Its header makes a browser clear what the page stored.
#[derive(Debug)]
pub struct LoggedOut;

impl IntoResponse for LoggedOut {
    fn into_response(self) -> Response {
        (StatusCode::NO_CONTENT, [(CLEAR_SITE_DATA, STORAGE)]).into_response()
    }
}

/// The errors that an operation of the JSON API can return, besides those of its arguments.
pub trait OperationErrors {
    /// Their format.
    const FORMAT: ErrorFormat = ErrorFormat::Api;

    /// The errors, for the documentation.
    fn errors() -> Vec<AppError>;
}

/// None.
impl OperationErrors for () {
    fn errors() -> Vec<AppError> {
        Vec::new()
    }
}

impl<A: OperationErrors, B: OperationErrors> OperationErrors for (A, B) {
    fn errors() -> Vec<AppError> {
        [A::errors(), B::errors()].concat()
    }
}

/// An error of the JSON API. `E` names the errors of the operation, and so their format.
#[derive(Debug)]
pub struct ApiError<E = ()>(AppError, PhantomData<E>);

impl<E> From<AppError> for ApiError<E> {
    fn from(error: AppError) -> Self {
        Self(error, PhantomData)
    }
}

impl<E> From<service::Error> for ApiError<E> {
    fn from(error: service::Error) -> Self {
        AppError::from(error).into()
    }
}

impl<E> From<ApiError<E>> for AppError {
    fn from(error: ApiError<E>) -> Self {
        error.0
    }
}

impl<E: OperationErrors> IntoResponse for ApiError<E> {
    fn into_response(self) -> Response {
        E::FORMAT.error_response(&self.0)
    }
}

/// The format of errors. [`ErrorFormat::of`] finds it for a request that reaches no request handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorFormat {
    /// `api_register/`: messages by field.
    Register,
    /// `api_auth/`: an empty token beside the message.
    Auth,
    /// Any other path of the JSON API: a code for programs beside the message.
    Api,
    /// The page's server functions: the serialized error, which the page parses.
    Function,
    /// Everything that a browser opens directly: plain text.
    Page,
}

impl ErrorFormat {
    /// The format for a path.
    #[must_use]
    pub fn of(path: &str) -> Self {
        match path.trim_end_matches('/') {
            "/api/accounts/api_register" => Self::Register,
            "/api/accounts/api_auth" => Self::Auth,
            // People may follow a link to it from any site.
            "/api/docs" => Self::Page,
            api if api == "/api" || api.starts_with("/api/") => Self::Api,
            function if function == "/fn" || function.starts_with("/fn/") => Self::Function,
            _ => Self::Page,
        }
    }

    /// An error as a response in this format.
    #[must_use]
    pub fn error_response(self, error: &AppError) -> Response {
        let body = match self {
            Self::Register => serde_json::to_vec(&RegisterErrorBody::from(error)),
            Self::Auth => serde_json::to_vec(&AuthErrorBody::from(error)),
            Self::Api => serde_json::to_vec(&ErrorBody::from(error)),
            Self::Function => return function_error_response(error),
            Self::Page => return answer(error, "text/plain; charset=utf-8", format!("{error}\n").into()),
        };
        answer(error, JSON, body.unwrap_or_default().into())
    }
}

fn function_error_response(error: &AppError) -> Response {
    let mut response = answer(error, JSON, error.ser().into());
    response.headers_mut().insert(SERVER_FN_ERROR_HEADER, HeaderValue::from_static("/fn"));
    response
}

/// The status of an error response.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Failure {
    Fail,
}

/// Messages by field.
type Messages = BTreeMap<&'static str, Vec<String>>;

/// An error.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    status: Failure,
    /// The error's code, for programs.
    #[schema(value_type = String, example = "session_ended")]
    code: &'static str,
    /// What is wrong and how to fix it, for people.
    error: String,
    /// Messages by field. Only with the code `invalid`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, Vec<String>>, required = false)]
    errors: Messages,
}

impl From<&AppError> for ErrorBody {
    fn from(error: &AppError) -> Self {
        Self { status: Failure::Fail, code: error.code(), error: error.to_string(), errors: messages(error) }
    }
}

/// An error of a registration.
#[derive(Debug, Serialize, ToSchema)]
pub struct RegisterErrorBody {
    status: Failure,
    /// Messages by field, for people. A message that concerns no single field is under `account`.
    #[schema(value_type = BTreeMap<String, Vec<String>>)]
    errors: Messages,
}

impl From<&AppError> for RegisterErrorBody {
    fn from(error: &AppError) -> Self {
        let mut errors = messages(error);
        if errors.is_empty() {
            errors.insert("account", vec![error.to_string()]);
        }
        Self { status: Failure::Fail, errors }
    }
}

/// An error of a login.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuthErrorBody {
    status: Failure,
    /// Always empty. Clients of the tutorial's backend check it.
    #[schema(value_type = String, max_length = 0)]
    token: &'static str,
    /// What is wrong and how to fix it, for people.
    pub error: String,
}

impl From<&AppError> for AuthErrorBody {
    fn from(error: &AppError) -> Self {
        let error = match error {
            AppError::BadRequest => "Please provide both email and password.".to_owned(),
            other => other.to_string(),
        };
        Self { status: Failure::Fail, token: "", error }
    }
}

/// The messages of each invalid field.
fn messages(error: &AppError) -> Messages {
    let of = |field| error.problems_of(field).map(ToString::to_string).collect::<Vec<_>>();
    let each = Field::ALL.into_iter().map(|field| (field.name(), of(field)));
    each.filter(|(_, messages)| !messages.is_empty()).collect()
}

fn answer(error: &AppError, content_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status(error);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    add_headers(error, headers);
    response
}

fn status(error: &AppError) -> StatusCode {
    StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Adds the headers that an error's status requires (RFC 9110, sections 10.2.3 and 11.6.1; RFC 6750, section 3).
fn add_headers(error: &AppError, headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = error.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    let challenge = match error {
        AppError::SessionEnded => Some("Bearer error=\"invalid_token\""),
        AppError::ReadOnly | AppError::SessionRequired => Some("Bearer error=\"insufficient_scope\""),
        _ => None,
    };
    if let Some(challenge) = challenge {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
}

/// The response of a server function, with the status and the headers of its error if it failed. Leptos 0.8 sends every error with
/// the status 500.
pub async fn function_response(response: Response) -> Response {
    if !response.headers().contains_key(SERVER_FN_ERROR_HEADER) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let body = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
    let error = AppError::de(body.clone());
    parts.status = status(&error);
    add_headers(&error, &mut parts.headers);
    Response::from_parts(parts, body.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_has_its_error_format() {
        let table = [
            ("/api/accounts/api_register", ErrorFormat::Register),
            ("/api/accounts/api_register/", ErrorFormat::Register),
            ("/api/accounts/api_auth/", ErrorFormat::Auth),
            ("/api/accounts/me", ErrorFormat::Api),
            ("/api", ErrorFormat::Api),
            ("/api/docs", ErrorFormat::Page),
            ("/apiary", ErrorFormat::Page),
            ("/fn/login", ErrorFormat::Function),
            ("/login", ErrorFormat::Page),
            ("/", ErrorFormat::Page),
        ];
        for (path, format) in table {
            assert_eq!(ErrorFormat::of(path), format, "{path}");
        }
    }
}
