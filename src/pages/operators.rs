//! The operators' page. Its code is loaded when an operator opens it.

mod account;
mod accounts;
mod acts;
mod address;
mod approval;
mod groups;
mod identity;
mod listing;
mod person;
mod sessions;

use leptos::prelude::*;

pub use self::code::load;
use self::{
    account::AccountPage,
    accounts::Accounts,
    address::{Address, Place},
    listing::Listing,
};
use crate::{
    browser::{dom, settings},
    components::{
        reauth_prompt::{ConfirmDialog, ReauthPrompt},
        rows,
    },
    error::AppError,
    route::View,
    session::AuthState,
};

/// Loads the code of the page.
#[cfg(feature = "split")]
mod code {
    #![expect(clippy::unnecessary_wraps, reason = "a fallible split function must return a `Result`")]

    use leptos::prelude::*;

    use super::{AppError, Operators};

    /// Draws the view, once the code is loaded.
    #[leptos::wasm_split::wasm_split(operators, wasm_split_path = leptos::wasm_split, fallible)]
    pub fn load() -> Result<AnyView, AppError> {
        Ok(view! { <Operators /> }.into_any())
    }
}

/// Without code splitting, the page is already loaded.
#[cfg(not(feature = "split"))]
mod code {
    use std::future::{Ready, ready};

    use leptos::prelude::*;

    use super::{AppError, Operators};

    /// Draws the view.
    pub fn load() -> Ready<Result<AnyView, AppError>> {
        ready(Ok(view! { <Operators /> }.into_any()))
    }
}

/// The style of the page. It is loaded with the page's code.
const STYLE: &str = include_str!("../../style/operators.css");

/// The page, if the account has a role.
#[component]
fn Operators() -> impl IntoView {
    let auth = AuthState::current();
    let is_operator = Memo::new(move |_| auth.session().is_some_and(|session| session.account.role.is_some()));
    move || {
        if is_operator.get() {
            view! { <Places /> }.into_any()
        } else {
            view! {
                <h1 tabindex="-1">"Administration"</h1>
                <p class="lead">"This page is for the people who run this service."</p>
            }
            .into_any()
        }
    }
}

/// The places in the navigation: the path and the name.
const PLACES: [(&str, &str); 1] = [(address::ACCOUNTS, "Accounts")];

/// The navigation with the current place.
#[component]
fn Places() -> impl IntoView {
    let (auth, address) = (AuthState::current(), Address::follow());
    let listing = Listing::empty();
    let (title, reauth) = (RwSignal::new(String::new()), ReauthPrompt::idle());
    let account = Memo::new(move |_| address.account());
    Effect::new(move |last: Option<Option<String>>| {
        let account = account.get();
        if last.is_some_and(|last| last != account) {
            dom::focus_heading();
            if account.is_some() {
                auth.clear_notice();
            }
        }
        account
    });
    Effect::new(move |_| {
        // The app sets its own title when the phase changes.
        let _ = auth.phase();
        document().set_title(&[&title.get(), " · ", &settings::SERVICE.get()].concat());
    });
    let current = move |path: &str| address.path().starts_with(path).then_some("page");
    let links = PLACES
        .into_iter()
        .map(|(path, name)| view! { <li><a href=path aria-current=move || current(path)>{name}</a></li> })
        .collect_view();
    let is_list = Memo::new(move |_| matches!(address.place(), Place::Accounts(_)));
    view! {
        <style nonce=dom::nonce()>{rows::STYLE}{STYLE}</style>
        <div class="operators">
            <nav class="places" aria-label=View::Operators.name(true)>
                <ul>{links}</ul>
            </nav>
            {move || match (is_list.get(), account.get()) {
                (true, _) => view! { <Accounts address listing title /> }.into_any(),
                (false, Some(id)) => view! { <AccountPage id address listing reauth title /> }.into_any(),
                (false, None) => view! {
                    <h1 tabindex="-1">"Page not found"</h1>
                    <p class="lead">"There's nothing here. Check the address."</p>
                }
                .into_any(),
            }}
        </div>
        <ConfirmDialog reauth />
    }
}
