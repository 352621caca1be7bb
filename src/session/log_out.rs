//! The server function that ends a session.

use leptos::prelude::*;
use server_fn::codec::Json;

use super::SessionClient;
use crate::error::AppError;

/// Ends the session whose token is sent along, on every server at once.
///
/// # Errors
/// [`AppError::SessionEnded`] if there is none, [`AppError::Unavailable`].
#[server(name = LogOut, prefix = "/fn", endpoint = "logout", input = Json, output = Json, client = SessionClient)]
pub async fn log_out() -> Result<(), AppError> {
    crate::http::context::PageContext::from_request()?.log_out().await
}
