//! The account view.

mod data;
mod delete;
mod email;
mod frame;
mod history;
mod password;
mod sessions;
mod token_form;
mod tokens;
mod username;

use leptos::{either::EitherOf6, prelude::*};

pub use self::code::load;
use self::{
    data::Data,
    email::EmailRow,
    frame::{AccountHeader, Parts},
    history::History,
    password::PasswordRow,
    sessions::Sessions,
    tokens::AccessTokens,
    username::UsernameRow,
};
use crate::{
    browser::{dom, location::Address},
    components::{
        reauth_prompt::{ConfirmDialog, ReauthPrompt},
        rows::{self, Fact, OpenRow},
    },
    error::AppError,
    route::{Part, View},
    session::AuthState,
};

/// Loads the code of the account view after login. It is split from the code of the first visit.
#[cfg(feature = "split")]
mod code {
    #![expect(clippy::unnecessary_wraps, reason = "a fallible split function must return a `Result`")]

    use leptos::prelude::*;

    use super::{AccountSections, AppError};

    /// Draws the view, once the code is loaded.
    #[leptos::wasm_split::wasm_split(account, wasm_split_path = leptos::wasm_split, fallible)]
    pub fn load() -> Result<AnyView, AppError> {
        Ok(view! { <AccountSections /> }.into_any())
    }
}

/// Without code splitting, the account view is already loaded.
#[cfg(not(feature = "split"))]
mod code {
    use std::future::{Ready, ready};

    use leptos::prelude::*;

    use super::{AccountSections, AppError};

    /// Draws the view.
    pub fn load() -> Ready<Result<AnyView, AppError>> {
        ready(Ok(view! { <AccountSections /> }.into_any()))
    }
}

/// The style of the account view. It is loaded with the view's code, because a first visit doesn't need it.
const STYLE: &str = include_str!("../../style/account.css");

/// The frame with the current part.
#[component]
fn AccountSections() -> impl IntoView {
    let address = Address::current();
    let reauth = ReauthPrompt::idle();
    // The part does not change while another view replaces this one.
    let part = Memo::new(move |last: Option<&Part>| match (address.view(), last) {
        (View::Account(part), _) => part,
        (_, last) => last.copied().unwrap_or(Part::Profile),
    });
    view! {
        <style nonce=dom::nonce()>{rows::STYLE}{STYLE}</style>
        <div class="account">
            <AccountHeader />
            <Parts part />
            <div class="part">
                {move || match part.get() {
                    Part::Profile => EitherOf6::A(view! { <Profile reauth /> }),
                    Part::Security => EitherOf6::B(view! { <Security /> }),
                    Part::Sessions => EitherOf6::C(view! { <Sessions reauth /> }),
                    Part::Tokens => EitherOf6::D(view! { <AccessTokens reauth /> }),
                    Part::History => EitherOf6::E(view! { <History /> }),
                    Part::Data => EitherOf6::F(view! { <Data reauth /> }),
                }}
            </div>
        </div>
        <ConfirmDialog reauth />
    }
}

#[component]
fn Profile(reauth: ReauthPrompt) -> impl IntoView {
    let auth = AuthState::current();
    let rows = OpenRow::none();
    let since = move || auth.session().map(|session| dom::local_date(&session.account.created_at));
    view! {
        <h1 tabindex="-1">"Profile"</h1>
        <dl class="rows">
            <EmailRow rows reauth />
            <UsernameRow rows reauth />
            <Fact label="Member since">{since}</Fact>
        </dl>
    }
}

/// The security part. Each login method has a row or, if it has several entries, a list with a heading.
#[component]
fn Security() -> impl IntoView {
    let auth = AuthState::current();
    let rows = OpenRow::none();
    let previous = move || {
        let time = auth.session()?.previous_login_at;
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
