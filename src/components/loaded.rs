//! A list that the server tells.

use leptos::prelude::*;

use super::dom;
use crate::error::AppError;

/// What is known of a list.
#[derive(Clone)]
pub enum Loaded<T> {
    /// It is on its way, or in trouble.
    Away(Option<AppError>),
    /// It has come.
    Here(Vec<T>),
}

impl<T> From<Result<Vec<T>, AppError>> for Loaded<T> {
    fn from(answer: Result<Vec<T>, AppError>) -> Self {
        answer.map_or_else(|error| Self::Away(Some(error)), Self::Here)
    }
}

/// What stands in the place of a list that isn't there: that it is on its way, or why not, and how to try again.
#[component]
pub fn Away(
    /// Why it isn't there.
    trouble: Option<AppError>,
    /// What is on its way.
    loading: &'static str,
    /// The id of the heading above it, where the focus goes from the button.
    heading: &'static str,
    /// Loads it.
    load: StoredValue<Box<dyn Fn()>, LocalStorage>,
) -> impl IntoView {
    let again = move |_| {
        load.with_value(|load| load());
        dom::focus_id(heading.into());
    };
    let button = trouble.is_some().then(|| {
        view! {
            <p class="actions">
                <button class="button button-quiet" type="button" on:click=again>"Try again"</button>
            </p>
        }
    });
    let text = trouble.map_or_else(|| loading.to_owned(), |error| error.to_string());
    view! {
        <p class="hint" role="status">{text}</p>
        {button}
    }
}
