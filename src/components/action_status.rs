//! The status line of an action that is done in place.

use leptos::prelude::*;

use crate::error::AppError;

/// The status of an action. Cheap to copy.
#[derive(Clone, Copy)]
pub struct ActionStatus(RwSignal<Content>);

#[derive(Clone, Default)]
enum Content {
    #[default]
    Empty,
    Busy(&'static str),
    Done(String),
    Failed(String),
}

impl ActionStatus {
    /// The empty status.
    #[must_use]
    pub fn none() -> Self {
        Self(RwSignal::new(Content::Empty))
    }

    /// Shows that an action is pending.
    pub fn begin(self, what: &'static str) {
        self.0.try_set(Content::Busy(what));
    }

    /// Shows the result of an action. [`AppError::ReauthRequired`] clears the status, because it means that the user
    /// cancelled.
    pub fn end(self, result: Result<String, AppError>) {
        self.0.try_set(match result {
            Ok(text) => Content::Done(text),
            Err(AppError::ReauthRequired) => Content::Empty,
            Err(error) => Content::Failed(error.to_string()),
        });
    }

    /// Clears the status.
    pub fn clear(self) {
        self.0.try_set(Content::Empty);
    }
}

/// The status line. It is always in the document, because screen readers only announce changes of an existing live
/// region.
#[component]
pub fn ActionStatusLine(
    /// The status to show.
    status: ActionStatus,
) -> impl IntoView {
    let class = move || {
        status.0.with(|content| match content {
            Content::Done(_) => "notice notice-good",
            Content::Failed(_) => "notice notice-wrong",
            Content::Empty | Content::Busy(_) => "notice",
        })
    };
    let text = move || {
        status.0.with(|content| match content {
            Content::Empty => String::new(),
            Content::Busy(what) => (*what).to_owned(),
            Content::Done(text) | Content::Failed(text) => text.clone(),
        })
    };
    view! { <p class=class role="status" prop:textContent=text></p> }
}
