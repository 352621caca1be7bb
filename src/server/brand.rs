//! What the page and the mails show of the service: its name, its colour, its logo and the way to the app.

mod logo;

use axum::{
    extract::State,
    http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use url::Url;

pub use self::logo::Logo;
use super::{response::ErrorFormat, routes::Route, state::AppState};
use crate::{
    domain::colour::{Accent, Colour},
    error::AppError,
};

/// The longest name of a service, in characters: it stands in titles and subjects.
const NAME_MOST: usize = 64;
/// The page's own colour.
const VIOLET: &str = "#4b3fd0";
/// For a path that changes with the content (RFC 8246).
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// For a path that stays when the content changes: an hour, then ask.
const FOR_A_WHILE: &str = "public, max-age=3600";
/// An SVG that is opened by itself may style itself, and do nothing else.
const LOGO_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox";

/// The section `[brand]`. What each key means stands in `Leptos.toml`.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "Leptos.toml documents each key")]
pub struct Brand {
    #[serde(deserialize_with = "service_name")]
    pub service_name: String,
    #[serde(deserialize_with = "app_url")]
    pub app_url: Option<Url>,
    #[serde(deserialize_with = "accent")]
    pub accent: Option<Colour>,
    #[serde(deserialize_with = "logo::deserialize")]
    pub logo: Option<Logo>,
}

impl Brand {
    /// The style's words for the accent, in both themes; empty for the page's own.
    #[must_use]
    pub fn style(&self) -> String {
        let Some(wish) = self.accent else { return String::new() };
        let (light, dark) = (Accent::light(wish), Accent::dark(wish));
        let word = |name: &str, of: fn(&Accent) -> Colour| format!("{name}:light-dark({},{});", of(&light), of(&dark));
        [
            ":root{",
            &word("--accent", |accent| accent.plain),
            &word("--accent-strong", |accent| accent.strong),
            &word("--accent-soft", |accent| accent.soft),
            &word("--on-accent", |accent| accent.on),
            "}",
        ]
        .concat()
    }

    /// What stands for the page in the browser's tab: the logo, or the page's own mark in the configured colour.
    #[must_use]
    pub fn icon(&self) -> Option<Logo> {
        self.logo.clone().or_else(|| {
            let [ground, dark_ground] = [Accent::light, Accent::dark].map(|theme| self.accent.map(theme));
            Some(Logo::mark(&ground?, &dark_ground?))
        })
    }

    /// The address of the logo; empty without one.
    #[must_use]
    pub fn logo_path(&self) -> String {
        self.logo.as_ref().map(Logo::path).unwrap_or_default()
    }

    /// What the address bar of a phone is painted in.
    #[must_use]
    pub fn theme(&self) -> String {
        self.accent.map_or_else(|| VIOLET.to_owned(), |wish| Accent::light(wish).plain.to_string())
    }

    fn manifest(&self) -> Manifest<'_> {
        let icon = |src: &str, sizes, kind| Icon { src: src.to_owned(), sizes, kind };
        let icons = match &self.icon() {
            Some(logo) => vec![icon(&logo.path(), "any", logo.content_type())],
            None => vec![icon("/favicon.svg", "any", "image/svg+xml"), icon("/icon.png", "512x512", "image/png")],
        };
        Manifest {
            name: &self.service_name,
            short_name: &self.service_name,
            start_url: "/login",
            scope: "/",
            display: "standalone",
            background_color: "#f6f6f9",
            theme_color: self.theme(),
            icons,
        }
    }
}

/// How the page is installed as an app (W3C Web Application Manifest).
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

/// The routes of what the brand changes.
pub fn routes() -> impl IntoIterator<Item = Route> {
    [("/manifest.webmanifest".to_owned(), get(manifest)), ("/brand/{file}".to_owned(), get(file))]
}

async fn manifest(State(state): State<AppState>) -> Response {
    let body = serde_json::to_string(&state.brand.manifest()).unwrap_or_default();
    ([(CONTENT_TYPE, "application/manifest+json; charset=utf-8"), (CACHE_CONTROL, FOR_A_WHILE)], body).into_response()
}

async fn file(State(state): State<AppState>, uri: axum::http::Uri) -> Response {
    match &state.brand.icon() {
        Some(logo) if logo.path() == uri.path() => {
            let headers = [
                (CONTENT_TYPE, logo.content_type()),
                (CACHE_CONTROL, FOR_EVER),
                (CONTENT_SECURITY_POLICY, LOGO_POLICY),
            ];
            (headers, logo.bytes()).into_response()
        }
        _ => ErrorFormat::Page.error_response(&AppError::NotFound),
    }
}

fn service_name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let name = String::deserialize(from)?;
    let name = name.trim();
    if name.is_empty() || name.chars().count() > NAME_MOST || name.chars().any(char::is_control) {
        return Err(D::Error::custom(format!("write a name of 1 to {NAME_MOST} characters, in one line")));
    }
    Ok(name.to_owned())
}

fn app_url<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Url>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() {
        return Ok(None);
    }
    // The text may hold a password, so no error repeats it.
    let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.ok_or_else(|| D::Error::custom("write a web address, such as https://app.example.org/"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(D::Error::custom("write it without a user or a password: the page shows it to everybody"));
    }
    Ok(Some(url))
}

fn accent<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Colour>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() {
        return Ok(None);
    }
    let colour = Colour::parse(&text);
    colour
        .map(Some)
        .ok_or_else(|| D::Error::custom("write a colour as # and six hexadecimal digits, such as \"#0b5fff\""))
}
