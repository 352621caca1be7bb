//! The line that tells how something went that was done in place.

use leptos::prelude::*;

use crate::error::AppError;

/// How it went. Cheap to copy.
#[derive(Clone, Copy)]
pub struct ActionStatus(RwSignal<Said>);

#[derive(Clone, Default)]
enum Said {
    #[default]
    Nothing,
    UnderWay(&'static str),
    Done(String),
    Failed(String),
}

impl ActionStatus {
    /// Nothing has been done yet.
    #[must_use]
    pub fn none() -> Self {
        Self(RwSignal::new(Said::Nothing))
    }

    /// Something is being done.
    pub fn begin(self, what: &'static str) {
        self.0.try_set(Said::UnderWay(what));
    }

    /// It was done, or not. Whoever did not want to confirm it has changed their mind, and hears nothing.
    pub fn end(self, answer: Result<String, AppError>) {
        self.0.try_set(match answer {
            Ok(text) => Said::Done(text),
            Err(AppError::ReauthRequired) => Said::Nothing,
            Err(error) => Said::Failed(error.to_string()),
        });
    }

    /// What was said counts no more.
    pub fn clear_notice(self) {
        self.0.try_set(Said::Nothing);
    }
}

/// The line. It is always there, so that a screen reader hears what comes into it.
#[component]
pub fn ActionStatusLine(
    /// What it tells.
    outcome: ActionStatus,
) -> impl IntoView {
    let class = move || {
        outcome.0.with(|said| match said {
            Said::Done(_) => "notice notice-good",
            Said::Failed(_) => "notice notice-wrong",
            Said::Nothing | Said::UnderWay(_) => "notice",
        })
    };
    let text = move || {
        outcome.0.with(|said| match said {
            Said::Nothing => String::new(),
            Said::UnderWay(what) => (*what).to_owned(),
            Said::Done(text) | Said::Failed(text) => text.clone(),
        })
    };
    view! { <p class=class role="status" prop:textContent=text></p> }
}
