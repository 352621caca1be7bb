//! A text that is there to be copied.

use std::time::Duration;

use leptos::{prelude::*, task::spawn_local};

use crate::browser::dom;

/// How long the button says that it has copied.
const SAID: Duration = Duration::from_secs(3);

/// The text, in a box that wraps, with a button that copies it.
#[component]
pub fn Copyable(
    /// The id of the text.
    id: &'static str,
    /// What the button copies, for whoever doesn't see where it stands.
    name: &'static str,
    /// The text.
    text: String,
) -> impl IntoView {
    let said = RwSignal::new("");
    let (copied, scrolls) = (text.clone(), text.contains('\n'));
    let copy = move |_| {
        let text = copied.clone();
        spawn_local(async move {
            let done = dom::copy(id, &text).await;
            said.try_set(if done { "Copied" } else { "Press Ctrl+C" });
            set_timeout(
                move || {
                    said.try_set("");
                },
                SAID,
            );
        });
    };
    view! {
        <div class="copyable">
            <pre tabindex=scrolls.then_some("0")><code id=id translate="no">{text}</code></pre>
            <button class="button button-quiet button-small" type="button" aria-label=name on:click=copy
                prop:textContent=move || if said.get().is_empty() { "Copy" } else { said.get() }
            ></button>
            <span class="visually-hidden" role="status" prop:textContent=said></span>
        </div>
    }
}
