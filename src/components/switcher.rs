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
    let user = Memo::new(move |_| match (auth.phase(), auth.session()) {
        (_, Some(session)) if session.account.role.is_some() => User::Operator,
        (Phase::SignedIn | Phase::Checking, _) => User::SignedIn,
        _ => User::SignedOut,
    });
    let links = move || {
        let user = user.get();
        let link = |view: View| {
            let current = move || (address.view().whole() == view).then_some("page");
            view! { <li><a href=view.path() aria-current=current>{user.name_of(view)}</a></li> }
        };
        user.offered().map(link).collect_view()
    };
    view! {
        <nav class="switcher" aria-label="Views">
            <label for=ID>"Account"</label>
            <ViewSelect address user />
            <ul class="beside">{links}</ul>
        </nav>
    }
}

#[component]
fn ViewSelect(address: Address, user: Memo<User>) -> impl IntoView {
    let select = NodeRef::<html::Select>::new();
    Effect::new(move |last: Option<()>| {
        let (view, now) = (address.view().whole(), user.get());
        let Some(select) = select.get() else { return };
        // A choice that was made before the page started is applied now.
        match now.offered().find(|offered| offered.path() == select.value()) {
            Some(chosen) if last.is_none() && chosen != view => address.choose(chosen),
            // The select is set after the browser has drawn the new options.
            _ => request_animation_frame(move || {
                let view = address.view_now().whole();
                select.set_value(if user.get_untracked().is_offered(view) { view.path() } else { "" });
            }),
        }
    });
    let choose = move |event| {
        let view = View::at(&event_target_value(&event));
        // The arrow keys pass through all views. These steps must not become history entries.
        if dom::has_focus(ID) { address.replace(view) } else { address.choose(view) }
    };
    let options = move || {
        let (view, user) = (address.view().whole(), user.get());
        let unoffered =
            (!user.is_offered(view)).then(|| view! { <option value="" hidden selected>{user.name_of(view)}</option> });
        let offered = user.offered().map(
            |offered| view! { <option value=offered.path() selected=offered == view>{user.name_of(offered)}</option> },
        );
        (unoffered, offered.collect_view())
    };
    view! {
        <select id=ID autocomplete="off" node_ref=select on:change=choose>
            {options}
        </select>
    }
}

/// Who uses the page, as far as the views depend on it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum User {
    SignedOut,
    SignedIn,
    /// Somebody with a role.
    Operator,
}

impl User {
    /// The views in the select box, in their order. Where registration is closed, it isn't offered.
    fn offered(self) -> impl Iterator<Item = View> {
        [View::LogIn, View::Register, View::ACCOUNT, View::Operators, View::LogOut].into_iter().filter(move |view| {
            match view {
                View::Register => self == Self::SignedOut && settings::registration_is_open(),
                View::Account(_) => self != Self::SignedOut,
                View::Operators => self == Self::Operator,
                _ => true,
            }
        })
    }

    fn is_offered(self, view: View) -> bool {
        self.offered().any(|offered| offered == view)
    }

    fn name_of(self, view: View) -> &'static str {
        view.name(self != Self::SignedOut)
    }
}
