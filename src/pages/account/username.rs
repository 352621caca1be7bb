//! Changing one's username.

use std::rc::Rc;

use leptos::{ev::SubmitEvent, prelude::*};
use server_fn::codec::Json;

use super::row::{OpenRow, Row, RowButtons};
use crate::{
    components::{
        action_status::ActionStatus,
        field::TextField,
        form::{FormAlert, FormState},
        reauth_prompt::ReauthPrompt,
    },
    domain::account::Account,
    error::{AppError, Field},
    session::{AuthState, SessionClient},
};

/// Gives the account of whoever is logged in another username.
///
/// # Errors
/// [`AppError::ReauthRequired`], [`AppError::Invalid`], [`AppError::RateLimited`], [`AppError::SessionEnded`],
/// [`AppError::Unavailable`].
#[server(
    name = ChangeUsername, prefix = "/fn", endpoint = "change_username", input = Json, output = Json,
    client = SessionClient
)]
pub async fn change_username(
    /// The username from now on.
    username: String,
) -> Result<Account, AppError> {
    crate::http::context::PageContext::from_request()?.change_username(&username).await
}

/// The row's name.
const ROW: &str = "username";

/// The username, and the form for another.
#[component]
pub fn UsernameRow(
    /// Which row is open.
    rows: OpenRow,
    /// Asks for the password where it must.
    confirm: ReauthPrompt,
) -> impl IntoView {
    let session = AuthState::current();
    let outcome = ActionStatus::none();
    view! {
        <Row
            rows
            row=ROW
            label="Username"
            change="Change username"
            first="username-username"
            outcome
            form=move || view! { <UsernameForm rows confirm outcome /> }.into_any()
        >
            <p><bdi translate="no">{move || session.identity().map(|me| me.account.username)}</bdi></p>
        </Row>
    }
}

/// The form for another username.
#[component]
fn UsernameForm(rows: OpenRow, confirm: ReauthPrompt, outcome: ActionStatus) -> impl IntoView {
    let session = AuthState::current();
    let form = FormState::new("username");
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some([username]) = form.begin([Field::Username]) else { return };
        let act = Rc::new(move || {
            let username = username.clone();
            Box::pin(async move { change_username(username).await }) as _
        });
        confirm.form("change your username", form, act, move |account: Account| {
            outcome.end(Ok(["Your username is now ", &account.username, "."].concat()));
            session.set_account(account);
            rows.close(ROW);
        });
    };
    view! {
        <form class="form" method="post" novalidate on:submit=submit aria-busy=move || form.aria_busy()>
            <FormAlert form />
            <TextField
                form
                field=Field::Username
                label="New username"
                hint="3–32 characters: a–z, 0–9, dot, underscore, hyphen. Your old username becomes available to others."
                autocomplete="off"
                value=session.identity().map(|me| me.account.username).unwrap_or_default()
            />
            <RowButtons rows row=ROW form label="Change username" busy="Changing…" />
        </form>
    }
}
