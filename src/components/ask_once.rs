//! A button for what can't be taken back: it asks once, in words, where it stands.

use leptos::{either::Either, html, prelude::*};

/// The button. In its place the question comes, with the act and a way out.
#[component]
pub fn AskOnce<F: Fn() + 'static>(
    /// What it does, in one word.
    label: &'static str,
    /// The same for whoever doesn't see where it stands.
    #[prop(into)]
    name: String,
    /// What will come of it.
    question: &'static str,
    /// What to do.
    act: F,
) -> impl IntoView {
    let (asked, act) = (RwSignal::new(None::<bool>), StoredValue::new_local(act));
    let (yes, again) = (NodeRef::<html::Button>::new(), NodeRef::<html::Button>::new());
    // The focus goes where the question is, and back. Nobody has asked yet when the button first comes.
    Effect::new(move |_| {
        let at = match asked.get() {
            Some(true) => yes.get(),
            Some(false) => again.get(),
            None => None,
        };
        if let Some(button) = at {
            drop(button.focus());
        }
    });
    move || {
        let (name, group) = (name.clone(), name.clone());
        if asked.get() == Some(true) {
            Either::Left(view! {
                <div class="ask" role="group" aria-label=group>
                    <p>{question}</p>
                    <button node_ref=yes class="button button-danger" type="button" aria-label=name on:click=move |_| act.with_value(|act| act())>
                        {label}
                    </button>
                    <button class="button button-quiet" type="button" on:click=move |_| asked.set(Some(false))>
                        "Cancel"
                    </button>
                </div>
            })
        } else {
            Either::Right(view! {
                <button
                    node_ref=again
                    class="button button-quiet"
                    type="button"
                    aria-label=name
                    on:click=move |_| asked.set(Some(true))
                >
                    {label}
                </button>
            })
        }
    }
}
