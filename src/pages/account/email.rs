//! The email row of the profile, which confirms and changes the email.

use leptos::{either::Either, ev::SubmitEvent, prelude::*, task::spawn_local};

use super::row::{Fact, OpenRow, Row};
use crate::{
    browser::settings,
    components::{
        action_status::ActionStatus,
        breakable::breakable,
        field::TextField,
        form::{FormAlert, FormButtons, FormState},
        reauth_prompt::ReauthPrompt,
    },
    domain::requests,
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

/// Sends a link to the new email. The email changes when the link is used.
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
    if settings::MAIL.get() == "off" {
        return Either::Left(view! {
            <Fact label="Email">
                <Email status />
                <p class="hint">"This service sends no email, so the address can't be changed here."</p>
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
            form=move || view! { <EmailForm rows reauth status /> }.into_any()
        >
            <Email status />
        </Row>
    })
}

/// The email and whether it is confirmed. If it is not, the mail can be sent again.
#[component]
fn Email(status: ActionStatus) -> impl IntoView {
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
                (_, "kept") => "The email is in the server's mail folder. Open its link to confirm your address.",
                _ => "Email sent. Open its link to confirm your address.",
            };
            status.end(sent.map(|()| message.to_owned()));
        });
    };
    let account = Memo::new(move |_| auth.session().map(|session| session.account));
    let verified = move || account.get().is_some_and(|account| account.email_verified);
    let resend_button = move || {
        (!verified() && settings::MAIL.get() != "off").then(|| {
            view! {
                <button class="link" type="button" on:click=resend>"Resend confirmation email"</button>
            }
        })
    };
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
    }
}

/// The form that changes the email.
#[component]
fn EmailForm(rows: OpenRow, reauth: ReauthPrompt, status: ActionStatus) -> impl IntoView {
    let form = FormState::new("email");
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some([email]) = form.begin([Field::NewEmail]) else { return };
        let message = if settings::MAIL.get() == "kept" {
            "The email with the link is in the server's mail folder. Your address changes when you open the link."
                .into()
        } else {
            ["We sent a link to ", email.trim(), ". Your address changes when you open it."].concat()
        };
        spawn_local(async move {
            let result = reauth
                .with_reauth("change your email", || {
                    change_email(requests::ChangeEmail { new_email: email.clone().into() })
                })
                .await;
            if form.finish(result).is_some() {
                status.end(Ok(message));
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
                hint="We'll send a link to the new address. Nothing changes until you open it."
                autocomplete="email"
                value=String::new()
            />
            <FormButtons form label="Change email" busy="Sending…" cancel=move || rows.close(ROW) />
        </form>
    }
}
