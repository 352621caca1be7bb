//! The JSON API under `/api/accounts/`, for other programs. Thin over the service; `contract` is the word for what it
//! answers: a client written for the tutorial's Django backend works unchanged.

use axum::{
    Extension, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Map, Value, json};

use crate::{
    error::AppError,
    server::{
        answer::{CLEAR_SITE_DATA, Door},
        door::bearer,
        state::AppState,
    },
    service::{Caller, Error, Registration, Service},
};

/// The routes, each with and without its trailing slash.
pub fn router() -> Router<AppState> {
    let both = |router: Router<AppState>, path: &str, handler: axum::routing::MethodRouter<AppState>| {
        router.route(path, handler.clone()).route(&format!("{path}/"), handler)
    };
    let router = both(Router::new(), "/api_register", post(register));
    let router = both(router, "/api_auth", post(log_in));
    let router = both(router, "/me", get(me));
    both(router, "/logout", post(log_out))
}

async fn register(State(service): State<Service>, Extension(caller): Extension<Caller>, body: Bytes) -> Response {
    let outcome = async {
        let body = object(&body)?;
        let registration = Registration::parse(text(&body, "email"), text(&body, "username"), text(&body, "password"))?;
        service.register(&caller, registration).await
    };
    answer(Door::Register, outcome.await.map(|_| json!({ "status": "ok", "response": "The account is created!" })))
}

async fn log_in(State(service): State<Service>, Extension(caller): Extension<Caller>, body: Bytes) -> Response {
    let outcome = async {
        let body = object(&body)?;
        let given = |key| text(&body, key).filter(|text| !text.is_empty()).ok_or(AppError::BadRequest);
        let identifier = given("email").or_else(|_| given("username"))?;
        service.log_in(&caller, identifier, given("password")?).await
    };
    answer(
        Door::Auth,
        outcome.await.map(|done| json!({ "status": "ok", "token": done.token, "expires_at": done.expires_at })),
    )
}

async fn me(State(service): State<Service>, headers: HeaderMap) -> Response {
    let outcome = async { service.identity(&bearer(&headers)?).await };
    answer(Door::Api, outcome.await.map(|identity| json!(identity)))
}

async fn log_out(State(service): State<Service>, headers: HeaderMap) -> Response {
    let outcome = async { service.log_out(&bearer(&headers)?).await };
    match outcome.await {
        Ok(()) => {
            let clear = (CLEAR_SITE_DATA, HeaderValue::from_static("\"storage\""));
            (StatusCode::NO_CONTENT, [clear]).into_response()
        }
        Err(error) => Door::Api.refuse(&error.into()),
    }
}

/// The body as a JSON object. The last of two equal keys counts.
fn object(body: &[u8]) -> Result<Map<String, Value>, AppError> {
    serde_json::from_slice(body).map_err(|_| AppError::BadRequest)
}

/// A key's text; `None` when it is missing or anything else.
fn text<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    object.get(key)?.as_str()
}

fn answer(door: Door, outcome: Result<Value, Error>) -> Response {
    match outcome {
        Ok(body) => {
            let kind = HeaderValue::from_static("application/json; charset=utf-8");
            ([(axum::http::header::CONTENT_TYPE, kind)], body.to_string()).into_response()
        }
        Err(error) => door.refuse(&error.into()),
    }
}
