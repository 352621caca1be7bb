//! The notice above a view, which shows the result of the last operation.

use leptos::prelude::*;

use crate::{
    browser::{dom, settings},
    session::{AuthState, Notice},
};

/// The notice line. It is always in the document, because screen readers only announce changes of an existing live
/// region.
#[component]
pub fn NoticeLine() -> impl IntoView {
    let auth = AuthState::current();
    let class = move || match auth.notice() {
        Some(Notice::Registered | Notice::Pending | Notice::Done(_) | Notice::LoggedOut) => "notice notice-good",
        _ => "notice",
    };
    let content = move || auth.notice().map(text).unwrap_or_default();
    view! { <p class=class role="status" prop:textContent=content></p> }
}

fn registered() -> &'static str {
    match (settings::MAIL.get().as_str(), settings::CONFIRM_FIRST.get().as_str()) {
        ("folder", "yes") => {
            "Account created. The email to confirm your address is in the server's mail folder. Open its link, then log in."
        }
        (_, "yes") => "Account created. Open the link in the email that we sent you, then log in.",
        ("smtp", _) => "Account created. We sent you an email to confirm your address. Log in below.",
        ("folder", _) => {
            "Account created. The email to confirm your address is in the server's mail folder. Log in below."
        }
        _ => "Account created. Log in below.",
    }
}

/// The notice after a registration that an operator must approve.
const PENDING: &str = "Account created. An operator must approve it before you can log in.";

/// The notice after a registration that also logged in.
#[must_use]
pub fn registered_and_logged_in() -> &'static str {
    match settings::MAIL.get().as_str() {
        "folder" => "Account created. The email to confirm your address is in the server's mail folder.",
        _ => "Account created.",
    }
}

fn text(notice: Notice) -> String {
    match notice {
        Notice::Registered => registered().into(),
        Notice::Pending if settings::MAIL.get() == "smtp" => [PENDING, " We'll email you."].concat(),
        Notice::Pending => PENDING.into(),
        Notice::Done(text) => text.into(),
        Notice::Ended => "Your session has ended. Log in again.".into(),
        Notice::LoggedOut => "You are logged out.".into(),
        Notice::LoggedOutHere { until } => {
            let mut text = String::from("You are logged out in this browser, but the server can't be reached. ");
            match until {
                Some(until) => {
                    text.push_str("Your session on the server will expire by itself, at the latest on ");
                    text.push_str(&dom::local_time(&until));
                    text.push('.');
                }
                None => text.push_str("Your session on the server will expire by itself."),
            }
            text
        }
    }
}
