//! Views with lazily loaded code.

use std::{future::Future, pin::Pin};

use leptos::{prelude::*, reactive::computed::ScopedFuture, task::spawn_local};

use crate::{browser::dom, error::AppError};

/// A view that is being loaded.
pub type Loading = Pin<Box<dyn Future<Output = Result<AnyView, AppError>>>>;

/// Loads a view and shows only its title until then. If loading fails, shows an error and offers to try again. Runs
/// only in the browser.
pub fn lazy_view(title: &'static str, load: fn() -> Loading) -> AnyView {
    let owner = Owner::current().unwrap_or_default();
    let loaded = StoredValue::new_local(None::<Result<AnyView, AppError>>);
    let arrived = Trigger::new();
    let begin = move || {
        let loading = owner.with(|| ScopedFuture::new_untracked(load()));
        spawn_local(async move {
            loaded.try_set_value(Some(loading.await));
            // The new view replaces the element that may have had the focus. A focus outside of the view is not moved.
            let had_focus = dom::view_has_focus();
            arrived.notify();
            if had_focus {
                dom::focus_heading();
            }
        });
    };
    begin();
    let begin = StoredValue::new_local(begin);
    (move || {
        arrived.track();
        match loaded.try_update_value(Option::take).flatten() {
            Some(Ok(view)) => view,
            Some(Err(_)) => view! {
                <h1 tabindex="-1">"This part could not be loaded"</h1>
                <p class="notice notice-wrong" role="alert">
                    "Check your connection and try again. If that doesn't help, reload the page."
                </p>
                <div class="actions">
                    <button class="button" type="button" on:click=move |_| begin.with_value(|begin| begin())>
                        "Try again"
                    </button>
                    <button class="button button-quiet" type="button" on:click=|_| drop(location().reload())>
                        "Reload the page"
                    </button>
                </div>
            }
            .into_any(),
            None => view! {
                <h1 tabindex="-1">{title}</h1>
                <p class="hint" role="status">"Loading…"</p>
            }
            .into_any(),
        }
    })
    .into_any()
}
