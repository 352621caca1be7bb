//! The JSON API under `/api/accounts/`, for other programs. Thin over the service; `contract` is the word for what it
//! answers: a client written for the tutorial's Django backend works unchanged. Each call says of itself what it takes and
//! answers, and from that the document at `/api/openapi.json` is made.

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

/// The routes: each call with and without its trailing slash, and what tells of them.
pub fn routes() -> impl IntoIterator<Item = Route> {
    let calls = endpoints().flat_map(|Endpoint { routes: (_, paths, handler), .. }| {
        let paths = paths.paths.into_keys();
        paths.flat_map(move |path| {
            let bare = path.trim_end_matches('/').to_owned();
            [(bare, handler.clone()), (path, handler.clone())]
        })
    });
    calls.chain([
        ("/api/openapi.json".to_owned(), get(openapi::answer)),
        ("/api/docs".to_owned(), get(docs_page::answer)),
        ("/api/docs/".to_owned(), get(docs_page::answer)),
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

/// One call of the API.
struct Endpoint {
    /// Its address and handler, and what they say of themselves.
    routes: UtoipaMethodRouter<AppState>,
    /// The errors that it may answer, besides those that any call may.
    refuses: Vec<AppError>,
}

impl Endpoint {
    fn new(routes: UtoipaMethodRouter<AppState>) -> Self {
        Self { routes, refuses: Vec::new() }
    }

    /// It may answer these errors.
    fn refuses(mut self, errors: impl IntoIterator<Item = AppError>) -> Self {
        self.refuses.extend(errors);
        self
    }

    /// It changes something, which not every personal access token may.
    fn for_changes(self) -> Self {
        self.refuses([AppError::ReadOnly])
    }

    /// It wants a session: a personal access token doesn't do.
    fn for_sessions(self) -> Self {
        self.refuses([AppError::SessionRequired])
    }

    /// It wants a session in which the password was proven lately.
    fn for_proven_sessions(self) -> Self {
        self.for_sessions().refuses([AppError::ReauthRequired])
    }
}

/// That something was done.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Success {
    Ok,
}

/// Something was done.
#[derive(Serialize, ToSchema)]
struct Done {
    status: Success,
}

/// Something was done, and there is a sentence about it.
#[derive(Serialize, ToSchema)]
struct Message {
    status: Success,
    /// A sentence for people.
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

/// Something was done, and there is nothing to tell about it.
fn done(outcome: Result<(), Error>) -> Response {
    answer(ErrorFormat::Api, outcome.map(|()| Done { status: Success::Ok }))
}

/// Done, and that is all.
fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// The answer to whoever has left: a browser forgets what a page kept.
fn gone() -> Response {
    let clear = (CLEAR_SITE_DATA, HeaderValue::from_static("\"storage\""));
    (StatusCode::NO_CONTENT, [clear]).into_response()
}

/// An answer without a body.
fn empty(outcome: Result<(), Error>, answer: impl FnOnce() -> Response) -> Response {
    match outcome {
        Ok(()) => answer(),
        Err(error) => ErrorFormat::Api.error_response(&error.into()),
    }
}

fn answer(surface: ErrorFormat, outcome: Result<impl Serialize, Error>) -> Response {
    let body = outcome.and_then(|body| serde_json::to_vec(&body).map_err(|cause| Error::Fault(cause.to_string())));
    match body {
        Ok(body) => {
            let kind = HeaderValue::from_static("application/json; charset=utf-8");
            ([(CONTENT_TYPE, kind)], body).into_response()
        }
        Err(error) => surface.error_response(&error.into()),
    }
}
