//! The decision about an account that waits for approval.

use leptos::{prelude::*, task::spawn_local};

use super::{
    acts::act_on_account,
    identity,
    person::{Pending, Person},
};
use crate::{
    browser::{dom, settings},
    components::{
        action_status::{ActionStatus, ActionStatusLine},
        confirm_button::ConfirmButton,
    },
    domain::{act::Act, directory::AccountState, requests::PlainAct},
    error::AppError,
    json::Json,
    route::View,
    session::{AuthState, BearerTransport, Notice},
};

/// Declines and deletes an account that waits for approval.
#[server(
    name = DeclineAccount, prefix = "/fn", endpoint = "decline_account", input = Json, output = Json,
    client = BearerTransport
)]
pub async fn decline_account(
    /// The account's identifier.
    id: String,
    /// Whether to notify its email.
    notify: bool,
) -> Result<(), AppError> {
    use crate::{http::context::PageContext, service::ProvenOperator};

    let mut context = PageContext::from_request()?;
    let operator: ProvenOperator = context.extract().await?;
    Ok(context.service().decline_account(&context.caller, &operator, &id, notify).await?)
}

/// The id of the checkbox.
const NOTIFY: &str = "decline-notify";

/// The section with the decision, as long as the account waits for it.
#[component]
pub fn Approval(
    /// The account.
    person: Person,
) -> impl IntoView {
    let auth = AuthState::current();
    let status = ActionStatus::none();
    let waits = Memo::new(move |_| {
        person.account(|account| Some(account.state)) == Some(AccountState::Pending) && person.may(Act::Approve)
    });
    let approve = move |_| {
        let call = move || -> Pending { Box::pin(act_on_account(person.id(), PlainAct::Approve)) };
        // This section disappears.
        person.act(status, "approve the account", identity::HEADING, "The account is approved.".to_owned(), call);
    };
    let decline = move || {
        let notify = dom::is_checked(NOTIFY);
        status.begin("Declining it…");
        spawn_local(async move {
            let change = || -> Pending { Box::pin(decline_account(person.id(), notify)) };
            match person.change("decline the account", change).await {
                Ok(()) => {
                    auth.announce(View::Operators, Notice::Done("The account was declined and deleted."));
                    if let Some(list) = person.address.list() {
                        person.address.go(&list);
                    }
                }
                Err(error) => {
                    let is_outdated = error == AppError::NotPending;
                    status.end(Err(error));
                    if is_outdated {
                        person.reload();
                    }
                }
            }
        });
    };
    let sends_mail = settings::MAIL.get() != "off";
    let section = move || {
        waits.get().then(|| {
            view! {
                <section aria-labelledby="approval-heading">
                    <h2 id="approval-heading">"Approval"</h2>
                    <div class="rows">
                        <div class="row row-act">
                            <div class="row-value">
                                <h3>"Approve account"</h3>
                                <p class="hint">
                                    {if sends_mail { "The owner can log in, and gets an email." } else { "The owner can log in." }}
                                </p>
                            </div>
                            <button class="button button-small" type="button" on:click=approve>"Approve"</button>
                        </div>
                        <div class="row row-act">
                            <div class="row-value">
                                <h3>"Decline account"</h3>
                                <p class="hint">"This deletes the account immediately. It can't be undone."</p>
                                {sends_mail
                                    .then(|| view! {
                                        <label class="check">
                                            <input id=NOTIFY type="checkbox" autocomplete="off" />
                                            "Notify the owner by email"
                                        </label>
                                    })}
                            </div>
                            <ConfirmButton label="Decline" name="Decline" question="Delete this account?" action=decline />
                        </div>
                    </div>
                </section>
            }
        })
    };
    view! {
        <ActionStatusLine status />
        {section}
    }
}
