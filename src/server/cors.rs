//! CORS (Fetch standard, section 3.3): lets browser apps of configured origins call the JSON API.
//!
//! There are no cookies, so credentials are never allowed. The page's server functions are never open to other origins.

use axum::{
    extract::Request,
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{
            ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
            ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
        },
    },
    response::Response,
};

use crate::http::{
    response::{CLEAR_SITE_DATA, ErrorFormat},
    trust::Trust,
};

/// The origin of a request that may read the response.
#[derive(Clone, Debug)]
pub struct Grant(HeaderValue);

impl Grant {
    /// Returns a grant if a request to the API comes from exactly one origin, and that is in `server.allowed_origins`.
    pub fn of(request: &Request, format: ErrorFormat, trust: &Trust) -> Option<Self> {
        if matches!(format, ErrorFormat::Function | ErrorFormat::Page) {
            return None;
        }
        let mut origins = request.headers().get_all(ORIGIN).iter();
        let (origin, None) = (origins.next()?, origins.next()) else { return None };
        let listed = trust.allowed_origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes());
        listed.then(|| Self(origin.clone()))
    }

    /// The response to a preflight request, if this is one.
    pub fn preflight(request: &Request) -> Option<Response> {
        let is_preflight =
            *request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        is_preflight.then(|| {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::NO_CONTENT;
            let headers = response.headers_mut();
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE"));
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Authorization, Content-Type"));
            headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
            response
        })
    }

    /// Lets the app read the response. `Clear-Site-Data` is removed, because it would clear the storage of this
    /// server's page.
    pub fn add_to(self, headers: &mut HeaderMap) {
        headers.remove(CLEAR_SITE_DATA);
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, self.0);
        let readable = HeaderValue::from_static("Retry-After, WWW-Authenticate, X-Request-Id");
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, readable);
    }
}
