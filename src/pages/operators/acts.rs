//! What changes the whole account: disabling it, a link to a new password, and the deletion.

use leptos::{either::Either, ev::SubmitEvent, html, prelude::*, task::spawn_local};

use super::person::{Pending, Person};
use crate::{
    browser::settings,
    components::{
        action_status::{ActionStatus, ActionStatusLine},
        confirm_button::ConfirmButton,
        dialog::{Dialog, close},
        field::TextField,
        form::{FormAlert, FormButtons, FormState},
    },
    domain::{act::Act, directory::AccountState, requests::PlainAct},
    error::{AppError, Field},
    json::Json,
    route::View,
    session::{AuthState, BearerTransport, Notice},
};

/// Does something with an account that needs nothing else.
#[server(
    name = ActOnAccount, prefix = "/fn", endpoint = "act_on_account", input = Json, output = Json,
    client = BearerTransport
)]
pub async fn act_on_account(
    /// The account's identifier.
    id: String,
    /// What to do.
    act: PlainAct,
) -> Result<(), AppError> {
    use crate::{http::context::PageContext, service::ProvenOperator};

    let mut context = PageContext::from_request()?;
    let operator: ProvenOperator = context.extract().await?;
    let (service, caller) = (context.service(), &context.caller);
    match act {
        PlainAct::Disable => service.disable_account(caller, &operator, &id).await.map(drop),
        PlainAct::Enable => service.enable_account(caller, &operator, &id).await,
        PlainAct::Approve => service.approve_account(caller, &operator, &id).await,
        PlainAct::EndSessions => service.end_sessions_of(caller, &operator, &id).await.map(drop),
        PlainAct::RevokeTokens => service.revoke_tokens_of(caller, &operator, &id).await.map(drop),
        PlainAct::MailPasswordLink => service.mail_password_link(caller, &operator, &id).await,
    }?;
    Ok(())
}

/// Deletes an account and all its data, for an admin.
#[server(
    name = DeleteAccountOf, prefix = "/fn", endpoint = "delete_account_of", input = Json, output = Json,
    client = BearerTransport
)]
pub async fn delete_account_of(
    /// The account's identifier.
    id: String,
    /// Its username, which prevents a deletion by mistake.
    username: String,
) -> Result<(), AppError> {
    use crate::{http::context::PageContext, service::ProvenOperator};

    let mut context = PageContext::from_request()?;
    let operator: ProvenOperator = context.extract().await?;
    Ok(context.service().delete_account_of(&context.caller, &operator, &id, &username).await?)
}

/// The heading's id.
const HEADING: &str = "access-heading";

/// The section that decides whether and how the owner can log in.
#[component]
pub fn Access(
    /// The account.
    person: Person,
) -> impl IntoView {
    let status = ActionStatus::none();
    let is_disabled = Memo::new(move |_| person.account(|account| Some(account.state)) == Some(AccountState::Disabled));
    let act = move |act: PlainAct, what: &'static str, done: &'static str| {
        let call = move || -> Pending { Box::pin(act_on_account(person.id(), act)) };
        person.act(status, what, HEADING, done.to_owned(), call);
    };
    let disable = move || act(PlainAct::Disable, "disable the account", "The account is disabled.");
    let enable = move |_| act(PlainAct::Enable, "enable the account", "The account is enabled.");
    let mail = move |_| act(PlainAct::MailPasswordLink, "mail the link", "The email will be sent.");
    let login = move || {
        if is_disabled.get() {
            Either::Left(view! {
                <div class="row-value">
                    <h3>"Enable account"</h3>
                    <p class="hint">"The owner can log in again. Failed logins are forgotten."</p>
                </div>
                <button class="button button-quiet button-small" type="button" on:click=enable>"Enable"</button>
            })
        } else {
            Either::Right(view! {
                <div class="row-value">
                    <h3>"Disable account"</h3>
                    <p class="hint">"Ends all sessions and revokes all access tokens. Nobody can log in until you enable it."</p>
                </div>
                <ConfirmButton label="Disable" name="Disable" question="Disable this account?" action=disable />
            })
        }
    };
    let sends_mail = settings::MAIL.get() != "off";
    let link = move || {
        (sends_mail && !is_disabled.get() && person.may(Act::MailPasswordLink)).then(|| {
            view! {
                <div class="row row-act">
                    <div class="row-value">
                        <h3>"New password"</h3>
                        <p class="hint">"Mails the owner a link that sets a new password. The old one works until then."</p>
                    </div>
                    <button class="button button-quiet button-small" type="button" on:click=mail>"Mail a link"</button>
                </div>
            }
        })
    };
    let may = Memo::new(move |_| person.may(Act::Disable));
    move || {
        may.get().then(|| {
            view! {
                <section aria-labelledby=HEADING>
                    <h2 id=HEADING tabindex="-1">"Login"</h2>
                    <ActionStatusLine status />
                    <div class="rows">
                        <div class="row row-act">{login}</div>
                        {link}
                    </div>
                </section>
            }
        })
    }
}

/// The section with the deletion.
#[component]
pub fn DeleteAccount(
    /// The account.
    person: Person,
) -> impl IntoView {
    let asked = RwSignal::new(false);
    let may = Memo::new(move |_| person.may(Act::Delete));
    move || {
        may.get().then(|| {
            view! {
                <section class="rows rows-danger" aria-labelledby="delete-heading">
                    <div class="row row-act">
                        <div class="row-value">
                            <h2 id="delete-heading">"Delete account"</h2>
                            <p class="hint">"This deletes the account and all its data immediately. It can't be undone."</p>
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
                {move || asked.get().then(|| view! { <DeleteDialog person asked /> })}
            }
        })
    }
}

/// The dialog. It asks for the username as a confirmation.
#[component]
fn DeleteDialog(person: Person, asked: RwSignal<bool>) -> impl IntoView {
    let auth = AuthState::current();
    let form = FormState::new("delete");
    let dialog = NodeRef::<html::Dialog>::new();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some([typed]) = form.begin([Field::Username]) else { return };
        spawn_local(async move {
            let change = || -> Pending { Box::pin(delete_account_of(person.id(), typed.clone())) };
            let result = person.change("delete the account", change).await;
            if form.finish(result).is_some() {
                auth.announce(View::Operators, Notice::Done("The account was deleted."));
                if let Some(list) = person.address.list() {
                    person.address.go(&list);
                }
            }
        });
    };
    let label = view! { "Type \"" <bdi translate="no">{person.username()}</bdi> "\" to confirm" };
    view! {
        <Dialog dialog heading="delete-dialog-heading" title="Delete this account?" closed=move || asked.set(false)>
            <p>"This deletes the account and all its data immediately. It can't be undone."</p>
            <form class="form form-danger" method="post" novalidate on:submit=submit aria-busy=move || form.aria_busy()>
                <FormAlert form />
                <TextField form field=Field::Username label hint="" autocomplete="off" value=String::new() />
                <FormButtons form label="Delete account" busy="Deleting…" cancel=move || close(dialog) />
            </form>
        </Dialog>
    }
}
