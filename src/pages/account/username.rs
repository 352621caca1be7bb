//! Changing one's username.

use std::rc::Rc;

use leptos::{ev::SubmitEvent, prelude::*};
use server_fn::codec::Json;

use crate::{
    components::{
        confirm::Confirm,
        field::TextField,
        form::{FormAlert, FormState, SubmitButton},
        outcome::{Outcome, OutcomeLine},
    },
    domain::account::Account,
    error::{AppError, Field},
    session::{Session, SessionClient},
};

/// Gives the account of whoever is logged in another username.
///
/// # Errors
/// [`AppError::ReauthRequired`], [`AppError::Invalid`], [`AppError::Throttled`], [`AppError::SessionEnded`],
/// [`AppError::Unavailable`].
#[server(
    name = ChangeUsername, prefix = "/fn", endpoint = "change_username", input = Json, output = Json,
    client = SessionClient
)]
pub async fn change_username(
    /// The username from now on.
    username: String,
) -> Result<Account, AppError> {
    crate::server::door::Door::open()?.change_username(&username).await
}

/// The form.
#[component]
pub fn ChangeUsernameForm(
    /// Asks for the password where it must.
    confirm: Confirm,
) -> impl IntoView {
    let session = Session::current();
    let form = FormState::new("username");
    let outcome = Outcome::none();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some([username]) = form.begin([Field::Username]) else { return };
        outcome.hush();
        let act = Rc::new(move || {
            let username = username.clone();
            Box::pin(async move { change_username(username).await }) as _
        });
        confirm.form("change your username", form, act, move |account: Account| {
            outcome.end(Ok(["You are called ", &account.username, " from now on."].concat()));
            session.set_account(account);
        });
    };
    view! {
        <section aria-labelledby="username-heading">
            <h2 id="username-heading">"Username"</h2>
            <OutcomeLine outcome />
            <form class="form" method="post" novalidate on:submit=submit aria-busy=move || form.aria_busy()>
                <FormAlert form />
                <TextField
                    form
                    field=Field::Username
                    label="New username"
                    hint="3 to 32 letters, digits, dots, underscores or hyphens. The one before is free for others then."
                    autocomplete="off"
                    value=session.identity().map(|me| me.account.username).unwrap_or_default()
                />
                <SubmitButton form label="Change username" busy="Changing…" />
            </form>
        </section>
    }
}
