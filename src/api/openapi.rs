//! The OpenAPI document, generated from the declarations of the endpoints.

use std::{collections::BTreeMap, sync::LazyLock};

use axum::{
    http::{HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ComponentsBuilder, Content, HeaderBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Paths, Ref,
        RefOr, Response as Described, ResponseBuilder, Schema, Server,
        path::Operation,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::{Endpoint, endpoints};
use crate::{
    error::AppError,
    http::response::{AuthErrorBody, ErrorBody, ErrorFormat, RegisterErrorBody},
};

/// The introduction to the API, in paragraphs.
pub const ABOUT: &str = "Accounts for your app: register users, log them in, and check their tokens.\n\n\
    Requests and responses are JSON. Every path works with and without its trailing slash. Calls that require a token expect \
    it in the header `Authorization: Bearer <token>`. There are two kinds of token. Logging in returns a session token. A \
    personal access token is created by the account's owner and can do less.\n\n\
    An error has an HTTP status and a message for people. Every endpoint except `api_register/` and `api_auth/` also returns \
    a machine-readable `code`. After a 429 or a 503, wait for the number of seconds in the header `Retry-After`.";

pub static DOCUMENT: LazyLock<OpenApi> = LazyLock::new(document);

static JSON: LazyLock<String> = LazyLock::new(|| DOCUMENT.to_pretty_json().unwrap_or_default());

pub async fn serve() -> Response {
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    ([(CONTENT_TYPE, kind)], JSON.as_str()).into_response()
}

fn document() -> OpenApi {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("The token of a session (`vst_…`) or a personal access token (`vsp_…`)."));
    let mut components = ComponentsBuilder::new()
        .security_scheme("bearer", SecurityScheme::Http(bearer.build()))
        .schemas_from_iter(error_schemas());
    let mut paths = Paths::new();
    for Endpoint { routes: (schemas, mut described, _), format, errors } in endpoints() {
        for item in described.paths.values_mut() {
            let writes = item.get.is_none();
            for operation in [&mut item.get, &mut item.post, &mut item.delete].into_iter().flatten() {
                add_errors(operation, format, writes, &errors);
            }
        }
        components = components.schemas_from_iter(schemas);
        paths.merge(described);
    }
    let license = LicenseBuilder::new().name(env!("CARGO_PKG_LICENSE")).identifier(Some(env!("CARGO_PKG_LICENSE")));
    let info = InfoBuilder::new()
        .title("Vestibule")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(license.build()));
    OpenApiBuilder::new()
        .info(info.build())
        .servers(Some([Server::new("/")]))
        .paths(paths)
        .components(Some(components.build()))
        .build()
}

/// The schemas of error bodies and of the types that they contain.
fn error_schemas() -> Vec<(String, RefOr<Schema>)> {
    let mut schemas = vec![
        (ErrorBody::name().into_owned(), ErrorBody::schema()),
        (RegisterErrorBody::name().into_owned(), RegisterErrorBody::schema()),
        (AuthErrorBody::name().into_owned(), AuthErrorBody::schema()),
    ];
    ErrorBody::schemas(&mut schemas);
    schemas
}

/// The errors that every endpoint can return. Only requests that change something must be JSON.
pub fn common_errors(writes: bool) -> Vec<AppError> {
    let mut errors = vec![
        AppError::BadHost,
        AppError::CrossSite,
        AppError::MethodNotAllowed,
        AppError::RequestTimeout,
        AppError::TooLarge,
        AppError::UnknownHost,
        AppError::Internal,
        AppError::Unavailable { retry_after: 5 },
    ];
    errors.extend(writes.then_some(AppError::UnsupportedMediaType));
    errors.sort_by_key(AppError::status);
    errors
}

/// An error's code and message in the documentation. The tutorial's two endpoints return no code.
pub fn code_and_message(format: ErrorFormat, error: &AppError) -> (Option<&'static str>, String) {
    match (format, error) {
        (ErrorFormat::Auth, error) => (None, AuthErrorBody::from(error).error),
        (ErrorFormat::Register, AppError::Invalid(_)) => {
            (None, "Messages for each invalid field, under the field's name.".to_owned())
        }
        (ErrorFormat::Register, error) => (None, error.to_string()),
        (ErrorFormat::Api | ErrorFormat::Function | ErrorFormat::Page, error) => {
            (Some(error.code()), error.to_string())
        }
    }
}

/// Documents the errors that an endpoint can return.
fn add_errors(operation: &mut Operation, format: ErrorFormat, writes: bool, own: &[AppError]) {
    let mut by_status: BTreeMap<u16, Vec<AppError>> = BTreeMap::new();
    for error in own.iter().cloned().chain(common_errors(writes)) {
        by_status.entry(error.status()).or_default().push(error);
    }
    let described = by_status.iter().map(|(status, errors)| (status.to_string(), described(format, errors).into()));
    operation.responses.responses.extend(described);
}

/// The description of the errors that share a status.
fn described(format: ErrorFormat, errors: &[AppError]) -> Described {
    let name = match format {
        ErrorFormat::Register => RegisterErrorBody::name(),
        ErrorFormat::Auth => AuthErrorBody::name(),
        ErrorFormat::Api | ErrorFormat::Function | ErrorFormat::Page => ErrorBody::name(),
    };
    let lines = errors.iter().map(|error| match code_and_message(format, error) {
        (Some(code), sentence) => format!("`{code}`: {sentence}"),
        (None, sentence) => sentence,
    });
    let lines: Vec<String> = lines.collect();
    let mut response = ResponseBuilder::new()
        .description(lines.join("\n"))
        .content("application/json", Content::new(Some(Ref::from_schema_name(name))));
    if errors.iter().any(|error| error.retry_after().is_some()) {
        let wait = HeaderBuilder::new().schema(Some(u32::schema())).description(Some("Seconds to wait."));
        response = response.header("Retry-After", wait.build());
    }
    response.build()
}
