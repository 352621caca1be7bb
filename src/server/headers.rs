//! The headers that every answer carries, errors and files included.

use axum::http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
        X_FRAME_OPTIONS,
    },
};

use super::answer::Surface;

/// For everything but a page, whose policy is set where it is rendered: nothing may be loaded, framed or run.
const CLOSED_POLICY: &str = "default-src 'none'; frame-ancestors 'none'; sandbox";
const PERMISSIONS: &str = "camera=(), microphone=(), geolocation=(), publickey-credentials-get=(self), \
                           publickey-credentials-create=(self)";

/// Adds them. What an answer has set already stays.
pub fn add_headers(surface: Surface, headers: &mut HeaderMap) {
    // Room for all of them at once, for they come with every answer.
    headers.reserve(12);
    default(headers, X_CONTENT_TYPE_OPTIONS, "nosniff");
    default(headers, REFERRER_POLICY, "no-referrer");
    default(headers, X_FRAME_OPTIONS, "DENY");
    default(headers, HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    default(headers, CACHE_CONTROL, "no-store");
    default(headers, CONTENT_SECURITY_POLICY, CLOSED_POLICY);
    let html = headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if html {
        default(headers, HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
        default(headers, HeaderName::from_static("permissions-policy"), PERMISSIONS);
    }
    if surface != Surface::Page {
        headers.insert(VARY, HeaderValue::from_static("Authorization, Origin, Sec-Fetch-Site"));
    }
}

fn default(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.entry(name).or_insert(HeaderValue::from_static(value));
}
