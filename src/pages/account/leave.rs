//! Taking one's data along, and leaving.

use std::rc::Rc;

use leptos::{ev::SubmitEvent, prelude::*};
use server_fn::codec::Json;

use crate::{
    components::{
        confirm::Confirm,
        dom,
        field::TextField,
        form::{FormAlert, FormState, SubmitButton},
        outcome::{Outcome, OutcomeLine},
    },
    error::{AppError, Field},
    session::{Session, SessionClient},
};

/// Everything that is kept about whoever is logged in, as JSON.
///
/// # Errors
/// [`AppError::ReauthRequired`], [`AppError::SessionEnded`], [`AppError::Unavailable`].
#[server(name = TakeAlong, prefix = "/fn", endpoint = "export", input = Json, output = Json, client = SessionClient)]
pub async fn export() -> Result<String, AppError> {
    let export = crate::server::door::Door::open()?.export().await?;
    serde_json::to_string_pretty(&export).map_err(|_| AppError::Internal)
}

/// Removes the account of whoever is logged in, with everything that is kept about them.
///
/// # Errors
/// [`AppError::ReauthRequired`], [`AppError::Invalid`], [`AppError::SessionEnded`], [`AppError::Unavailable`].
#[server(
    name = DeleteAccount, prefix = "/fn", endpoint = "delete_account", input = Json, output = Json,
    client = SessionClient
)]
pub async fn delete_account(
    /// Their username, so that nobody does it by mistake.
    username: String,
) -> Result<(), AppError> {
    crate::server::door::Door::open()?.delete_account(&username).await
}

/// Both.
#[component]
pub fn Leave(
    /// Asks for the password where it must.
    confirm: Confirm,
) -> impl IntoView {
    view! {
        <Download confirm />
        <Delete confirm />
    }
}

#[component]
fn Download(confirm: Confirm) -> impl IntoView {
    let outcome = Outcome::none();
    let download = move |_| {
        outcome.begin("Gathering…");
        let act = Rc::new(|| {
            Box::pin(async {
                dom::download("account.json", "application/json", &export().await?);
                Ok("Your data is in the file account.json.".to_owned())
            }) as _
        });
        confirm.with_proof("download your data", act, Rc::new(move |answer| outcome.end(answer)));
    };
    view! {
        <section aria-labelledby="data-heading">
            <h2 id="data-heading">"Your data"</h2>
            <p class="hint">"Everything that is kept about you, as one JSON file."</p>
            <OutcomeLine outcome />
            <p class="actions">
                <button class="button button-quiet" type="button" on:click=download>"Download your data"</button>
            </p>
        </section>
    }
}

#[component]
fn Delete(confirm: Confirm) -> impl IntoView {
    let session = Session::current();
    let form = FormState::new("delete");
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some([typed]) = form.begin([Field::Username]) else { return };
        let act = Rc::new(move || {
            let typed = typed.clone();
            Box::pin(async move { delete_account(typed).await }) as _
        });
        confirm.form("delete your account", form, act, move |()| session.leave());
    };
    view! {
        <section aria-labelledby="delete-heading">
            <h2 id="delete-heading">"Delete your account"</h2>
            <p class="hint">
                "Your account, its sessions and everything kept about you are gone at once. Nobody can bring them back."
            </p>
            <form class="form form-danger" method="post" novalidate on:submit=submit aria-busy=move || form.aria_busy()>
                <FormAlert form />
                <TextField
                    form
                    field=Field::Username
                    label="Type your username to make sure"
                    hint=""
                    autocomplete="off"
                    value=String::new()
                />
                <SubmitButton form label="Delete my account" busy="Deleting…" />
            </form>
        </section>
    }
}
