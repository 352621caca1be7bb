//! The files that the brand changes: the manifest and the logo.

use axum::{
    extract::State,
    http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;

use crate::{
    error::AppError,
    http::{
        brand::Brand,
        response::ErrorFormat,
        state::{AppState, Route},
    },
};

/// Caching for a path that changes with the content (RFC 8246).
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// Caching for a path that stays the same when the content changes: an hour, then revalidate.
const ONE_HOUR: &str = "public, max-age=3600";
/// The policy for an SVG that is opened directly: inline styles are allowed, nothing else.
const LOGO_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox";

/// The manifest by which the page can be installed as an app (W3C Web Application Manifest).
#[derive(Debug, Serialize)]
struct Manifest<'a> {
    name: &'a str,
    short_name: &'a str,
    start_url: &'static str,
    scope: &'static str,
    display: &'static str,
    background_color: &'static str,
    theme_color: String,
    icons: Vec<Icon>,
}

#[derive(Debug, Serialize)]
struct Icon {
    src: String,
    sizes: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
}

/// The routes that depend on the branding.
pub fn routes() -> impl IntoIterator<Item = Route> {
    [("/manifest.webmanifest".to_owned(), get(manifest)), ("/brand/{file}".to_owned(), get(file))]
}

async fn manifest(State(state): State<AppState>) -> Response {
    let body = serde_json::to_string(&manifest_of(&state.brand)).unwrap_or_default();
    ([(CONTENT_TYPE, "application/manifest+json; charset=utf-8"), (CACHE_CONTROL, ONE_HOUR)], body).into_response()
}

async fn file(State(state): State<AppState>, uri: axum::http::Uri) -> Response {
    match &state.brand.icon() {
        Some(logo) if logo.path() == uri.path() => {
            let headers = [
                (CONTENT_TYPE, logo.content_type()),
                (CACHE_CONTROL, IMMUTABLE),
                (CONTENT_SECURITY_POLICY, LOGO_POLICY),
            ];
            (headers, logo.bytes()).into_response()
        }
        _ => ErrorFormat::Page.error_response(&AppError::NotFound),
    }
}

fn manifest_of(brand: &Brand) -> Manifest<'_> {
    let icon = |src: &str, sizes, kind| Icon { src: src.to_owned(), sizes, kind };
    let icons = match &brand.icon() {
        Some(logo) => vec![icon(&logo.path(), "any", logo.content_type())],
        None => vec![icon("/favicon.svg", "any", "image/svg+xml"), icon("/icon.png", "512x512", "image/png")],
    };
    Manifest {
        name: &brand.service_name,
        short_name: &brand.service_name,
        start_url: "/login",
        scope: "/",
        display: "standalone",
        background_color: "#f6f6f9",
        theme_color: brand.theme(),
        icons,
    }
}
