//! What every request must pass before any handler sees it, whatever its address is: the host it names, where it
//! comes from, what its body is, how large and how slow.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    body::{Body, HttpBody, to_bytes},
    extract::Request,
    http::{
        HeaderMap, HeaderValue, Method,
        header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HOST, ORIGIN, TRANSFER_ENCODING},
        uri::Authority,
    },
    response::Response,
};

use super::{answer::Surface, config::ServerConfig, routes::Routes, state::Trust};
use crate::error::AppError;

/// The largest body that any address takes.
pub const BODY_LIMIT: usize = 16 * 1024;

/// The limits of one request.
#[derive(Debug)]
pub struct Limits {
    trust: Arc<Trust>,
    body_timeout: Duration,
    answer_timeout: Duration,
}

impl Limits {
    pub fn new(trust: Arc<Trust>, config: &ServerConfig) -> Self {
        Self { trust, body_timeout: config.body_timeout, answer_timeout: config.answer_timeout }
    }

    /// Lets a request pass to the routes, or refuses it.
    pub async fn guard(&self, surface: Surface, request: Request, routes: &Routes) -> Response {
        let admitted = match check(&request, surface, &self.trust) {
            Ok(()) => read_body(request, self.body_timeout).await,
            Err(refused) => Err(refused),
        };
        match admitted {
            Ok(mut request) => {
                if surface == Surface::Function {
                    // A plain form post would be answered by a redirect to wherever the Referer says.
                    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
                }
                tokio::time::timeout(self.answer_timeout, routes.call(request)).await.unwrap_or_else(|_| {
                    tracing::warn!("an answer took too long");
                    surface.refuse(&AppError::Unavailable { retry_after: 5 })
                })
            }
            Err(refused) => surface.refuse(&refused),
        }
    }
}

fn check(request: &Request, surface: Surface, trust: &Trust) -> Result<(), AppError> {
    let host = host_of(request).ok_or(AppError::UnknownHost)?;
    if !is_ours(host.host(), trust) {
        return Err(AppError::UnknownHost);
    }
    if surface == Surface::Page {
        return Ok(());
    }
    let headers = request.headers();
    if comes_from_elsewhere(headers, &host, trust) {
        return Err(AppError::CrossSite);
    }
    let writes = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH | Method::DELETE);
    if writes && !is_json_or_empty(headers) {
        return Err(AppError::NotJson);
    }
    Ok(())
}

/// The one host that a request names. A request that names none, or two, is refused (RFC 9112, section 3.2).
fn host_of(request: &Request) -> Option<Authority> {
    let mut named = request.headers().get_all(HOST).iter();
    let header = named.next().and_then(|value| value.to_str().ok()?.parse::<Authority>().ok());
    if named.next().is_some() {
        return None;
    }
    request.uri().authority().cloned().or(header)
}

/// Whether a host name is one of ours. An attack by DNS rebinding needs a name, so addresses always pass.
fn is_ours(host: &str, trust: &Trust) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let host = host.trim_end_matches('.');
    bare.parse::<IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || trust.hosts.iter().any(|ours| ours.eq_ignore_ascii_case(host))
}

/// Whether a browser says that a page of another site sends this: Fetch metadata where there is any, else `Origin`.
fn comes_from_elsewhere(headers: &HeaderMap, host: &Authority, trust: &Trust) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if site.is_some_and(|site| site != b"same-origin" && site != b"none") {
        return true;
    }
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
    let Some(origin) = origin.and_then(|text| text.parse::<Authority>().ok()) else { return true };
    !origin.as_str().eq_ignore_ascii_case(host.as_str())
        && !trust.hosts.iter().any(|ours| ours.eq_ignore_ascii_case(origin.host()))
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

/// Takes the whole body in, so that no handler ever waits for a slow client.
async fn read_body(request: Request, patience: Duration) -> Result<Request, AppError> {
    if request.body().is_end_stream() {
        return Ok(request);
    }
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > BODY_LIMIT) {
        return Err(AppError::TooLarge);
    }
    let (parts, body) = request.into_parts();
    let read = tokio::time::timeout(patience, to_bytes(body, BODY_LIMIT)).await.map_err(|_| AppError::SlowRequest)?;
    let bytes = read.map_err(|cause| {
        let too_large = std::error::Error::source(&cause)
            .is_some_and(<dyn std::error::Error + 'static>::is::<http_body_util::LengthLimitError>);
        if too_large { AppError::TooLarge } else { AppError::BadRequest }
    })?;
    Ok(Request::from_parts(parts, Body::from(bytes)))
}
