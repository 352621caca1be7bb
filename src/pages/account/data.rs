//! The export of the account data, and the deletion of the account.

use leptos::{prelude::*, task::spawn_local};

use super::delete::DeleteAccount;
use crate::{
    browser::dom,
    components::{
        action_status::{ActionStatus, ActionStatusLine},
        reauth_prompt::ReauthPrompt,
    },
    error::AppError,
    json::Json,
    session::BearerTransport,
};

/// Everything that is stored about the account, as JSON.
#[server(name = TakeAlong, prefix = "/fn", endpoint = "export", input = Json, output = Json, client = BearerTransport)]
pub async fn export() -> Result<String, AppError> {
    use crate::{http::context::PageContext, service::Proven};

    let mut context = PageContext::from_request()?;
    let proven: Proven = context.extract().await?;
    let export = Box::pin(context.service().export(&context.caller, &proven)).await?;
    serde_json::to_string_pretty(&export).map_err(|_| AppError::Internal)
}

/// The part with the export and the deletion.
#[component]
pub fn Data(
    /// The prompt for the password.
    reauth: ReauthPrompt,
) -> impl IntoView {
    let status = ActionStatus::none();
    let download = move |_| {
        status.begin("Gathering your data…");
        spawn_local(async move {
            let result = reauth.with_reauth("download your data", export).await;
            status.end(result.map(|json| {
                dom::download("account.json", "application/json", &json);
                "Your data is in the file account.json.".to_owned()
            }));
        });
    };
    view! {
        <h1 tabindex="-1">"Data"</h1>
        <section class="rows" aria-labelledby="download-heading">
            <div class="row row-act">
                <div class="row-value">
                    <h2 id="download-heading">"Your data"</h2>
                    <p class="hint">"Everything that is stored about you, as one JSON file."</p>
                </div>
                <button class="button button-quiet button-small" type="button" on:click=download>
                    "Download your data"
                </button>
                <div class="row-outcome"><ActionStatusLine status /></div>
            </div>
        </section>
        <DeleteAccount reauth />
    }
}
