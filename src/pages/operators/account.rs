//! The page of an account.

use leptos::prelude::*;

use super::{
    accounts::role_name,
    acts::{Access, DeleteAccount},
    address::Address,
    approval::Approval,
    groups::Groups,
    identity::Identity,
    listing::Listing,
    person::Person,
    sessions::{AccessTokens, Sessions},
};
use crate::{
    browser::dom,
    components::{
        breakable::breakable,
        history::HistoryLines,
        loaded::{List, loaded},
        reauth_prompt::ReauthPrompt,
    },
    domain::{account::HistoryPage, act::Act, directory::AccountState},
    error::AppError,
    json::Json,
    route::View,
    session::BearerTransport,
};

/// A page of an account's history for an operator, the newest first.
#[server(
    name = AccountHistory, prefix = "/fn", endpoint = "account_history", input = Json, output = Json,
    client = BearerTransport
)]
pub async fn account_history(
    /// The account's identifier.
    id: String,
    /// The identifier of the event before which the page begins. Empty for the first page.
    before: String,
) -> Result<HistoryPage, AppError> {
    use crate::{http::context::PageContext, service::Operator};

    let mut context = PageContext::from_request()?;
    let operator: Operator = context.extract().await?;
    Ok(context.service().account_history(&operator, &id, &before).await?)
}

/// The page of an account.
#[component]
pub fn AccountPage(
    /// The account's identifier.
    id: String,
    /// The address.
    address: Address,
    /// The list, which shows a change.
    listing: Listing,
    /// The prompt for the password.
    reauth: ReauthPrompt,
    /// The title of the document.
    title: RwSignal<String>,
) -> impl IntoView {
    let person = Person::load(id, address, listing, reauth);
    let is_loaded = Memo::new(move |_| person.is_loaded());
    // The sections stay while the account is loaded again.
    let error = Memo::new(move |_| person.error());
    Effect::new(move |_| title.set(if is_loaded.get() { person.username() } else { "Account".to_owned() }));
    view! {
        <p class="back"><a href=address.list()>"All accounts"</a></p>
        {move || match (is_loaded.get(), error.get()) {
            (_, Some(AppError::NotFound)) => view! {
                <h1 tabindex="-1">"There is no such account"</h1>
                <p class="lead">"It was deleted, or the address is wrong."</p>
            }
            .into_any(),
            (true, _) => view! { <Sections person /> }.into_any(),
            (false, Some(error)) => view! {
                <h1 tabindex="-1">"Account"</h1>
                <p class="hint" role="status">{error.to_string()}</p>
                <p class="actions">
                    <button class="button button-quiet" type="button" on:click=move |_| person.reload()>"Try again"</button>
                </p>
            }
            .into_any(),
            (false, None) => view! {
                <h1 tabindex="-1">"Account"</h1>
                <p class="hint" role="status">"Loading the account…"</p>
            }
            .into_any(),
        }}
    }
}

#[component]
fn Sections(person: Person) -> impl IntoView {
    let had_focus = dom::view_has_focus();
    if had_focus {
        dom::focus_heading();
    }
    view! {
        <Head person />
        <div class="person">
            <div class="person-main">
                <Approval person />
                <Identity person />
                <Groups person />
                <Access person />
                <Sessions person />
                <AccessTokens person />
                <DeleteAccount person />
            </div>
            <History person />
        </div>
    }
}

/// The username with the email, the role and the state.
#[component]
fn Head(person: Person) -> impl IntoView {
    let username = Memo::new(move |_| person.username());
    let initial = move || username.get().chars().next().map(|first| first.to_uppercase().to_string());
    let disabled = move || {
        let state = person.account(|account| Some(account.state));
        let text = match state? {
            AccountState::Enabled => return None,
            AccountState::Disabled => view! { <span class="tag tag-wrong">"Disabled"</span> },
            AccountState::Pending => view! { <span class="tag tag-wrong">"Waits for approval"</span> },
        };
        Some(text)
    };
    let role = move || {
        let role = person.account(|account| account.role);
        role.map(|role| view! { <span class="tag tag-role">{role_name(role)}</span> })
    };
    let why = move || {
        match person.check(Act::Disable).err()? {
        AppError::OwnAccount => Some(view! {
            <p class="notice">"This is your own account. Change it in your " <a href=View::ACCOUNT.path()>"account view"</a> "."</p>
        }.into_any()),
        AppError::Forbidden => Some(view! { <p class="notice">"You can look at accounts, but not change them."</p> }.into_any()),
        error => Some(view! { <p class="notice">{error.to_string()}</p> }.into_any()),
    }
    };
    view! {
        <header class="account-who">
            <span class="initial" aria-hidden="true">{initial}</span>
            <div>
                <h1 tabindex="-1"><bdi translate="no">{username}</bdi></h1>
                <p class="hint" translate="no">
                    <bdi>{move || breakable(&person.account(|account| account.email.clone()))}</bdi>
                </p>
            </div>
            <p class="tags">{role} {disabled}</p>
        </header>
        {why}
    }
}

/// The heading's id.
const HISTORY: &str = "history-heading";

#[component]
fn History(person: Person) -> impl IntoView {
    let list = move || {
        // A change adds to the history.
        let _ = person.version();
        let fetch = move |before| account_history(person.id(), before);
        let first = List::load(move || {
            let first = fetch(String::new());
            Box::pin(async { first.await.map(|page| vec![page]) })
        });
        let view = move |pages: Vec<HistoryPage>| {
            let first = pages.into_iter().next();
            first.map(|first| view! { <HistoryLines first fetch=move |before| Box::pin(fetch(before)) /> })
        };
        loaded(first, "the history", HISTORY, view)
    };
    view! {
        <section class="person-history" aria-labelledby=HISTORY>
            <h2 id=HISTORY tabindex="-1">"History"</h2>
            {list}
        </section>
    }
}
