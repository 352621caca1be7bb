//! The deletion of the account.

use leptos::{ev::SubmitEvent, html, prelude::*, task::spawn_local};

use crate::{
    components::{
        dialog::{Dialog, close},
        field::TextField,
        form::{FormAlert, FormButtons, FormState},
        reauth_prompt::ReauthPrompt,
    },
    domain::requests,
    error::{AppError, Field},
    json::{Json, JsonRequest},
    session::{AuthState, BearerTransport},
};

/// Deletes the account and all its data.
#[server(
    name = Delete, prefix = "/fn", endpoint = "delete_account", input = JsonRequest, output = Json,
    client = BearerTransport
)]
pub async fn delete_account(
    /// The account's username, which prevents a deletion by mistake.
    request: requests::DeleteAccount,
) -> Result<(), AppError> {
    use crate::{domain::requests::Parse, http::context::PageContext, service::Proven};

    let mut context = PageContext::from_request()?;
    let proven: Proven = context.extract().await?;
    context.service().delete_account(&context.caller, &proven, &request.parse()?).await?;
    context.clear_storage();
    Ok(())
}

/// The delete button and its dialog.
#[component]
pub fn DeleteAccount(
    /// The prompt for the password.
    reauth: ReauthPrompt,
) -> impl IntoView {
    let asked = RwSignal::new(false);
    view! {
        <section class="rows rows-danger" aria-labelledby="delete-heading">
            <div class="row row-act">
                <div class="row-value">
                    <h2 id="delete-heading">"Delete account"</h2>
                    <p class="hint">"This deletes your account and all its data immediately. It can't be undone."</p>
                </div>
                <button
                    class="button button-quiet button-small button-delete"
                    type="button"
                    on:click=move |_| asked.set(true)
                >
                    "Delete account"
                </button>
            </div>
        </section>
        {move || asked.get().then(|| view! { <DeleteDialog reauth asked /> })}
    }
}

/// The dialog. It asks for the username as a confirmation.
#[component]
fn DeleteDialog(reauth: ReauthPrompt, asked: RwSignal<bool>) -> impl IntoView {
    let auth = AuthState::current();
    let form = FormState::new("delete");
    let dialog = NodeRef::<html::Dialog>::new();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some([typed]) = form.begin([Field::Username]) else { return };
        spawn_local(async move {
            let result = reauth
                .with_reauth("delete your account", || {
                    delete_account(requests::DeleteAccount { username: typed.clone().into() })
                })
                .await;
            if form.finish(result).is_some() {
                auth.account_deleted();
            }
        });
    };
    let username = auth.session().map(|session| session.account.username).unwrap_or_default();
    let label = view! { "Type \"" <bdi translate="no">{username}</bdi> "\" to confirm" };
    view! {
        <Dialog dialog heading="delete-dialog-heading" title="Delete your account?" closed=move || asked.set(false)>
            <p>"This deletes your account and all its data immediately. It can't be undone."</p>
            <form class="form form-danger" method="post" novalidate on:submit=submit aria-busy=move || form.aria_busy()>
                <FormAlert form />
                <TextField form field=Field::Username label hint="" autocomplete="off" value=String::new() />
                <FormButtons form label="Delete my account" busy="Deleting…" cancel=move || close(dialog) />
            </form>
        </Dialog>
    }
}
