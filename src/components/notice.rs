//! The line above a view that says what has just happened.

use leptos::prelude::*;

use super::dom;
use crate::{
    app::settings,
    session::{Notice, Session},
};

/// The line. It is always there, so that a screen reader hears what comes into it.
#[component]
pub fn NoticeLine() -> impl IntoView {
    let session = Session::current();
    let class = move || match session.notice() {
        Some(Notice::Registered | Notice::Done(_) | Notice::LoggedOut) => "notice notice-good",
        _ => "notice",
    };
    let said = move || session.notice().map(text).unwrap_or_default();
    view! { <p class=class role="status" prop:textContent=said></p> }
}

fn registered() -> &'static str {
    match (settings::MAIL.get().as_str(), settings::CONFIRM_FIRST.get().as_str()) {
        (_, "yes") => "Your account was created. Follow the link in the mail that was sent to you, then log in.",
        ("sent", _) => "Your account was created. Log in with it now. A mail asks you to confirm your email.",
        ("kept", _) => {
            "Your account was created. Log in with it now. The mail that asks you to confirm your email is in the server's mail folder."
        }
        _ => "Your account was created. Log in with it now.",
    }
}

fn text(notice: Notice) -> String {
    match notice {
        Notice::Registered => registered().into(),
        Notice::Done(text) => text.into(),
        Notice::Ended => "Your session has ended. Log in again.".into(),
        Notice::LoggedOut => "You are logged out.".into(),
        Notice::LoggedOutHere { until } => {
            let mut text = String::from("You are logged out in this browser, but the server could not be told. ");
            match until {
                Some(until) => {
                    text.push_str("There the session ends by itself, at the latest on ");
                    text.push_str(&dom::local_time(&until));
                    text.push('.');
                }
                None => text.push_str("There the session ends by itself."),
            }
            text
        }
    }
}
