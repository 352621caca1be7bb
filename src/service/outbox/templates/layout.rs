//! Renders a mail as plain text and as HTML. Both have the same content.
//!
//! Neither loads anything from a server: the logo is part of the mail.

use std::fmt::Write as _;

use html_escape::{encode_double_quoted_attribute, encode_text};

use super::{MailTemplates, Png};
use crate::domain::colour::{Accent, Colour};

/// The colours of buttons, links and button texts, on light and on dark backgrounds.
struct Colours {
    light: String,
    on_light: String,
    dark: String,
    on_dark: String,
}

impl Colours {
    /// Derives them from the configured colour, or uses the page's default colours from `style/tokens.css`.
    fn of(accent: Option<Colour>) -> Self {
        let all = match accent.map(|colour| (Accent::light(colour), Accent::dark(colour))) {
            Some((light, dark)) => [light.plain, light.on, dark.plain, dark.on].map(|colour| colour.to_string()),
            None => ["#4b3fd0", "#ffffff", "#a59dff", "#15132b"].map(str::to_owned),
        };
        let [light, on_light, dark, on_dark] = all;
        Self { light, on_light, dark, on_dark }
    }
}

/// The Content-ID of the logo, by which the HTML refers to it (RFC 2392).
pub const LOGO_ID: &str = "logo";

/// A mail, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailMessage {
    /// The only recipient.
    pub to: String,
    /// A single line.
    pub subject: String,
    /// Defines the heading, the footer and the colours.
    head: MailTemplates,
    parts: Vec<Part>,
}

/// A part of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// The main action.
    Button(Link),
    /// An alternative action.
    Link(Link),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Link {
    label: &'static str,
    url: String,
}

impl MailMessage {
    pub(super) fn new(head: &MailTemplates, to: &str, subject: String) -> Self {
        Self { to: to.to_owned(), subject, head: head.clone(), parts: Vec::new() }
    }

    pub(super) fn text(mut self, text: impl Into<String>) -> Self {
        self.parts.push(Part::Text(text.into()));
        self
    }

    pub(super) fn button(mut self, label: &'static str, url: String) -> Self {
        self.parts.push(Part::Button(Link { label, url }));
        self
    }

    pub(super) fn link(mut self, label: &'static str, url: String) -> Self {
        self.parts.push(Part::Link(Link { label, url }));
        self
    }

    /// Returns the picture that the HTML shows as [`LOGO_ID`].
    #[must_use]
    pub fn logo(&self) -> Option<&Png> {
        self.head.logo.as_ref()
    }

    /// Returns the target of every link.
    #[cfg(test)]
    pub(super) fn urls(&self) -> Vec<&str> {
        let links = self.parts.iter().filter_map(|part| match part {
            Part::Button(link) | Part::Link(link) => Some(link.url.as_str()),
            Part::Text(_) => None,
        });
        links.chain([self.head.url.as_str()]).collect()
    }

    fn footer(&self) -> String {
        format!("You received this email because your address was entered at {}.", self.head.service_name)
    }

    /// Renders plain text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\n\n", self.head.service_name);
        for part in &self.parts {
            // Writing to a string can't fail.
            let _ = match part {
                Part::Text(words) => writeln!(text, "{words}\n"),
                Part::Button(Link { label, url }) | Part::Link(Link { label, url }) => {
                    writeln!(text, "{label}:\n{url}\n")
                }
            };
        }
        // Two hyphens and a space separate the signature from the message (RFC 3676, section 4.3).
        let _ = writeln!(text, "-- \n{}\n{}", self.footer(), self.head.url);
        text
    }

    /// Renders HTML with tables and inline styles, because mail programs support little else.
    /// Programs that support dark mode get dark colours.
    #[must_use]
    pub fn to_html(&self) -> String {
        let colours = Colours::of(self.head.accent);
        let mut html = self.opening(&colours);
        for part in &self.parts {
            let _ = match part {
                Part::Text(words) => writeln!(html, "<p style=\"margin:0 0 16px\">{}</p>", encode_text(words)),
                Part::Button(link) => writeln!(html, "{}", link.to_button(&colours)),
                Part::Link(Link { label, url }) => writeln!(
                    html,
                    "<p style=\"margin:0 0 16px\"><a class=\"link\" style=\"color:{}\" href=\"{}\">{label}</a></p>",
                    colours.light,
                    encode_double_quoted_attribute(url),
                ),
            };
        }
        let (footer, url) = (self.footer(), encode_text(&self.head.url));
        let _ = write!(
            html,
            "</td></tr></table>\n<p class=\"soft\" style=\"max-width:496px;margin:20px auto 0;padding:0 16px;font-size:13px;\
             color:#5a5c6e\">{}<br><span style=\"overflow-wrap:anywhere\">{url}</span></p>\n</td></tr></table>\n</body></html>\n",
            encode_text(&footer),
        );
        html
    }

    fn opening(&self, Colours { dark, on_dark, .. }: &Colours) -> String {
        let (subject, service) = (encode_text(&self.subject), encode_text(&self.head.service_name));
        let logo = self.logo().map_or_else(String::new, |_| {
            format!("<img src=\"cid:{LOGO_ID}\" alt=\"\" height=\"32\" style=\"height:32px;vertical-align:middle;margin-right:12px\">")
        });
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <meta name=\"color-scheme\" content=\"light dark\"><meta name=\"supported-color-schemes\" content=\"light dark\">\n\
             <title>{subject}</title>\n<style>\n:root {{ color-scheme: light dark; supported-color-schemes: light dark; }}\n\
             @media (prefers-color-scheme: dark) {{\n\
             .ground {{ background: #111218 !important; color: #ededf4 !important; }}\n\
             .card {{ background: #1a1b23 !important; border-color: #2c2e3a !important; }}\n\
             .soft {{ color: #a6a8b9 !important; }}\n.link {{ color: {dark} !important; }}\n\
             .button {{ background: {dark} !important; color: {on_dark} !important; }}\n}}\n</style></head>\n\
             <body class=\"ground\" style=\"margin:0;background:#f6f6f9;color:#1b1c26\">\n\
             <table role=\"presentation\" class=\"ground\" width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\" \
             style=\"background:#f6f6f9;color:#1b1c26;font:16px/1.55 system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,\
             sans-serif\"><tr><td align=\"center\" style=\"padding:32px 16px\">\n\
             <table role=\"presentation\" class=\"card\" width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\" \
             style=\"max-width:560px;background:#ffffff;border:1px solid #e4e4ec;border-radius:14px;text-align:left\">\
             <tr><td style=\"padding:28px 32px 16px\">\n\
             <p style=\"margin:0 0 24px;font-size:18px;font-weight:650\">{logo}{service}</p>\n"
        )
    }
}

impl Link {
    /// Renders a button. The table around it serves mail programs without padding on links. The address as text serves
    /// those that show no links.
    fn to_button(&self, Colours { light, on_light, .. }: &Colours) -> String {
        let (label, href, url) = (self.label, encode_double_quoted_attribute(&self.url), encode_text(&self.url));
        format!(
            "<table role=\"presentation\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\" style=\"margin:8px 0 20px\"><tr>\
             <td class=\"button\" bgcolor=\"{light}\" style=\"border-radius:8px;background:{light}\">\
             <a class=\"button\" href=\"{href}\" style=\"display:inline-block;padding:12px 24px;border-radius:8px;\
             background:{light};color:{on_light};font-weight:600;text-decoration:none\">{label}</a></td></tr></table>\n\
             <p class=\"soft\" style=\"margin:0 0 20px;font-size:13px;color:#5a5c6e;overflow-wrap:anywhere;word-break:break-word\">\
             Or copy this address into your browser:<br>{url}</p>"
        )
    }
}
