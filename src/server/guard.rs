//! Checks every request before a request handler gets it: the host, the origin, and the body's type, size and speed.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, HttpBody},
    extract::Request,
    http::{
        HeaderMap, HeaderValue, Method, Version,
        header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING},
    },
    response::Response,
};
use http_body_util::BodyExt;

use super::{config::ServerConfig, cors::Grant, health, notices::Notices, routes::Routes};
use crate::{
    error::AppError,
    http::{
        origin::{host_of, is_cross_site, is_navigation, is_own_host},
        response::ErrorFormat,
        trust::Trust,
    },
};

/// The maximum size of a request's body, in bytes.
pub const BODY_LIMIT: usize = 16 * 1024;

/// The limits of a request.
#[derive(Debug)]
pub struct Limits {
    trust: Arc<Trust>,
    notices: Notices,
    body_timeout: Duration,
    response_timeout: Duration,
}

impl Limits {
    pub fn new(trust: Arc<Trust>, config: &ServerConfig) -> Self {
        let (body_timeout, response_timeout) = (config.body_timeout, config.response_timeout);
        Self { trust, notices: Notices::default(), body_timeout, response_timeout }
    }

    /// Passes a request to the routes, or refuses it.
    pub async fn guard(&self, format: ErrorFormat, request: Request, routes: &Routes) -> Response {
        self.notices.check_proxy(&request, &self.trust);
        let grant = Grant::of(&request, format, &self.trust);
        let mut response = match check(&request, format, &self.trust, grant.is_some()) {
            Ok(()) => match grant.as_ref().and_then(|_| Grant::preflight(&request)) {
                Some(preflight) => preflight,
                None => self.pass(format, request, routes).await,
            },
            Err(refused) => {
                if refused == AppError::UnknownHost {
                    self.notices.refused_host(&request);
                }
                format.error_response(&refused)
            }
        };
        if let Some(grant) = grant {
            grant.add_to(response.headers_mut());
        }
        response
    }

    /// Reads the body and calls the routes.
    async fn pass(&self, format: ErrorFormat, request: Request, routes: &Routes) -> Response {
        let mut request = match read_body(request, self.body_timeout).await {
            Ok(request) => request,
            Err(refused) => return format.error_response(&refused),
        };
        if format == ErrorFormat::Function {
            // Otherwise a plain form post would be redirected to the URL in the Referer.
            request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        }
        tokio::time::timeout(self.response_timeout, routes.call(request)).await.unwrap_or_else(|_| {
            tracing::warn!("request handler timed out");
            format.error_response(&AppError::Unavailable { retry_after: 5 })
        })
    }
}

/// Checks the host, the origin and the type of the body. `allowed` is whether the origin is in
/// `server.allowed_origins`.
fn check(request: &Request, format: ErrorFormat, trust: &Trust, allowed: bool) -> Result<(), AppError> {
    let host = host_of(request)?;
    let known = match &host {
        Some(host) => is_own_host(host.host(), trust),
        // Browsers don't send requests without a host, so no page of another site sent this one.
        None => request.version() <= Version::HTTP_10,
    };
    // A prober may know only the server's address, and the response of a probe is no secret.
    if !known && !health::is_probe(request.uri().path()) {
        return Err(AppError::UnknownHost);
    }
    if format == ErrorFormat::Page {
        return Ok(());
    }
    let headers = request.headers();
    if !allowed && !is_navigation(request) && is_cross_site(headers, host.as_ref(), trust) {
        return Err(AppError::CrossSite);
    }
    let writes = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH | Method::DELETE);
    if writes && !is_json_or_empty(headers) {
        return Err(AppError::UnsupportedMediaType);
    }
    Ok(())
}

fn is_json_or_empty(headers: &HeaderMap) -> bool {
    match headers.get(CONTENT_TYPE).map(HeaderValue::to_str) {
        Some(Ok(kind)) => {
            let kind = kind.split(';').next().unwrap_or_default();
            kind.trim().eq_ignore_ascii_case("application/json")
        }
        Some(Err(_)) => false,
        None => {
            let length = headers.get(CONTENT_LENGTH).map(HeaderValue::as_bytes);
            !headers.contains_key(TRANSFER_ENCODING) && length.is_none_or(|length| length == b"0")
        }
    }
}

/// Reads the whole body, so that no request handler waits for a slow client.
async fn read_body(request: Request, limit: Duration) -> Result<Request, AppError> {
    if request.body().is_end_stream() {
        return Ok(request);
    }
    let declared = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > BODY_LIMIT) {
        return Err(AppError::TooLarge);
    }
    let (parts, body) = request.into_parts();
    let bytes = tokio::time::timeout(limit, collect(body)).await.map_err(|_| AppError::RequestTimeout)??;
    Ok(Request::from_parts(parts, Body::from(bytes)))
}

/// Copies a body into one buffer as it arrives. Storing the chunks would be wasteful: a chunk of one byte can hold on
/// to the whole buffer that it came in.
async fn collect(mut body: Body) -> Result<Vec<u8>, AppError> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| AppError::BadRequest)?.into_data() else { continue };
        if bytes.len() + data.len() > BODY_LIMIT {
            return Err(AppError::TooLarge);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}
