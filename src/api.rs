//! The JSON API under `/api/accounts/` and `/api/admin/`, a thin layer over the service.
//!
//! A client written for the tutorial's Django backend works unchanged: its two endpoints return exactly the same
//! responses. The document at `/api/openapi.json` is generated from the requests and responses of each endpoint.

/// Endpoints from their request handlers.
macro_rules! endpoints {
    ($($handler:ident),+ $(,)?) => {
        vec![$(crate::api::Endpoint::of(utoipa_axum::routes!($handler), $handler)),+]
    };
}

mod access_tokens;
mod account;
mod accounts;
mod docs_page;
mod email;
mod events;
mod groups;
mod history;
mod invitations;
mod openapi;
mod sessions;
mod setup;
mod sign_in;

use axum::routing::get;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::UtoipaMethodRouter;

use crate::{
    error::AppError,
    http::{
        operation::Operation,
        response::{ErrorFormat, OperationErrors},
        state::{AppState, Route},
    },
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
        .chain(history::endpoints())
        .chain(setup::endpoints())
        .chain(accounts::endpoints())
        .chain(groups::endpoints())
        .chain(invitations::endpoints())
        .chain(events::endpoints())
}

struct Endpoint {
    /// The path, the request handler and their OpenAPI description.
    routes: UtoipaMethodRouter<AppState>,
    /// The format of its errors.
    format: ErrorFormat,
    /// The errors that this endpoint can return, besides those that every endpoint can.
    errors: Vec<AppError>,
}

impl Endpoint {
    /// The errors follow from the handler's signature.
    fn of<A, H: Operation<A>>(routes: UtoipaMethodRouter<AppState>, _handler: H) -> Self {
        Self { routes, format: H::FORMAT, errors: H::errors() }
    }
}

/// Names for the errors that an operation can return, besides those of its arguments.
macro_rules! operation_errors {
    ($($error:ident),+) => {
        $(
            #[doc = concat!("[`AppError::", stringify!($error), "`].")]
            enum $error {}

            impl OperationErrors for $error {
                fn errors() -> Vec<AppError> {
                    vec![AppError::$error]
                }
            }
        )+
    };
}

operation_errors!(LastAdmin, MailOff, NotFound, Taken, WrongPassword);

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

impl Done {
    const OK: Self = Self { status: Success::Ok };
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
