//! Views whose code a visitor loads when one of them is wanted for the first time, and not before.

use std::{future::Future, pin::Pin};

use leptos::{prelude::*, reactive::computed::ScopedFuture, task::spawn_local};

use crate::{browser::dom, error::AppError};

/// A view that may have to be loaded before it can be shown.
pub type Loading = Pin<Box<dyn Future<Output = Result<AnyView, AppError>>>>;

/// Loads a view and shows it under its title; or says that it can't be loaded, and offers to try again. Only the browser ever
/// shows it.
pub fn lazy_view(title: &'static str, load: fn() -> Loading) -> AnyView {
    let owner = Owner::current().unwrap_or_default();
    let loaded = StoredValue::new_local(None::<Result<AnyView, AppError>>);
    let arrived = Trigger::new();
    let begin = move || {
        let loading = owner.with(|| ScopedFuture::new_untracked(load()));
        spawn_local(async move {
            loaded.try_set_value(Some(loading.await));
            // It takes the place of what may have had the focus. Who is elsewhere stays there.
            let led = dom::view_has_focus();
            arrived.notify();
            if led {
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
