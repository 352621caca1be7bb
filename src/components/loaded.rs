//! A list that is loaded from the server.

use std::{future::Future, pin::Pin};

use leptos::{either::EitherOf3, prelude::*, task::spawn_local};

use crate::{browser::dom, error::AppError};

/// Requests a list.
type Fetch<T> = Box<dyn Fn() -> Pending<T>>;

/// A requested list.
pub type Pending<T> = Pin<Box<dyn Future<Output = Result<Vec<T>, AppError>>>>;

/// A list that is loaded from the server. Cheap to copy. A resource of Leptos would do the same, for 6,800 bytes more.
pub struct List<T: 'static> {
    /// `None` until the first response.
    lines: RwSignal<Option<Result<Vec<T>, AppError>>>,
    fetch: StoredValue<Fetch<T>, LocalStorage>,
}

impl<T> Clone for List<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for List<T> {}

impl<T: Clone + Send + Sync> List<T> {
    /// A list that is being loaded. Exists only in the browser.
    pub fn load(fetch: impl Fn() -> Pending<T> + 'static) -> Self {
        let list = Self { lines: RwSignal::new(None), fetch: StoredValue::new_local(Box::new(fetch)) };
        list.reload();
        list
    }

    /// Loads the list again. The old one stays until then. The view may no longer exist.
    pub fn reload(self) {
        let Some(pending) = self.fetch.try_with_value(|fetch| fetch()) else { return };
        spawn_local(async move {
            self.lines.try_set(Some(pending.await));
        });
    }

    /// The lines that were loaded. Empty until the first response, and after an error.
    #[must_use]
    pub fn lines(self) -> Vec<T> {
        self.lines.with(|lines| lines.as_ref().and_then(|lines| lines.as_ref().ok()).cloned().unwrap_or_default())
    }

    /// The error, if loading failed.
    #[must_use]
    pub fn error(self) -> Option<AppError> {
        self.lines.with(|lines| lines.as_ref()?.as_ref().err().cloned())
    }

    /// The first line of the list.
    #[must_use]
    pub fn first(self) -> Option<T> {
        self.lines.with_untracked(|lines| lines.as_ref()?.as_ref().ok()?.first().cloned())
    }
}

/// Shows a list once it has arrived. Until then shows that it is loading. If loading fails, shows the error and offers
/// to try again.
pub fn loaded<T: Clone + Send + Sync, V: IntoView + 'static>(
    list: List<T>,
    what: &'static str,
    heading: &'static str,
    view: impl Fn(Vec<T>) -> V + Send + 'static,
) -> impl IntoView {
    // The heading gets the focus, because the button disappears.
    let retry = move |_| {
        list.reload();
        dom::focus_id(heading.into());
    };
    move || match list.lines.get() {
        None => EitherOf3::A(view! { <p class="hint" role="status">"Loading "{what}"…"</p> }),
        Some(Err(error)) => EitherOf3::B(view! {
            <p class="hint" role="status">{error.to_string()}</p>
            <p class="actions">
                <button class="button button-quiet" type="button" on:click=retry>"Try again"</button>
            </p>
        }),
        Some(Ok(lines)) => EitherOf3::C(view(lines)),
    }
}
