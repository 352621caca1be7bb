//! The JSON API under `/api/accounts/`, for other programs. Thin over the service; `contract` is the word for what it
//! answers: a client written for the tutorial's Django backend works unchanged.

mod email;
mod own;

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    domain::{
        account::{Account, Identity},
        scope::Scope,
    },
    error::AppError,
    server::{
        answer::{CLEAR_SITE_DATA, Surface},
        door::Bearer,
        routes::Route,
        state::AppState,
    },
    service::{Bearing, Caller, Error, Registration},
    store::AccessToken,
};

/// The routes, each with and without its trailing slash.
pub fn routes() -> impl IntoIterator<Item = Route> {
    let calls = [
        ("/api/accounts/api_register", post(register)),
        ("/api/accounts/api_auth", post(log_in)),
        ("/api/accounts/me", get(me)),
        ("/api/accounts/logout", post(log_out)),
    ];
    calls
        .into_iter()
        .chain(own::calls())
        .chain(email::calls())
        .flat_map(|(path, handler)| [(path.to_owned(), handler.clone()), (format!("{path}/"), handler)])
}

/// Who is behind a token, as the contract has it.
#[derive(Serialize)]
struct Me<'a> {
    #[serde(flatten)]
    account: &'a Account,
    expires_at: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_login_at: Option<&'a String>,
    /// What a personal access token may do; a session may do everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<Scope>,
}

async fn register(State(state): State<AppState>, caller: Caller, body: Bytes) -> Response {
    let outcome = async {
        let body = object(&body)?;
        let registration = Registration::parse(text(&body, "email"), text(&body, "username"), text(&body, "password"))?;
        state.service.register(&caller, registration).await
    };
    answer(Surface::Register, outcome.await.map(|_| json!({ "status": "ok", "response": "The account is created!" })))
}

async fn log_in(State(state): State<AppState>, caller: Caller, body: Bytes) -> Response {
    let outcome = async {
        let body = object(&body)?;
        let given = |key| text(&body, key).filter(|text| !text.is_empty()).ok_or(AppError::BadRequest);
        let identifier = given("email").or_else(|_| given("username"))?;
        state.service.log_in(&caller, identifier, given("password")?).await
    };
    answer(
        Surface::Auth,
        outcome
            .await
            .map(|done| json!({ "status": "ok", "token": done.token, "expires_at": done.identity.expires_at })),
    )
}

async fn me(State(state): State<AppState>, Bearer(token): Bearer) -> Response {
    match state.service.identify(&token).await {
        Ok(Bearing::Session(session)) => {
            let Identity { account, expires_at, previous_login_at } = session.identity();
            answer(
                Surface::Api,
                Ok(Me { account, expires_at, previous_login_at: previous_login_at.as_ref(), scope: None }),
            )
        }
        Ok(Bearing::Access(AccessToken { user, scope, expires_at, .. })) => {
            let (account, expires_at) = (&user.into(), &expires_at.to_rfc3339());
            answer(Surface::Api, Ok(Me { account, expires_at, previous_login_at: None, scope: Some(scope) }))
        }
        Err(error) => Surface::Api.refuse(&error.into()),
    }
}

async fn log_out(State(state): State<AppState>, Bearer(token): Bearer) -> Response {
    match state.service.log_out(&token).await {
        Ok(()) => gone(),
        Err(error) => Surface::Api.refuse(&error.into()),
    }
}

/// The answer to whoever has left: a browser forgets what a page kept.
fn gone() -> Response {
    let clear = (CLEAR_SITE_DATA, HeaderValue::from_static("\"storage\""));
    (StatusCode::NO_CONTENT, [clear]).into_response()
}

/// The body as a JSON object. The last of two equal keys counts.
fn object(body: &[u8]) -> Result<Map<String, Value>, AppError> {
    serde_json::from_slice(body).map_err(|_| AppError::BadRequest)
}

/// A key's text; `None` when it is missing or anything else.
fn text<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    object.get(key)?.as_str()
}

/// Something was done, and there is nothing to tell about it.
fn done(outcome: Result<(), Error>) -> Response {
    answer(Surface::Api, outcome.map(|()| json!({ "status": "ok" })))
}

fn answer(surface: Surface, outcome: Result<impl Serialize, Error>) -> Response {
    let body = outcome.and_then(|body| serde_json::to_vec(&body).map_err(|cause| Error::Fault(cause.to_string())));
    match body {
        Ok(body) => {
            let kind = HeaderValue::from_static("application/json; charset=utf-8");
            ([(CONTENT_TYPE, kind)], body).into_response()
        }
        Err(error) => surface.refuse(&error.into()),
    }
}
