//! The navigation between the views: a select box, and links beside it where there is enough space.

use leptos::{html, prelude::*};

use crate::{
    browser::{dom, location::Address, settings},
    route::View,
    session::{AuthState, Phase},
};

/// The select's id.
pub const ID: &str = "account-view";

/// The select box and the links. They follow every change of the address.
#[component]
pub fn ViewSwitcher(
    /// The address.
    address: Address,
) -> impl IntoView {
    let auth = AuthState::current();
    let signed_in = Memo::new(move |_| matches!(auth.phase(), Phase::SignedIn | Phase::Checking));
    let links = move || {
        let link = |view: View| {
            let current = move || (address.view().whole() == view).then_some("page");
            view! { <li><a href=view.path() aria-current=current>{view.name(signed_in.get())}</a></li> }
        };
        offered(signed_in.get()).map(link).collect_view()
    };
    view! {
        <nav class="switcher" aria-label="Views">
            <label for=ID>"Account"</label>
            <ViewSelect address signed_in />
            <ul class="beside">{links}</ul>
        </nav>
    }
}

#[component]
fn ViewSelect(address: Address, signed_in: Memo<bool>) -> impl IntoView {
    let select = NodeRef::<html::Select>::new();
    Effect::new(move |last: Option<()>| {
        let (view, offers, signed_in) = (address.view().whole(), signed_in, signed_in.get());
        let Some(select) = select.get() else { return };
        // A choice that was made before the page started is applied now.
        match offered(signed_in).find(|offered| offered.path() == select.value()) {
            Some(chosen) if last.is_none() && chosen != view => address.choose(chosen),
            // The select is set after the browser has drawn the new options.
            _ => request_animation_frame(move || {
                let view = address.view_now().whole();
                select.set_value(if is_offered(view, offers.get_untracked()) { view.path() } else { "" });
            }),
        }
    });
    let choose = move |event| {
        let view = View::at(&event_target_value(&event));
        // The arrow keys pass through all views. These steps must not become history entries.
        if dom::has_focus(ID) { address.replace(view) } else { address.choose(view) }
    };
    let options = move || {
        let (view, signed_in) = (address.view().whole(), signed_in.get());
        let unoffered = (!is_offered(view, signed_in))
            .then(|| view! { <option value="" hidden selected>{view.name(signed_in)}</option> });
        let offered = offered(signed_in)
            .map(|offered| view! { <option value=offered.path() selected=offered == view>{offered.name(signed_in)}</option> });
        (unoffered, offered.collect_view())
    };
    view! {
        <select id=ID autocomplete="off" node_ref=select on:change=choose>
            {options}
        </select>
    }
}

/// The views in the select box, in their order. Where registration is closed, it isn't offered.
fn offered(signed_in: bool) -> impl Iterator<Item = View> {
    let between = if signed_in { View::ACCOUNT } else { View::Register };
    [View::LogIn, between, View::LogOut]
        .into_iter()
        .filter(|view| *view != View::Register || settings::registration_is_open())
}

fn is_offered(view: View, signed_in: bool) -> bool {
    offered(signed_in).any(|offered| offered == view)
}
