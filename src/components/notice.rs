//! The line above a view that says what has just happened.

use leptos::prelude::*;

use super::dom;
use crate::session::{Notice, Session};

/// The line. It is always there, so that a screen reader hears what comes into it.
#[component]
pub fn NoticeLine() -> impl IntoView {
    let session = Session::current();
    let class = move || match session.notice() {
        Some(Notice::Registered | Notice::LoggedOut) => "notice notice-good",
        _ => "notice",
    };
    view! { <p class=class role="status">{move || session.notice().map(text)}</p> }
}

fn text(notice: Notice) -> String {
    match notice {
        Notice::Registered => "Your account was created. Log in with it now.".into(),
        Notice::Ended => "Your session has ended. Log in again.".into(),
        Notice::LoggedOut => "You are logged out.".into(),
        Notice::LoggedOutHere { until } => {
            let mut text = String::from("You are logged out in this tab, but the server could not be told. ");
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
