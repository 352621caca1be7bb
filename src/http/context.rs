//! The request's data that a server function of the page can access.

use axum::{
    extract::FromRequestParts,
    http::{HeaderValue, request::Parts},
};
use leptos::prelude::use_context;
use leptos_axum::ResponseOptions;

use crate::{
    domain::event::Via,
    error::AppError,
    http::{
        client_ip::caller,
        response::{CLEAR_SITE_DATA, STORAGE},
        state::AppState,
    },
    service::{Caller, Service},
};

/// The context of a server function: the service, the client, and the extractors of the JSON API.
#[derive(Debug)]
pub struct PageContext {
    /// The client of the request.
    pub caller: Caller,
    state: AppState,
    parts: Parts,
}

impl PageContext {
    /// Reads what the router has put into the context. Fails outside of a request.
    pub fn from_request() -> Result<Self, AppError> {
        let state = use_context::<AppState>().ok_or(AppError::Internal)?;
        let parts = use_context::<Parts>().ok_or(AppError::Internal)?;
        Ok(Self { caller: caller(&parts, &state.trust.proxies, Via::Page), state, parts })
    }

    /// The service, which all operations go to.
    #[must_use]
    pub fn service(&self) -> &Service {
        &self.state.service
    }

    /// Extracts a proof of the caller's identity, such as [`Proven`](crate::service::Proven).
    ///
    /// A server function with a form parses the request first. So the form shows its errors before the page asks for the
    /// password.
    pub async fn extract<E>(&mut self) -> Result<E, AppError>
    where
        E: FromRequestParts<AppState, Rejection: Into<AppError>>,
    {
        E::from_request_parts(&mut self.parts, &self.state).await.map_err(Into::into)
    }

    /// Makes the browser clear what the page stored.
    pub fn clear_storage(&self) {
        if let Some(options) = use_context::<ResponseOptions>() {
            options.insert_header(CLEAR_SITE_DATA, HeaderValue::from_static(STORAGE));
        }
    }
}
