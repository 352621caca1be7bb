//! A list that is loaded from the server.

use leptos::prelude::*;

use crate::{browser::dom, error::AppError};

/// The loading state of a list.
#[derive(Clone)]
pub enum Loaded<T> {
    /// The request is pending.
    Loading,
    /// The request failed.
    Failed(AppError),
    /// The list has arrived.
    Ready(Vec<T>),
}

impl<T> From<Result<Vec<T>, AppError>> for Loaded<T> {
    fn from(result: Result<Vec<T>, AppError>) -> Self {
        result.map_or_else(Self::Failed, Self::Ready)
    }
}

/// Shows that a list is loading.
#[component]
pub fn Loading(
    /// What is loading, as in "your sessions".
    what: &'static str,
) -> impl IntoView {
    view! { <p class="hint" role="status">"Loading "{what}"…"</p> }
}

/// Shows why a list could not be loaded, and offers to try again.
#[component]
pub fn Failed(
    /// The error.
    text: String,
    /// The id of the heading above, which gets the focus when the button disappears.
    heading: &'static str,
    /// Loads the list again.
    load: StoredValue<Box<dyn Fn()>, LocalStorage>,
) -> impl IntoView {
    let retry = move |_| {
        load.with_value(|load| load());
        dom::focus_id(heading.into());
    };
    view! {
        <p class="hint" role="status">{text}</p>
        <p class="actions">
            <button class="button button-quiet" type="button" on:click=retry>"Try again"</button>
        </p>
    }
}
