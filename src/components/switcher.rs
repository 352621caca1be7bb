//! The select box that switches the view.

use leptos::{html, prelude::*};

use crate::{
    app::{Address, settings},
    pages::View,
    session::{Phase, Session},
};

/// The select's id.
pub const ID: &str = "account-view";

/// The select box. It follows the address, whoever changes it.
#[component]
pub fn ViewSwitcher(
    /// The address.
    address: Address,
) -> impl IntoView {
    let session = Session::current();
    // Offered to those who have one, and shown to whoever is there.
    let own = Memo::new(move |_| session.phase() == Phase::SignedIn || address.view().whole() == View::ACCOUNT);
    // Not where registration is closed, unless somebody came by its address.
    let register = Memo::new(move |_| settings::registration_is_open() || address.view() == View::Register);
    let select = NodeRef::<html::Select>::new();
    Effect::new(move |last: Option<()>| {
        let view = address.view().whole();
        own.track();
        register.track();
        let Some(select) = select.get() else { return };
        // A choice made before the page was live counts.
        let chosen = View::at(&select.value());
        if last.is_none() && view.is_offered() && chosen != view {
            address.go(chosen);
        } else {
            select.set_value(if view.is_offered() { view.path() } else { "" });
        }
    });
    let option = move |view: View| {
        let selected = address.view_now().whole() == view;
        view! { <option value=view.path() selected=selected>{view.name()}</option> }
    };
    let unchosen =
        move || (!address.view().is_offered()).then(|| view! { <option value="" hidden selected>"Choose"</option> });
    view! {
        <nav class="switcher" aria-label="Views">
            <label for=ID>"Account"</label>
            <select
                id=ID
                autocomplete="off"
                node_ref=select
                on:change=move |event| address.go(View::at(&event_target_value(&event)))
            >
                {unchosen}
                {option(View::LogIn)}
                {move || register.get().then(|| option(View::Register))}
                {move || own.get().then(|| option(View::ACCOUNT))}
                {option(View::LogOut)}
            </select>
        </nav>
    }
}
