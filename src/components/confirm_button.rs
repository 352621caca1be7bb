//! A button for an action that can't be undone. It asks for confirmation in place.

use leptos::{either::Either, html, prelude::*};

/// The button. A click replaces it with a question, a button that runs the action, and a cancel button. Escape cancels,
/// too. The question gets the focus, so that pressing the key twice does not confirm the action.
#[component]
pub fn ConfirmButton<F: Fn() + 'static>(
    /// What it does, in one word or a few.
    label: &'static str,
    /// The accessible name, which also names the object of the action.
    #[prop(into)]
    name: String,
    /// The question that asks for confirmation.
    question: &'static str,
    /// Runs after the confirmation.
    action: F,
) -> impl IntoView {
    let (is_asking, action) = (RwSignal::new(None::<bool>), StoredValue::new_local(action));
    let (group, button) = (NodeRef::<html::Div>::new(), NodeRef::<html::Button>::new());
    // When the button is first shown, it must not take the focus.
    Effect::new(move |_| match is_asking.get() {
        Some(true) => drop(group.get().map(|group| group.focus())),
        Some(false) => drop(button.get().map(|button| button.focus())),
        None => {}
    });
    let cancel = move || is_asking.set(Some(false));
    move || {
        let (name, group_label) = (name.clone(), format!("{name}. {question}"));
        if is_asking.get() == Some(true) {
            Either::Left(view! {
                <div
                    node_ref=group
                    class="ask"
                    role="group"
                    aria-label=group_label
                    tabindex="-1"
                    on:keydown=move |event| {
                        if event.key() == "Escape" {
                            cancel();
                        }
                    }
                >
                    <p>{question}</p>
                    <button class="button button-danger button-small" type="button" aria-label=name on:click=move |_| action.with_value(|action| action())>
                        {label}
                    </button>
                    <button class="button button-quiet button-small" type="button" on:click=move |_| cancel()>
                        "Cancel"
                    </button>
                </div>
            })
        } else {
            Either::Right(view! {
                <button
                    node_ref=button
                    class="button button-quiet button-small"
                    type="button"
                    aria-label=name
                    on:click=move |_| is_asking.set(Some(true))
                >
                    {label}
                </button>
            })
        }
    }
}
