//! The select box that switches the view.

use leptos::{html, prelude::*};
use leptos_router::hooks::use_navigate;

use crate::pages::View;

/// The select's id.
pub const ID: &str = "account-view";

/// The select box. It follows the address, whoever changes it.
#[component]
pub fn ViewSwitcher(
    /// The view that is shown.
    view: Memo<View>,
) -> impl IntoView {
    let select = NodeRef::<html::Select>::new();
    let navigate = use_navigate();
    let go = move |path: &str| {
        if !path.is_empty() && path != view.get_untracked().path() {
            navigate(path, Default::default());
        }
    };
    let on_change = {
        let go = go.clone();
        move |event| go(&event_target_value(&event))
    };
    Effect::new(move |last: Option<()>| {
        let view = view.get();
        let Some(select) = select.get() else { return };
        // A choice made before the page was live counts.
        let early = last.is_none() && view != View::NotFound && select.value() != view.path();
        if early {
            go(&select.value());
        } else {
            select.set_value(view.path());
        }
    });
    view! {
        <nav class="switcher" aria-label="Views">
            <label for=ID>"Account"</label>
            <select id=ID autocomplete="off" node_ref=select on:change=on_change>
                {move || (view.get() == View::NotFound).then(|| view! { <option value="" hidden selected>"Choose"</option> })}
                {View::CHOICES
                    .map(|choice| {
                        let selected = choice == view.get_untracked();
                        view! { <option value=choice.path() selected=selected>{choice.name()}</option> }
                    })
                    .into_iter()
                    .collect_view()}
            </select>
        </nav>
    }
}
