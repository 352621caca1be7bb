//! The username row of the profile.

use leptos::{ev::SubmitEvent, prelude::*, task::spawn_local};

use crate::{
    components::{
        action_status::ActionStatus,
        field::TextField,
        form::{FormAlert, FormButtons, FormState},
        reauth_prompt::ReauthPrompt,
        rows::{OpenRow, Row},
    },
    domain::{account::Account, requests},
    error::{AppError, Field},
    json::{Json, JsonRequest},
    session::{AuthState, BearerTransport},
};

/// Changes the account's username.
#[server(
    name = ChangeUsername, prefix = "/fn", endpoint = "change_username", input = JsonRequest, output = Json,
    client = BearerTransport
)]
pub async fn change_username(
    /// The new username.
    request: requests::ChangeUsername,
) -> Result<Account, AppError> {
    use crate::{domain::requests::Parse, http::context::PageContext, service::Proven};

    let mut context = PageContext::from_request()?;
    let username = request.parse()?;
    let proven: Proven = context.extract().await?;
    Ok(context.service().change_username(&context.caller, &proven, &username).await?)
}

/// The row's identifier.
const ROW: &str = "username";

/// The row with the username and the form that changes it.
#[component]
pub fn UsernameRow(
    /// Which row is open in the part.
    rows: OpenRow,
    /// The prompt for the password.
    reauth: ReauthPrompt,
) -> impl IntoView {
    let auth = AuthState::current();
    let status = ActionStatus::none();
    view! {
        <Row
            rows
            row=ROW
            label="Username"
            change="Change username"
            first="username-username"
            status
            form=move || view! { <UsernameForm rows reauth status /> }.into_any()
        >
            <p><bdi translate="no">{move || auth.session().map(|session| session.account.username)}</bdi></p>
        </Row>
    }
}

/// The form that changes the username.
#[component]
fn UsernameForm(rows: OpenRow, reauth: ReauthPrompt, status: ActionStatus) -> impl IntoView {
    let auth = AuthState::current();
    let form = FormState::new("username");
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some([username]) = form.begin([Field::Username]) else { return };
        spawn_local(async move {
            let result = reauth
                .with_reauth("change your username", || {
                    change_username(requests::ChangeUsername { username: username.clone().into() })
                })
                .await;
            if let Some(account) = form.finish(result) {
                status.end(Ok(["Your username is now ", &account.username, "."].concat()));
                auth.set_account(account);
                rows.close(ROW);
            }
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
                value=auth.session().map(|session| session.account.username).unwrap_or_default()
            />
            <FormButtons form label="Change username" busy="Changing…" cancel=move || rows.close(ROW) />
        </form>
    }
}
