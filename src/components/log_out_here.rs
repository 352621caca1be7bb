//! The logout button.

use leptos::{prelude::*, task::spawn_local};

use crate::session::AuthState;

/// The logout button.
#[component]
pub fn LogOutHere(
    /// Whether it is the secondary button of its group.
    #[prop(optional)]
    quiet: bool,
    /// The button's label.
    #[prop(default = "Log out here")]
    label: &'static str,
) -> impl IntoView {
    let auth = AuthState::current();
    let busy = RwSignal::new(false);
    let log_out = move |_| {
        if !busy.get_untracked() {
            busy.set(true);
            spawn_local(async move {
                auth.log_out().await;
                busy.try_set(false);
            });
        }
    };
    view! {
        <button
            class="button"
            class:button-quiet=quiet
            type="button"
            class:is-busy=move || busy.get()
            aria-disabled=move || if busy.get() { "true" } else { "false" }
            on:click=log_out
            prop:textContent=move || if busy.get() { "Logging out…" } else { label }
        ></button>
    }
}
