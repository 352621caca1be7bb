//! Checks a request's host, and whether a page of another site sent the request.

use std::net::IpAddr;

use axum::{
    extract::Request,
    http::{
        HeaderMap, HeaderValue, Method, Version,
        header::{HOST, ORIGIN},
        uri::Authority,
    },
};

use crate::{
    error::AppError,
    http::trust::{Trust, bare_name},
};

/// The host of a request, if there is one. HTTP/1.0 requires none, and in HTTP/1.1 it may be empty.
///
/// # Errors
/// [`AppError::BadHost`] unless an HTTP/1.1 request has exactly one valid `Host` (RFC 9112, section 3.2).
pub fn host_of(request: &Request) -> Result<Option<Authority>, AppError> {
    let mut named = request.headers().get_all(HOST).iter();
    let (first, second) = (named.next(), named.next());
    if second.is_some() || (first.is_none() && request.version() > Version::HTTP_10) {
        return Err(AppError::BadHost);
    }
    let header = match first.filter(|value| !value.is_empty()) {
        Some(value) => Some(parse_host(value).ok_or(AppError::BadHost)?),
        None => None,
    };
    Ok(request.uri().authority().cloned().or(header))
}

fn parse_host(value: &HeaderValue) -> Option<Authority> {
    let host = value.to_str().ok()?.parse::<Authority>().ok()?;
    // Only a host and a numeric port are allowed.
    let port = host.as_str().strip_prefix(host.host())?;
    let valid = matches!(port, "" | ":") || host.port_u16().is_some();
    valid.then_some(host)
}

/// Whether a host is one of the server's own. IP addresses always pass, because DNS rebinding requires a name.
pub fn is_own_host(host: &str, trust: &Trust) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_ok() || bare_name(host).eq_ignore_ascii_case("localhost") || trust.names(host)
}

/// Whether a page of another site sent a request, according to the browser's headers.
///
/// Pages can't set `Sec-Fetch-Site`, so `same-origin` is decisive, even if a proxy changed the host or removed its
/// port. Browsers send this header only over HTTPS and to the local machine. Without it, the `Origin` must be the
/// server's own.
pub fn is_cross_site(headers: &HeaderMap, host: Option<&Authority>, trust: &Trust) -> bool {
    match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        Some(b"same-origin") => false,
        Some(b"none") | None => headers.get(ORIGIN).is_some_and(|origin| !is_own_origin(origin, host, trust)),
        Some(_) => true,
    }
}

/// Whether a browser opens the URL as a document, for example from a link. No page can read the response.
pub fn is_navigation(request: &Request) -> bool {
    let says = |name: &str, value: &[u8]| request.headers().get(name).is_some_and(|said| said.as_bytes() == value);
    matches!(*request.method(), Method::GET | Method::HEAD)
        && says("sec-fetch-mode", b"navigate")
        && says("sec-fetch-dest", b"document")
}

/// Whether an `Origin` is the server's own.
fn is_own_origin(origin: &HeaderValue, host: Option<&Authority>, trust: &Trust) -> bool {
    let Some(text) = origin.to_str().ok() else { return false };
    if trust.public_origin.as_ref().is_some_and(|public| public.eq_ignore_ascii_case(text)) {
        return true;
    }
    let Some((scheme, authority)) = text.split_once("://") else { return false };
    let (Some(standard), Ok(origin)) = (standard_port(scheme), authority.parse::<Authority>()) else { return false };
    let port = origin.port_u16().unwrap_or(standard);
    match host {
        Some(host) if bare_name(host.host()).eq_ignore_ascii_case(bare_name(origin.host())) => match host.port_u16() {
            Some(named) => named == port,
            // A proxy may have removed the port. With an IP address or localhost, each port is a separate site.
            None => port == standard || trust.names(origin.host()),
        },
        // A proxy may have replaced the host.
        _ => trust.names(origin.host()),
    }
}

fn standard_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust() -> Trust {
        Trust {
            hosts: vec!["app.example.org".to_owned()],
            public_origin: Some("http://192.0.2.1:8080".to_owned()),
            ..Trust::default()
        }
    }

    /// Whether a request is treated as coming from another site.
    fn elsewhere(host: &str, site: Option<&'static str>, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        if let Some(site) = site {
            headers.insert("sec-fetch-site", HeaderValue::from_static(site));
        }
        if let Some(origin) = origin {
            headers.insert(ORIGIN, HeaderValue::from_str(origin).expect("a header"));
        }
        is_cross_site(&headers, host.parse::<Authority>().ok().as_ref(), &trust())
    }

    #[test]
    fn a_same_origin_request_is_accepted_on_any_port_and_proxy_r72() {
        for (host, origin) in [
            ("localhost", "http://localhost:8080"),
            ("127.0.0.1", "http://127.0.0.1:8080"),
            ("[::1]", "http://[::1]:8080"),
            ("app.example.org", "https://app.example.org:8443"),
            ("127.0.0.1:8000", "https://elsewhere.example"),
        ] {
            assert!(!elsewhere(host, Some("same-origin"), Some(origin)), "{host} {origin}");
            assert!(elsewhere(host, Some("same-site"), Some(origin)), "{host} {origin}");
            assert!(elsewhere(host, Some("cross-site"), Some(origin)), "{host} {origin}");
        }
    }

    #[test]
    fn without_fetch_metadata_the_origin_must_be_our_own_r72_r74() {
        let own = [
            ("localhost:8000", "http://localhost:8000"),
            ("LOCALHOST:8000", "http://localhost:8000"),
            ("[::1]:8000", "http://[::1]:8000"),
            ("localhost", "http://localhost"),
            ("localhost", "https://localhost:443"),
            ("app.example.org:443", "https://app.example.org"),
            ("app.example.org", "https://app.example.org:8443"),
            ("app.example.org.", "https://app.example.org"),
            ("127.0.0.1:8000", "https://app.example.org"),
            ("192.0.2.1", "http://192.0.2.1:8080"),
        ];
        for (host, origin) in own {
            assert!(!elsewhere(host, None, Some(origin)), "{host} {origin}");
            assert!(!elsewhere(host, Some("none"), Some(origin)), "{host} {origin}");
        }
        let foreign = [
            ("localhost", "http://localhost:8080"),
            ("127.0.0.1", "http://127.0.0.1:8080"),
            ("[::1]", "http://[::1]:8080"),
            ("192.0.2.1", "http://192.0.2.1:8081"),
            ("192.0.2.1", "https://192.0.2.1:8080"),
            ("localhost:8000", "http://localhost:8001"),
            ("localhost:80", "https://localhost"),
            ("app.example.org:8000", "http://app.example.org:9000"),
            ("localhost:8000", "ftp://localhost:8000"),
            ("localhost:8000", "null"),
            ("localhost:8000", "localhost:8000"),
            ("localhost:8000", "http://localhost:8000@evil.example"),
            ("localhost:8000", "http://localhost:8000/x"),
            ("localhost:8000", "https://app.example.org.evil.example"),
            ("", "http://localhost:8000"),
        ];
        for (host, origin) in foreign {
            assert!(elsewhere(host, None, Some(origin)), "{host} {origin}");
        }
        assert!(!elsewhere("localhost", None, None), "a request without a browser's headers");
    }
}
