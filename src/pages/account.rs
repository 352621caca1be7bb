//! What one may do with one's own account.

mod email;
mod leave;
mod password;
mod sessions;
mod tokens;
mod username;

use leptos::prelude::*;

use self::{
    email::ChangeEmailForm, leave::Leave, password::ChangePassword, sessions::Sessions, tokens::AccessTokens,
    username::ChangeUsernameForm,
};
use super::login::LoginForm;
use crate::{
    components::{
        confirm::{Confirm, ConfirmDialog},
        dom,
        gate::gate,
        icon::Eyebrow,
        later::later,
    },
    domain::account::Identity,
    error::AppError,
    session::Session,
};

/// The view. A stranger logs in first.
#[component]
pub fn Account() -> impl IntoView {
    gate(
        || view! { <LoginForm lead="Log in to get to your account." /> },
        || later("Your account", || Box::pin(part::load())),
    )
}

/// What is behind the login is loaded by those who come so far.
#[cfg(feature = "split")]
mod part {
    #![expect(clippy::unnecessary_wraps, reason = "the form in which a failure to load can be told")]

    use leptos::prelude::*;

    use super::{AppError, Own};

    #[leptos::wasm_split::wasm_split(account, wasm_split_path = leptos::wasm_split, fallible)]
    pub fn load() -> Result<AnyView, AppError> {
        Ok(view! { <Own /> }.into_any())
    }
}

/// Where the page is in one piece, it is at hand.
#[cfg(not(feature = "split"))]
mod part {
    use std::future::{Ready, ready};

    use leptos::prelude::*;

    use super::{AppError, Own};

    pub fn load() -> Ready<Result<AnyView, AppError>> {
        ready(Ok(view! { <Own /> }.into_any()))
    }
}

#[component]
fn Own() -> impl IntoView {
    let session = Session::current();
    let confirm = Confirm::idle();
    // What one part does to the sessions, the other must know.
    let changed = Trigger::new();
    let of = move |part: fn(Identity) -> String| move || session.identity().map(part).unwrap_or_default();
    let last = |me: Identity| match me.previous_login_at {
        Some(time) => dom::local_time(&time),
        None => "This is the first".into(),
    };
    view! {
        <Eyebrow text="Your account" />
        <h1 tabindex="-1">{of(|me| me.account.username)}</h1>
        <dl class="facts">
            <dt>"Email"</dt>
            <dd>{of(|me| me.account.email)}</dd>
            <dt>"Member since"</dt>
            <dd>{of(|me| dom::local_date(&me.account.created_at))}</dd>
            <dt>"Login before this one"</dt>
            <dd>{of(last)}</dd>
        </dl>
        <p class="actions"><a class="button button-quiet" href="/logout">"Log out"</a></p>
        <ChangeEmailForm confirm />
        <ChangeUsernameForm confirm />
        <ChangePassword changed />
        <Sessions confirm changed />
        <AccessTokens confirm />
        <Leave confirm />
        <ConfirmDialog confirm />
    }
}
