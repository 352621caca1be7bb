//! Views with lazily loaded code.

use std::{future::Future, pin::Pin};

use futures_util::FutureExt;
use leptos::{prelude::*, reactive::computed::ScopedFuture, task::spawn_local};

use crate::{browser::dom, error::AppError};

/// A view that is being loaded.
pub type Loading = Pin<Box<dyn Future<Output = Result<AnyView, AppError>>>>;

/// Loads a view and shows only its title until then. If loading fails, shows an error and offers to try again. On the
/// server, and once the code is loaded, shows the view at once.
pub fn lazy_view(title: &'static str, load: impl Fn() -> Loading + 'static) -> AnyView {
    let mut loading = load();
    if let Some(Ok(view)) = (&mut loading).now_or_never() {
        return view;
    }
    let owner = Owner::current().unwrap_or_default();
    let loaded = StoredValue::new_local(None::<Result<AnyView, AppError>>);
    let arrived = Trigger::new();
    let wait = move |loading: Loading| {
        let loading = owner.with(|| ScopedFuture::new_untracked(loading));
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
    wait(loading);
    let retry = StoredValue::new_local(move || wait(load()));
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
                    <button class="button" type="button" on:click=move |_| retry.with_value(|retry| retry())>
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
