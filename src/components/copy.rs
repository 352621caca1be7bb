//! A text with a copy button.

use std::time::Duration;

use leptos::{prelude::*, task::spawn_local};

use crate::browser::dom;

/// How long the button shows the result.
const FEEDBACK_TIME: Duration = Duration::from_secs(3);

/// The text in a box that wraps, with a button that copies it.
#[component]
pub fn Copyable(
    /// The id of the text.
    id: &'static str,
    /// The button's accessible name, which says what it copies.
    name: &'static str,
    /// The text.
    text: String,
) -> impl IntoView {
    let feedback = RwSignal::new("");
    let (copied, scrolls) = (text.clone(), text.contains('\n'));
    let copy = move |_| {
        let text = copied.clone();
        spawn_local(async move {
            let done = dom::copy(id, &text).await;
            feedback.try_set(if done { "Copied" } else { "Press Ctrl+C" });
            set_timeout(
                move || {
                    feedback.try_set("");
                },
                FEEDBACK_TIME,
            );
        });
    };
    view! {
        <div class="copyable">
            <pre tabindex=scrolls.then_some("0")><code id=id translate="no">{text}</code></pre>
            <button class="button button-quiet button-small" type="button" aria-label=name on:click=copy
                prop:textContent=move || if feedback.get().is_empty() { "Copy" } else { feedback.get() }
            ></button>
            <span class="visually-hidden" role="status" prop:textContent=feedback></span>
        </div>
    }
}
