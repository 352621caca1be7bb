//! A list that the server sends.

use leptos::prelude::*;

use crate::{browser::dom, error::AppError};

/// The state of a list.
#[derive(Clone)]
pub enum Loaded<T> {
    /// The request is under way.
    Loading,
    /// The request failed.
    Failed(AppError),
    /// The list has arrived.
    Ready(Vec<T>),
}

impl<T> From<Result<Vec<T>, AppError>> for Loaded<T> {
    fn from(answer: Result<Vec<T>, AppError>) -> Self {
        answer.map_or_else(Self::Failed, Self::Ready)
    }
}

/// Says that a list is under way.
#[component]
pub fn Loading(
    /// What is loading, as in "your sessions".
    what: &'static str,
) -> impl IntoView {
    view! { <p class="hint" role="status">"Loading "{what}"…"</p> }
}

/// Says why a list could not be loaded, and offers to try again.
#[component]
pub fn Failed(
    /// What the status line says.
    text: String,
    /// The id of the heading above, which gets the focus when the button disappears.
    heading: &'static str,
    /// Loads the list.
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
