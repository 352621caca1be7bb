//! The ways between the views: a select box, and links beside it where there is room.

use leptos::{html, prelude::*};

use super::dom;
use crate::{
    app::Address,
    pages::View,
    session::{AuthState, Phase},
};

/// The select's id.
pub const ID: &str = "account-view";

/// The select box and the links. They follow the address, whoever changes it.
#[component]
pub fn ViewSwitcher(
    /// The address.
    address: Address,
) -> impl IntoView {
    let session = AuthState::current();
    let signed_in = Memo::new(move |_| matches!(session.phase(), Phase::SignedIn | Phase::Checking));
    let links = move || {
        let link = |view: View| {
            let current = move || (address.view().whole() == view).then_some("page");
            view! { <li><a href=view.path() aria-current=current>{view.name(signed_in.get())}</a></li> }
        };
        View::offered(signed_in.get()).map(link).collect_view()
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
        // A choice made before the page was live counts.
        match View::offered(signed_in).find(|offered| offered.path() == select.value()) {
            Some(chosen) if last.is_none() && chosen != view => address.choose(chosen),
            // Once the browser has drawn the views that are offered now.
            _ => request_animation_frame(move || {
                let view = address.view_now().whole();
                select.set_value(if view.is_offered(offers.get_untracked()) { view.path() } else { "" });
            }),
        }
    });
    let choose = move |event| {
        let view = View::at(&event_target_value(&event));
        // The arrow keys pass through all views. None of them is to be a step back.
        if dom::has_focus(ID) { address.replace(view) } else { address.choose(view) }
    };
    let options = move || {
        let (view, signed_in) = (address.view().whole(), signed_in.get());
        let unoffered = (!view.is_offered(signed_in))
            .then(|| view! { <option value="" hidden selected>{view.name(signed_in)}</option> });
        let offered = View::offered(signed_in)
            .map(|offered| view! { <option value=offered.path() selected=offered == view>{offered.name(signed_in)}</option> });
        (unoffered, offered.collect_view())
    };
    view! {
        <select id=ID autocomplete="off" node_ref=select on:change=choose>
            {options}
        </select>
    }
}
