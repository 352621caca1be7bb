//! The email row of the profile, which confirms and changes the email.

use leptos::{either::Either, ev::SubmitEvent, prelude::*, task::spawn_local};

use crate::{
    browser::{dom, settings},
    components::{
        action_status::{ActionStatus, ActionStatusLine},
        breakable::breakable,
        field::TextField,
        form::{FormAlert, FormButtons, FormState},
        loaded::List,
        reauth_prompt::ReauthPrompt,
        rows::{Fact, OpenRow, Row, button_id},
    },
    domain::{account::PendingEmailChange, requests},
    error::{AppError, Field},
    json::{Json, JsonRequest},
    session::{AuthState, BearerTransport},
};

/// Sends the mail that confirms the account's email again.
#[server(
    name = ResendVerification, prefix = "/fn", endpoint = "resend_verification", input = Json, output = Json,
    client = BearerTransport
)]
pub async fn resend_verification() -> Result<(), AppError> {
    use crate::{http::context::PageContext, service::Writer};

    let mut context = PageContext::from_request()?;
    let writer: Writer = context.extract().await?;
    Ok(context.service().resend_verification(&context.caller, &writer).await?)
}

/// Sends a link to the new email. The email changes when it is confirmed with the link and the password.
#[server(
    name = ChangeEmail, prefix = "/fn", endpoint = "change_email", input = JsonRequest, output = Json,
    client = BearerTransport
)]
pub async fn change_email(
    /// The new email.
    request: requests::ChangeEmail,
) -> Result<(), AppError> {
    use crate::{domain::requests::Parse, http::context::PageContext, service::Proven};

    let mut context = PageContext::from_request()?;
    let email = request.parse()?;
    let proven: Proven = context.extract().await?;
    Ok(context.service().change_email(&context.caller, &proven, &email).await?)
}

/// Returns the requested change of the email that is not confirmed yet.
#[server(
    name = OwnEmailChange, prefix = "/fn", endpoint = "email_change", input = Json, output = Json,
    client = BearerTransport
)]
pub async fn pending_email_change() -> Result<Option<PendingEmailChange>, AppError> {
    use crate::{http::context::PageContext, service::Principal};

    let mut context = PageContext::from_request()?;
    let principal: Principal = context.extract().await?;
    Ok(context.service().pending_email_change(&principal).await?)
}

/// Cancels the requested change of the email. Returns `false` if there is no such change.
#[server(
    name = CancelEmailChange, prefix = "/fn", endpoint = "cancel_email_change", input = Json, output = Json,
    client = BearerTransport
)]
pub async fn cancel_email_change() -> Result<bool, AppError> {
    use crate::{http::context::PageContext, service::Writer};

    let mut context = PageContext::from_request()?;
    let writer: Writer = context.extract().await?;
    Ok(context.service().cancel_email_change(&context.caller, &writer).await?)
}

/// The row's identifier.
const ROW: &str = "email";

/// The row with the email, whether it is confirmed, and the form that changes it.
#[component]
pub fn EmailRow(
    /// Which row is open in the part.
    rows: OpenRow,
    /// The prompt for the password.
    reauth: ReauthPrompt,
) -> impl IntoView {
    let status = ActionStatus::none();
    let pending =
        List::load(|| Box::pin(async { pending_email_change().await.map(|change| change.into_iter().collect()) }));
    if settings::MAIL.get() == "off" {
        return Either::Left(view! {
            <Fact label="Email">
                <Email status pending />
                <p class="hint">"This service sends no email, so the address can't be changed here."</p>
                <ActionStatusLine status />
            </Fact>
        });
    }
    Either::Right(view! {
        <Row
            rows
            row=ROW
            label="Email"
            change="Change email"
            first="email-new_email"
            status
            form=move || view! { <EmailForm rows reauth status pending /> }.into_any()
        >
            <Email status pending />
        </Row>
    })
}

/// The email and whether it is confirmed. If it is not, the mail can be sent again, unless a change is pending. A pending
/// change can be cancelled.
#[component]
fn Email(status: ActionStatus, pending: List<PendingEmailChange>) -> impl IntoView {
    let auth = AuthState::current();
    let resend = move |_| {
        status.begin("Sending…");
        spawn_local(async move {
            let sent = resend_verification().await;
            // The email may have been confirmed in another tab.
            auth.check().await;
            let confirmed = auth.session().is_some_and(|session| session.account.email_verified);
            let message = match (confirmed, settings::MAIL.get().as_str()) {
                (true, _) => "Your email is already confirmed.",
                (_, "folder") => "The email is in the server's mail folder. Open its link to confirm your address.",
                _ => "Email sent. Open its link to confirm your address.",
            };
            status.end(sent.map(|()| message.to_owned()));
        });
    };
    let account = Memo::new(move |_| auth.session().map(|session| session.account));
    let verified = move || account.get().is_some_and(|account| account.email_verified);
    let changes = move || {
        // The change may have been confirmed in another tab.
        let email = account.get().map(|account| account.email);
        pending.lines().into_iter().filter(move |change| Some(&change.new_email) != email.as_ref())
    };
    let resend_button = move || {
        (!verified() && settings::MAIL.get() != "off" && changes().next().is_none()).then(|| {
            view! {
                <button class="link" type="button" on:click=resend>"Resend confirmation email"</button>
            }
        })
    };
    let retry = move |_| {
        pending.reload();
        dom::focus_id(button_id(ROW));
    };
    let load_error = move || {
        pending.error().map(|error| {
            view! {
                <p class="hint" role="status">"A pending change couldn't be loaded. "{error.to_string()}</p>
                <button class="link" type="button" on:click=retry>"Try again"</button>
            }
        })
    };
    let shown_change = move || changes().map(|change| view! { <PendingChange change status pending /> }).collect_view();
    view! {
        <p>
            <bdi translate="no">{move || account.get().map(|account| breakable(&account.email))}</bdi>
            " "
            {move || if verified() {
                view! { <span class="tag">"Confirmed"</span> }
            } else {
                view! { <span class="tag tag-open">"Not confirmed"</span> }
            }}
        </p>
        {resend_button}
        {shown_change}
        {load_error}
    }
}

/// The change of email that is not confirmed yet, and the button that cancels it.
#[component]
fn PendingChange(change: PendingEmailChange, status: ActionStatus, pending: List<PendingEmailChange>) -> impl IntoView {
    let auth = AuthState::current();
    let cancel = move |_| {
        status.begin("Cancelling…");
        spawn_local(async move {
            let cancelled = cancel_email_change().await;
            // The change may have been confirmed elsewhere.
            auth.check().await;
            pending.reload();
            // The button disappears.
            if settings::MAIL.get() == "off" {
                dom::focus_heading();
            } else {
                dom::focus_id(button_id(ROW));
            }
            let email = auth.session().map(|session| session.account.email).unwrap_or_default();
            status.end(cancelled.map(|cancelled| {
                if cancelled {
                    "The change is cancelled. Your email stays the same.".to_owned()
                } else {
                    ["There was no change to cancel. Your email is ", &email, "."].concat()
                }
            }));
        });
    };
    let next = if settings::MAIL.get() == "folder" {
        ". The email with the link is in the server's mail folder."
    } else {
        ". Open the link in the email to that address."
    };
    view! {
        <p class="hint">
            "Waiting for confirmation of " <bdi translate="no">{breakable(&change.new_email)}</bdi> {next}
        </p>
        <button class="link" type="button" on:click=cancel>"Cancel the change"</button>
    }
}

/// The form that changes the email.
#[component]
fn EmailForm(
    rows: OpenRow,
    reauth: ReauthPrompt,
    status: ActionStatus,
    pending: List<PendingEmailChange>,
) -> impl IntoView {
    let form = FormState::new("email");
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some([email]) = form.begin([Field::NewEmail]) else { return };
        let message = if settings::MAIL.get() == "folder" {
            "The email with the link is in the server's mail folder. Your address changes when you confirm it with the \
             link and your password."
                .into()
        } else {
            let email = email.trim();
            ["We sent a link to ", email, ". Your address changes when you confirm it with the link and your password."]
                .concat()
        };
        spawn_local(async move {
            let result = reauth
                .with_reauth("change your email", || {
                    change_email(requests::ChangeEmail { new_email: email.clone().into() })
                })
                .await;
            if form.finish(result).is_some() {
                status.end(Ok(message));
                pending.reload();
                rows.close(ROW);
            }
        });
    };
    view! {
        <form class="form" method="post" novalidate on:submit=submit aria-busy=move || form.aria_busy()>
            <FormAlert form />
            <TextField
                form
                field=Field::NewEmail
                label="New email"
                hint="We'll send it a link. Your address changes when you confirm it with that link and your \
                      password."
                autocomplete="email"
                value=String::new()
            />
            <FormButtons form label="Change email" busy="Sending…" cancel=move || rows.close(ROW) />
        </form>
    }
}
