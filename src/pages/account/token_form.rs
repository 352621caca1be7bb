//! The form that creates a personal access token. The token is shown once.

use leptos::{ev::SubmitEvent, prelude::*, task::spawn_local};

use crate::{
    browser::dom,
    components::{
        copy::Copyable,
        field::{SelectField, TextField},
        form::{FormAlert, FormButtons, FormState},
        loaded::List,
        reauth_prompt::ReauthPrompt,
        rows::{OpenRow, button_id},
    },
    domain::{account::AccessTokenLine, requests},
    error::{AppError, Field},
    json::{Json, JsonRequest},
    session::BearerTransport,
};

/// Creates a personal access token for the account. The token is returned only this once.
#[server(
    name = IssueAccessToken, prefix = "/fn", endpoint = "issue_access_token", input = JsonRequest, output = Json,
    client = BearerTransport
)]
pub async fn issue_access_token(
    /// The token's name, permissions and lifetime.
    request: requests::NewAccessToken,
) -> Result<String, AppError> {
    use crate::{domain::requests::Parse, http::context::PageContext, service::Proven};

    let mut context = PageContext::from_request()?;
    let request = request.parse()?;
    let proven: Proven = context.extract().await?;
    let created = context.service().issue_access_token(&context.caller, &proven, request).await?;
    Ok(created.token.expose().to_owned())
}

/// The row's identifier.
const ROW: &str = "token";

/// The "New token" button, which the form replaces. The new token is then shown until the user dismisses it or opens
/// another part. It is shown nowhere else.
#[component]
pub fn NewTokenSection(
    /// The prompt for the password.
    reauth: ReauthPrompt,
    /// The new token while it is shown.
    new_token: RwSignal<Option<String>>,
    /// The list below, which is loaded again when there is a new token.
    list: List<AccessTokenLine>,
) -> impl IntoView {
    let rows = OpenRow::none();
    let open = Memo::new(move |_| rows.is_open(ROW));
    let begin = move |_| {
        new_token.set(None);
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
            {move || new_token.get().map(|token| view! { <NewTokenPanel token new_token /> })}
            {button}
            {move || open.get().then(|| view! { <TokenForm reauth rows new_token list /> })}
        </div>
    }
}

#[component]
fn TokenForm(
    reauth: ReauthPrompt,
    rows: OpenRow,
    new_token: RwSignal<Option<String>>,
    list: List<AccessTokenLine>,
) -> impl IntoView {
    let form = FormState::new("token");
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some([name, scope, days]) = form.begin([Field::Name, Field::TokenScope, Field::Days]) else { return };
        spawn_local(async move {
            let days = days.parse::<i64>().ok().into();
            let request = requests::NewAccessToken { name: name.into(), scope: scope.into(), days };
            let issue = || issue_access_token(request.clone());
            let result = reauth.with_reauth("create an access token", issue).await;
            if let Some(token) = form.finish(result) {
                rows.close(ROW);
                if new_token.try_set(Some(token)).is_none() {
                    dom::focus_id(PANEL_HEADING.into());
                }
                list.reload();
            }
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
            <FormButtons form label="Create token" busy="Creating…" cancel=move || rows.close(ROW) />
        </form>
    }
}

/// The id of the heading above a new token.
const PANEL_HEADING: &str = "new-token-heading";

/// The panel with the new token and an example of its use.
#[component]
fn NewTokenPanel(token: String, new_token: RwSignal<Option<String>>) -> impl IntoView {
    let origin = location().origin().unwrap_or_default();
    let example = ["curl -H \"Authorization: Bearer ", &token, "\" ", &origin, "/api/accounts/me/"].concat();
    let dismiss = move |_| {
        new_token.set(None);
        dom::focus_id(button_id(ROW));
    };
    view! {
        <section class="panel made" aria-labelledby=PANEL_HEADING>
            <h2 id=PANEL_HEADING tabindex="-1">"Your new token"</h2>
            <p>"Copy it now. You won't see it again."</p>
            <Copyable id="new-token" name="Copy the token" text=token />
            <p>"Use it like this:"</p>
            <Copyable id="new-token-example" name="Copy the example" text=example />
            <button class="button button-quiet button-small" type="button" on:click=dismiss>"Done"</button>
        </section>
    }
}
