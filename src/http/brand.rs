//! The service's branding on the page and in mails: its name, accent colour, logo and the link to the app.

mod logo;

use serde::{Deserialize, Deserializer, de::Error as _};
use url::Url;

pub use self::logo::Logo;
use crate::domain::colour::{Accent, Colour};

/// The maximum length of a service's name, in characters. The name appears in titles and subjects.
const MAX_NAME_CHARS: usize = 64;
/// The page's default colour.
const VIOLET: &str = "#4b3fd0";

/// The section `[brand]`. `Leptos.toml` documents each key.
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
    /// The CSS variables of the accent in both themes; empty for the page's default.
    #[must_use]
    pub fn style(&self) -> String {
        let Some(accent) = self.accent else { return String::new() };
        let (light, dark) = (Accent::light(accent), Accent::dark(accent));
        let variable =
            |name: &str, of: fn(&Accent) -> Colour| format!("{name}:light-dark({},{});", of(&light), of(&dark));
        [
            ":root{",
            &variable("--accent", |accent| accent.plain),
            &variable("--accent-strong", |accent| accent.strong),
            &variable("--accent-soft", |accent| accent.soft),
            &variable("--on-accent", |accent| accent.on),
            "}",
        ]
        .concat()
    }

    /// The page's icon in the browser's tab: the logo, or the default mark in the configured colour.
    #[must_use]
    pub fn icon(&self) -> Option<Logo> {
        self.logo.clone().or_else(|| {
            let [ground, dark_ground] = [Accent::light, Accent::dark].map(|theme| self.accent.map(theme));
            Some(Logo::mark(&ground?, &dark_ground?))
        })
    }

    /// The path of the logo; empty without one.
    #[must_use]
    pub fn logo_path(&self) -> String {
        self.logo.as_ref().map(Logo::path).unwrap_or_default()
    }

    /// The colour of a phone's address bar.
    #[must_use]
    pub fn theme(&self) -> String {
        self.accent.map_or_else(|| VIOLET.to_owned(), |accent| Accent::light(accent).plain.to_string())
    }
}

fn service_name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let name = String::deserialize(from)?;
    let name = name.trim();
    if name.is_empty() || name.chars().count() > MAX_NAME_CHARS || name.chars().any(char::is_control) {
        return Err(D::Error::custom(format!("write a name of 1 to {MAX_NAME_CHARS} characters, on one line")));
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
