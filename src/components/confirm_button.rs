//! A button for what can't be taken back: it asks once, in words, where it stands.

use leptos::{either::Either, html, prelude::*};

/// The button. In its place the question comes, with the act and a way out, by Escape as well. The focus goes to the question, not
/// to the act: whoever presses the key twice has not answered yet.
#[component]
pub fn ConfirmButton<F: Fn() + 'static>(
    /// What it does, in one word.
    label: &'static str,
    /// The same for whoever doesn't see where it stands.
    #[prop(into)]
    name: String,
    /// Whether that is wanted.
    question: &'static str,
    /// What to do.
    act: F,
) -> impl IntoView {
    let (asked, act) = (RwSignal::new(None::<bool>), StoredValue::new_local(act));
    let (group, again) = (NodeRef::<html::Div>::new(), NodeRef::<html::Button>::new());
    // Nobody has asked yet when the button first comes.
    Effect::new(move |_| match asked.get() {
        Some(true) => drop(group.get().map(|group| group.focus())),
        Some(false) => drop(again.get().map(|button| button.focus())),
        None => {}
    });
    let leave = move || asked.set(Some(false));
    move || {
        let (name, spoken) = (name.clone(), format!("{name}. {question}"));
        if asked.get() == Some(true) {
            Either::Left(view! {
                <div
                    node_ref=group
                    class="ask"
                    role="group"
                    aria-label=spoken
                    tabindex="-1"
                    on:keydown=move |event| {
                        if event.key() == "Escape" {
                            leave();
                        }
                    }
                >
                    <p>{question}</p>
                    <button class="button button-danger button-small" type="button" aria-label=name on:click=move |_| act.with_value(|act| act())>
                        {label}
                    </button>
                    <button class="button button-quiet button-small" type="button" on:click=move |_| leave()>
                        "Cancel"
                    </button>
                </div>
            })
        } else {
            Either::Right(view! {
                <button
                    node_ref=again
                    class="button button-quiet button-small"
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
