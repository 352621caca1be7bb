//! What mails say. Each is written once, and told as plain text and as HTML.

use std::fmt::Write as _;

use html_escape::{encode_double_quoted_attribute, encode_text};

use crate::domain::token::Token;

/// In whose name mails are written, and where their links lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letterhead {
    /// The service's name.
    pub service: String,
    /// The configured address of the page, without a slash at its end. Never one that a request names (CVE-2025-64101).
    pub url: String,
}

/// A mail, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The addressee: exactly one.
    pub to: String,
    /// A line.
    pub subject: String,
    /// What it says.
    parts: Vec<Part>,
}

/// A piece of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Link { label: &'static str, url: String },
}

impl Letter {
    fn new(to: &str, subject: String) -> Self {
        Self { to: to.to_owned(), subject, parts: Vec::new() }
    }

    fn text(mut self, text: impl Into<String>) -> Self {
        self.parts.push(Part::Text(text.into()));
        self
    }

    fn link(mut self, label: &'static str, url: String) -> Self {
        self.parts.push(Part::Link { label, url });
        self
    }

    /// As plain text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Link { label, url } => format!("{label}:\n{url}"),
        });
        parts.collect::<Vec<_>>().join("\n\n") + "\n"
    }

    /// As HTML, which loads nothing.
    #[must_use]
    pub fn to_html(&self) -> String {
        let mut html = format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{}</title></head>\n\
             <body style=\"font: 16px/1.5 system-ui, sans-serif; max-width: 36em; margin: 2em auto; padding: 0 1em\">\n",
            encode_text(&self.subject)
        );
        for part in &self.parts {
            // Writing to a string can't fail.
            let _ = match part {
                Part::Text(text) => writeln!(html, "<p>{}</p>", encode_text(text)),
                Part::Link { label, url } => writeln!(
                    html,
                    "<p><a href=\"{}\">{label}</a></p>\n<p style=\"font-size: 14px; overflow-wrap: anywhere\">{}</p>",
                    encode_double_quoted_attribute(url),
                    encode_text(url)
                ),
            };
        }
        html.push_str("</body></html>\n");
        html
    }
}

impl Letterhead {
    /// Asks the owner of an account to confirm its email.
    pub(crate) fn verify(&self, to: &str, username: &str, link: &Token) -> Letter {
        let Self { service, .. } = self;
        Letter::new(to, format!("Confirm your email for {service}"))
            .text("Hello,")
            .text(format!("An account called {username} was made at {service} with this email."))
            .text("If that was you, please confirm that the email is yours. You will be asked for your password.")
            .link("Confirm your email", self.url_of("verify", link))
            .text("The link works once, for 24 hours.")
            .text(
                "If it wasn't you, you need not do anything. You may also follow the link and choose a password of your \
                 own: then the account is yours, and whoever made it is locked out.",
            )
    }

    /// Tells an owner that somebody tried to register with their email.
    pub(super) fn taken(&self, to: &str, username: &str) -> Letter {
        let Self { service, url } = self;
        Letter::new(to, format!("You have an account at {service} already"))
            .text("Hello,")
            .text(format!(
                "Somebody, probably you, wanted to use this email for an account at {service}. There is one already; its \
                 username is {username}."
            ))
            .text("You can log in with it, or choose a new password if you have forgotten yours.")
            .link("Log in", format!("{url}/login"))
            .link("Choose a new password", format!("{url}/forgot"))
            .text("If it wasn't you, you need not do anything: nothing has changed.")
    }

    /// Lets the owner choose a new password. Where the email is not `proven`, that proves it.
    pub(crate) fn reset(&self, to: &str, username: &str, link: &Token, proven: bool) -> Letter {
        let Self { service, .. } = self;
        let (lasts, if_not_you) = if proven {
            (
                "The link works once, for 30 minutes.",
                "If it wasn't you, you need not do anything: your password stays as it is.",
            )
        } else {
            (
                "The link works once, for 24 hours, and confirms that the email is yours.",
                "Nobody has confirmed it until now. If it wasn't you who made that account, you need not do anything; or \
                 follow the link, and it is yours, and whoever made it is locked out.",
            )
        };
        Letter::new(to, format!("Choose a new password for {service}"))
            .text("Hello,")
            .text(format!("Somebody, probably you, has forgotten the password of the account {username} at {service}."))
            .link("Choose a new password", self.url_of("reset", link))
            .text(format!("{lasts} All sessions and access tokens of the account end when you use it."))
            .text(if_not_you)
    }

    /// Tells the owner that the password is another.
    pub(super) fn password_changed(&self, to: &str, username: &str, when: &str) -> Letter {
        let Self { service, url } = self;
        Letter::new(to, format!("Your password at {service} was changed"))
            .text("Hello,")
            .text(format!("The password of your account {username} at {service} was changed on {when}."))
            .text("If that was you, all is well.")
            .text("If it wasn't you, choose a new password at once: that ends every session, and revokes every access token.")
            .link("Choose a new password", format!("{url}/forgot"))
    }

    /// Tells the owner that there is another token which opens the account.
    pub(super) fn token_made(&self, to: &str, username: &str, when: &str) -> Letter {
        let Self { service, url } = self;
        Letter::new(to, format!("A new access token at {service}"))
            .text("Hello,")
            .text(format!("A personal access token was made for your account {username} at {service} on {when}."))
            .text("If that was you, all is well.")
            .text("If it wasn't you, choose a new password at once: that ends every session, and revokes every access token.")
            .link("Choose a new password", format!("{url}/forgot"))
    }

    /// Asks at a new email whether it is the owner's.
    pub(super) fn change_email(&self, to: &str, username: &str, link: &Token) -> Letter {
        let Self { service, .. } = self;
        Letter::new(to, format!("Confirm your new email for {service}"))
            .text("Hello,")
            .text(format!("The account {username} at {service} is to have this email from now on."))
            .text("If you want that, please confirm it. You will be asked for the password of that account.")
            .link("Confirm your new email", self.url_of("confirm-email", link))
            .text("The link works once, for 24 hours. Until then, nothing changes.")
            .text("If you don't know of this, you need not do anything.")
    }

    /// Tells the email until now that it is another, and lets its owner take that back.
    pub(super) fn email_changed(&self, to: &str, username: &str, new: &str, link: &Token) -> Letter {
        let Self { service, .. } = self;
        Letter::new(to, format!("Your email at {service} was changed"))
            .text("Hello,")
            .text(format!("Your account {username} at {service} has another email now: {new}."))
            .text("If that was you, all is well, and this is the last mail that you get here.")
            .text("If it wasn't you, take it back: your account has this email again then, and every session ends.")
            .link("Take it back", self.url_of("undo-email", link))
            .text("The link works once, for 72 hours. You choose a new password with it.")
    }

    /// Tells the email until now that the one before has been brought back.
    pub(super) fn email_undone(&self, to: &str, username: &str) -> Letter {
        let Self { service, .. } = self;
        Letter::new(to, format!("Your email at {service} was changed back"))
            .text("Hello,")
            .text(format!("The account {username} at {service} has the email again that it had before this one."))
            .text("Whoever reads that mailbox did it. If it should not be theirs, tell the operator of the service.")
    }

    /// A link's token travels behind the `#`, which browsers send to no server and no log keeps.
    fn url_of(&self, view: &str, link: &Token) -> String {
        format!("{}/{view}#{}", self.url, link.expose())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::token::Kind;

    fn head() -> Letterhead {
        Letterhead { service: "Ann & Sons".into(), url: "https://accounts.example.org".into() }
    }

    #[test]
    fn every_link_leads_to_the_configured_address_and_hides_its_token_behind_a_hash_r53() {
        let link = Token::generate(Kind::Link, || 7);
        let (to, name) = ("ann@example.org", "ann");
        let letters = [
            head().verify(to, name, &link),
            head().taken(to, name),
            head().reset(to, name, &link, true),
            head().password_changed(to, name, "22 November 2026, 12:00 UTC"),
            head().token_made(to, name, "22 November 2026, 12:00 UTC"),
            head().change_email(to, name, &link),
            head().email_changed(to, name, "new@example.org", &link),
        ];
        for letter in letters {
            assert_eq!(letter.to, to);
            let urls: Vec<&str> = letter
                .parts
                .iter()
                .filter_map(|part| match part {
                    Part::Link { url, .. } => Some(url.as_str()),
                    Part::Text(_) => None,
                })
                .collect();
            assert!(!urls.is_empty());
            for url in urls {
                assert!(url.starts_with("https://accounts.example.org/"), "{url}");
                assert!(!url.contains("vsl_") || url.contains("#vsl_"), "{url}");
                assert!(letter.to_text().contains(url) && letter.to_html().contains(url), "{url}");
            }
        }
    }

    #[test]
    fn html_takes_every_word_as_text() {
        let letter = head().password_changed("ann@example.org", "<b>ann</b>", "now");
        let html = letter.to_html();
        assert!(html.contains("&lt;b&gt;ann&lt;/b&gt; at Ann &amp; Sons") && !html.contains("<b>"), "{html}");
        assert!(letter.to_text().contains("<b>ann</b> at Ann & Sons"));
    }
}
