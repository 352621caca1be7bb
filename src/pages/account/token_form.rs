//! Making a personal access token, which is shown once.

use std::rc::Rc;

use leptos::{ev::SubmitEvent, prelude::*};
use server_fn::codec::Json;

use super::row::{OpenRow, RowButtons, button_id};
use crate::{
    browser::dom,
    components::{
        copy::Copyable,
        field::{SelectField, TextField},
        form::{FormAlert, FormState},
        reauth_prompt::ReauthPrompt,
    },
    error::{AppError, Field},
    session::SessionClient,
};

/// Makes a personal access token for whoever is logged in. Returns it, this once.
///
/// # Errors
/// [`AppError::ReauthRequired`], [`AppError::Invalid`], [`AppError::RateLimited`], [`AppError::SessionEnded`],
/// [`AppError::Unavailable`].
#[server(
    name = IssueAccessToken, prefix = "/fn", endpoint = "issue_access_token", input = Json, output = Json,
    client = SessionClient
)]
pub async fn issue_access_token(
    /// What it is called.
    name: String,
    /// What it may do: `read` or `full`.
    scope: String,
    /// How many days it lasts.
    days: String,
) -> Result<String, AppError> {
    crate::http::context::PageContext::from_request()?
        .issue_access_token(&name, &scope, days.parse().unwrap_or(0))
        .await
}

/// The row's name.
const ROW: &str = "token";

/// The button, in whose place the form comes, and then the token that was made. It stands there until it is put away or the
/// part is left: it is shown nowhere else.
#[component]
pub fn NewToken<F: Fn() + Copy + Send + Sync + 'static>(
    /// Asks for the password where it must.
    confirm: ReauthPrompt,
    /// The token that was made.
    made: RwSignal<Option<String>>,
    /// Loads the list again.
    reload: F,
) -> impl IntoView {
    let rows = OpenRow::none();
    let open = Memo::new(move |_| rows.is_open(ROW));
    let begin = move |_| {
        made.set(None);
        rows.open(ROW, "token-name");
    };
    let button = move || {
        (!open.get()).then(|| {
            view! {
                <button id=button_id(ROW) class="button button-quiet button-small" type="button" on:click=begin>
                    "New token"
                </button>
            }
        })
    };
    view! {
        <div class="new-token">
            {move || made.get().map(|token| view! { <Made token made /> })}
            {button}
            {move || open.get().then(|| view! { <TokenForm confirm rows made reload /> })}
        </div>
    }
}

#[component]
fn TokenForm<F: Fn() + Copy + 'static>(
    confirm: ReauthPrompt,
    rows: OpenRow,
    made: RwSignal<Option<String>>,
    reload: F,
) -> impl IntoView {
    let form = FormState::new("token");
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some(fields) = form.begin([Field::Name, Field::TokenScope, Field::Days]) else { return };
        let act = Rc::new(move || {
            let [name, scope, days] = fields.clone();
            Box::pin(async move { issue_access_token(name, scope, days).await }) as _
        });
        confirm.form("create an access token", form, act, move |token: String| {
            rows.close(ROW);
            if made.try_set(Some(token)).is_none() {
                dom::focus_id(MADE.into());
            }
            reload();
        });
    };
    view! {
        <form class="form panel" method="post" novalidate on:submit=submit aria-busy=move || form.aria_busy()>
            <h2>"New token"</h2>
            <FormAlert form />
            <TextField
                form
                field=Field::Name
                label="Name"
                hint="Which script is it for?"
                autocomplete="off"
                value=String::new()
            />
            <SelectField
                form
                field=Field::TokenScope
                label="Permissions"
                options=&[("read", "Read only"), ("full", "Read and change")]
            />
            <SelectField
                form
                field=Field::Days
                label="Expires"
                options=&[("30", "In 30 days"), ("7", "In 7 days"), ("90", "In 90 days"), ("365", "In a year")]
            />
            <RowButtons rows row=ROW form label="Create token" busy="Creating…" />
        </form>
    }
}

/// The id of the heading above a new token.
const MADE: &str = "new-token-heading";

/// The token that was made, and how it is used.
#[component]
fn Made(token: String, made: RwSignal<Option<String>>) -> impl IntoView {
    let origin = location().origin().unwrap_or_default();
    let example = ["curl -H \"Authorization: Bearer ", &token, "\" ", &origin, "/api/accounts/me/"].concat();
    let put_away = move |_| {
        made.set(None);
        dom::focus_id(button_id(ROW));
    };
    view! {
        <section class="panel made" aria-labelledby=MADE>
            <h2 id=MADE tabindex="-1">"Your new token"</h2>
            <p>"Copy it now. You won't see it again."</p>
            <Copyable id="new-token" name="Copy the token" text=token />
            <p>"Use it like this:"</p>
            <Copyable id="new-token-example" name="Copy the example" text=example />
            <button class="button button-quiet button-small" type="button" on:click=put_away>"Done"</button>
        </section>
    }
}
