//! The headers of every response, including errors and files.

use axum::http::{
    HeaderMap, HeaderValue,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, VARY,
        X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
};

use crate::http::response::ErrorFormat;

/// The policy of everything except pages: nothing may be loaded, framed or run. A page gets its policy when rendered.
const CLOSED_POLICY: &str = "default-src 'none'; frame-ancestors 'none'; sandbox";
const PERMISSIONS: &str = "camera=(), microphone=(), geolocation=(), publickey-credentials-get=(self), \
                           publickey-credentials-create=(self)";

/// HTTPS only, for a year (RFC 6797). Without `includeSubDomains`: other hosts of the domain may be separate sites.
const HTTPS_ONLY: &str = "max-age=31536000";

/// The headers of every response, created once and copied. A response may set its own values.
#[derive(Debug)]
pub struct CommonHeaders(HeaderMap);

impl CommonHeaders {
    /// `https` is whether users reach the server by HTTPS.
    pub fn new(https: bool) -> Self {
        // Capacity for a response's own headers, so that the copies needn't grow.
        let mut headers = HeaderMap::with_capacity(12);
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(CLOSED_POLICY));
        if https {
            headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(HTTPS_ONLY));
        }
        Self(headers)
    }

    /// Adds the headers to a response. Headers that are already set stay.
    pub fn add_to(&self, format: ErrorFormat, headers: &mut HeaderMap) {
        let own = std::mem::replace(headers, self.0.clone());
        let html = own.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
        if html {
            headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
            headers.insert("permissions-policy", HeaderValue::from_static(PERMISSIONS));
        }
        headers.extend(own);
        if format != ErrorFormat::Page {
            headers.insert(VARY, HeaderValue::from_static("Authorization, Origin, Sec-Fetch-Site"));
        }
    }
}
