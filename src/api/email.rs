//! What is done by mail, for other programs: confirming an email, changing it, and a forgotten password.

use axum::{body::Bytes, extract::State, response::Response, routing::post};
use serde_json::{Map, Value, json};

use super::{answer, done, object, own::invalid, text};
use crate::{
    domain::{email::Email, token::Token},
    error::{AppError, Field, Problem},
    server::{answer::Surface, door::Bearer, routes::Calls, state::AppState},
    service::{Caller, NewPassword, Service},
};

/// The paths, without their trailing slashes.
pub fn calls() -> [Calls; 7] {
    [
        ("/api/accounts/verify_email", post(verify_email)),
        ("/api/accounts/resend_verification", post(resend_verification)),
        ("/api/accounts/forgot_password", post(forgot_password)),
        ("/api/accounts/reset_password", post(reset_password)),
        ("/api/accounts/change_email", post(change_email)),
        ("/api/accounts/confirm_email", post(confirm_email)),
        ("/api/accounts/undo_email", post(undo_email)),
    ]
}

async fn verify_email(State(state): State<AppState>, caller: Caller, body: Bytes) -> Response {
    let outcome = async {
        let body = object(&body)?;
        state.service.verify_email(&caller, &link(&body)?, password(&body)?).await
    };
    done(outcome.await)
}

async fn resend_verification(State(state): State<AppState>, Bearer(token): Bearer, caller: Caller) -> Response {
    done(state.service.resend_verification(&caller, &token).await)
}

async fn forgot_password(State(state): State<AppState>, caller: Caller, body: Bytes) -> Response {
    let outcome = async {
        let email = email(&object(&body)?, Field::Email)?;
        state.service.forgot_password(&caller, &email).await
    };
    let told = "If there is an account with this email, a mail is on its way.";
    answer(Surface::Api, outcome.await.map(|()| json!({ "status": "ok", "response": told })))
}

async fn reset_password(State(state): State<AppState>, caller: Caller, body: Bytes) -> Response {
    let outcome = async { state.service.reset_password(&caller, new_password(&object(&body)?)?).await };
    done(outcome.await)
}

async fn change_email(State(state): State<AppState>, Bearer(token): Bearer, caller: Caller, body: Bytes) -> Response {
    let outcome = async {
        let email = email(&object(&body)?, Field::NewEmail)?;
        let asking = state.service.prove(&token).await?;
        state.service.change_email(&caller, &asking, &email).await
    };
    done(outcome.await)
}

async fn confirm_email(State(state): State<AppState>, caller: Caller, body: Bytes) -> Response {
    let outcome = async {
        let body = object(&body)?;
        state.service.confirm_email(&caller, &link(&body)?, password(&body)?).await
    };
    done(outcome.await)
}

async fn undo_email(State(state): State<AppState>, caller: Caller, body: Bytes) -> Response {
    let outcome = async { state.service.undo_email(&caller, new_password(&object(&body)?)?).await };
    done(outcome.await)
}

fn password(body: &Map<String, Value>) -> Result<&str, AppError> {
    let password = text(body, "password").filter(|text| !text.is_empty());
    password.ok_or_else(|| invalid(Field::Password, Problem::Missing))
}

fn new_password(body: &Map<String, Value>) -> Result<NewPassword, AppError> {
    NewPassword::parse(text(body, "token"), text(body, "new_password"))
}

fn link(body: &Map<String, Value>) -> Result<Token, AppError> {
    Service::read_link(text(body, "token"))
}

fn email(body: &Map<String, Value>, field: Field) -> Result<Email, AppError> {
    let email = text(body, field.name()).ok_or(Problem::Missing).and_then(Email::parse);
    email.map_err(|problem| invalid(field, problem))
}
