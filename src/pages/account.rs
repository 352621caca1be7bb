//! What one may do with one's own account.

mod data;
mod delete;
mod email;
mod frame;
mod password;
mod row;
mod sessions;
mod token_form;
mod tokens;
mod username;

use leptos::{either::EitherOf5, prelude::*};

use self::{
    data::Data,
    email::EmailRow,
    frame::{Parts, Who},
    password::PasswordRow,
    row::{Fact, OpenRow},
    sessions::Sessions,
    tokens::AccessTokens,
    username::UsernameRow,
};
use super::login::LoginForm;
use crate::{
    browser::{dom, location::Address},
    components::{
        lazy_view::lazy_view,
        reauth_prompt::{ConfirmDialog, ReauthPrompt},
        signed_in_or::signed_in_or,
    },
    error::AppError,
    route::{Part, View},
    session::AuthState,
};

/// The view. A stranger logs in first.
#[component]
pub fn Account() -> impl IntoView {
    signed_in_or(
        || view! { <LoginForm lead="Log in to get to your account." /> },
        || lazy_view("Your account", || Box::pin(code::load())),
    )
}

/// What is behind the login is loaded by those who come so far.
#[cfg(feature = "split")]
mod code {
    #![expect(clippy::unnecessary_wraps, reason = "the form in which a failure to load can be told")]

    use leptos::prelude::*;

    use super::{AccountSections, AppError};

    #[leptos::wasm_split::wasm_split(account, wasm_split_path = leptos::wasm_split, fallible)]
    pub fn load() -> Result<AnyView, AppError> {
        Ok(view! { <AccountSections /> }.into_any())
    }
}

/// Where the page is in one piece, it is at hand.
#[cfg(not(feature = "split"))]
mod code {
    use std::future::{Ready, ready};

    use leptos::prelude::*;

    use super::{AccountSections, AppError};

    pub fn load() -> Ready<Result<AnyView, AppError>> {
        ready(Ok(view! { <AccountSections /> }.into_any()))
    }
}

/// Comes with the code, for a first visit needs neither.
const STYLE: &str = include_str!("../../style/account.css");

/// The frame, and in it the part that the address names.
#[component]
fn AccountSections() -> impl IntoView {
    let address = Address::current();
    let confirm = ReauthPrompt::idle();
    // While another view takes the place of this one, the part stays.
    let part = Memo::new(move |last: Option<&Part>| match (address.view(), last) {
        (View::Account(part), _) => part,
        (_, last) => last.copied().unwrap_or(Part::Profile),
    });
    view! {
        <style nonce=dom::nonce()>{STYLE}</style>
        <div class="account">
            <Who />
            <Parts part />
            <div class="part">
                {move || match part.get() {
                    Part::Profile => EitherOf5::A(view! { <Profile confirm /> }),
                    Part::Security => EitherOf5::B(view! { <Security /> }),
                    Part::Sessions => EitherOf5::C(view! { <Sessions confirm /> }),
                    Part::Tokens => EitherOf5::D(view! { <AccessTokens confirm /> }),
                    Part::Data => EitherOf5::E(view! { <Data confirm /> }),
                }}
            </div>
        </div>
        <ConfirmDialog confirm />
    }
}

#[component]
fn Profile(confirm: ReauthPrompt) -> impl IntoView {
    let session = AuthState::current();
    let rows = OpenRow::none();
    let since = move || session.identity().map(|me| dom::local_date(&me.account.created_at));
    view! {
        <h1 tabindex="-1">"Profile"</h1>
        <dl class="rows">
            <EmailRow rows confirm />
            <UsernameRow rows confirm />
            <Fact label="Member since">{since}</Fact>
        </dl>
    }
}

/// Each way to log in has a row of its own, or a list of them with a heading.
#[component]
fn Security() -> impl IntoView {
    let session = AuthState::current();
    let rows = OpenRow::none();
    let previous = move || {
        let time = session.identity()?.previous_login_at;
        Some(time.map_or_else(|| "This is your first login".into(), |time| dom::local_time(&time)))
    };
    view! {
        <h1 tabindex="-1">"Security"</h1>
        <dl class="rows">
            <PasswordRow rows />
            <Fact label="Previous login">
                {previous} <p class="hint"><a href=Part::Sessions.path()>"See where you're logged in"</a></p>
            </Fact>
        </dl>
    }
}
