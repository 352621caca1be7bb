//! The server function that ends a session.

use leptos::prelude::*;

use super::BearerTransport;
use crate::{error::AppError, json::Json};

/// Ends the session of the request, on every server at once.
#[server(name = LogOut, prefix = "/fn", endpoint = "logout", input = Json, output = Json, client = BearerTransport)]
pub async fn log_out() -> Result<(), AppError> {
    use crate::{http::context::PageContext, service::Writer};

    let mut context = PageContext::from_request()?;
    let writer: Writer = context.extract().await?;
    context.service().log_out(&context.caller, &writer).await?;
    context.clear_storage();
    Ok(())
}
