//! The JSON API under `/api/accounts/`, a thin layer over the service.
//!
//! A client written for the tutorial's Django backend works unchanged: its two endpoints keep their responses to the
//! letter. The document at `/api/openapi.json` is generated from the requests and responses that each endpoint declares.

mod access_tokens;
mod account;
mod body;
mod docs_page;
mod email;
mod openapi;
mod sessions;
mod sign_in;

use axum::{
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::UtoipaMethodRouter;

use crate::{
    error::{AppError, Field, FieldProblem, Problem},
    http::{
        response::{CLEAR_SITE_DATA, ErrorFormat},
        state::{AppState, Route},
    },
    service::Error,
};

/// Every endpoint with and without its trailing slash, and the API's two descriptions.
pub fn routes() -> impl IntoIterator<Item = Route> {
    let calls = endpoints().flat_map(|Endpoint { routes: (_, paths, handler), .. }| {
        let paths = paths.paths.into_keys();
        paths.flat_map(move |path| {
            let bare = path.trim_end_matches('/').to_owned();
            [(bare, handler.clone()), (path, handler.clone())]
        })
    });
    calls.chain([
        ("/api/openapi.json".to_owned(), get(openapi::serve)),
        ("/api/docs".to_owned(), get(docs_page::serve)),
        ("/api/docs/".to_owned(), get(docs_page::serve)),
        (docs_page::STYLE_PATH.to_owned(), get(docs_page::style)),
    ])
}

fn endpoints() -> impl Iterator<Item = Endpoint> {
    sign_in::endpoints()
        .into_iter()
        .chain(account::endpoints())
        .chain(email::endpoints())
        .chain(sessions::endpoints())
        .chain(access_tokens::endpoints())
}

struct Endpoint {
    /// The path, the request handler and their OpenAPI description.
    routes: UtoipaMethodRouter<AppState>,
    /// The errors that this endpoint can return, besides those that every endpoint can.
    errors: Vec<AppError>,
}

impl Endpoint {
    fn new(routes: UtoipaMethodRouter<AppState>) -> Self {
        Self { routes, errors: Vec::new() }
    }

    /// Adds errors that the endpoint can return.
    fn with_errors(mut self, errors: impl IntoIterator<Item = AppError>) -> Self {
        self.errors.extend(errors);
        self
    }

    /// The endpoint changes something, so it refuses read-only access tokens.
    fn for_changes(self) -> Self {
        self.with_errors([AppError::ReadOnly])
    }

    /// The endpoint requires a session and refuses personal access tokens.
    fn for_sessions(self) -> Self {
        self.with_errors([AppError::SessionRequired])
    }

    /// The endpoint requires a session in which the password was entered recently.
    fn for_proven_sessions(self) -> Self {
        self.for_sessions().with_errors([AppError::ReauthRequired])
    }
}

/// The status of a successful response.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Success {
    Ok,
}

/// Success.
#[derive(Serialize, ToSchema)]
struct Done {
    status: Success,
}

/// Success, with a message.
#[derive(Serialize, ToSchema)]
struct Message {
    status: Success,
    /// A message to show to the user.
    #[schema(value_type = String)]
    response: &'static str,
}

impl Message {
    const fn of(response: &'static str) -> Self {
        Self { status: Success::Ok, response }
    }
}

fn invalid(field: Field, problem: Problem) -> AppError {
    AppError::Invalid(vec![FieldProblem { field, problem }])
}

/// A response that holds only its status.
fn done(outcome: Result<(), Error>) -> Response {
    respond(ErrorFormat::Api, outcome.map(|()| Done { status: Success::Ok }))
}

fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// The response to a logout or a deletion. Its header makes a browser clear what the page stored.
fn logged_out() -> Response {
    let clear = (CLEAR_SITE_DATA, HeaderValue::from_static("\"storage\""));
    (StatusCode::NO_CONTENT, [clear]).into_response()
}

/// A response without a body, or an error.
fn empty(outcome: Result<(), Error>, success: impl FnOnce() -> Response) -> Response {
    match outcome {
        Ok(()) => success(),
        Err(error) => ErrorFormat::Api.error_response(&error.into()),
    }
}

fn respond(format: ErrorFormat, outcome: Result<impl Serialize, Error>) -> Response {
    let body = outcome.and_then(|body| serde_json::to_vec(&body).map_err(|cause| Error::Fault(cause.to_string())));
    match body {
        Ok(body) => {
            let kind = HeaderValue::from_static("application/json; charset=utf-8");
            ([(CONTENT_TYPE, kind)], body).into_response()
        }
        Err(error) => format.error_response(&error.into()),
    }
}
