//! Confirming one's email, and changing it.

use std::rc::Rc;

use leptos::{either::Either, ev::SubmitEvent, prelude::*, task::spawn_local};
use server_fn::codec::Json;

use super::row::{Fact, OpenRow, Row, RowButtons};
use crate::{
    browser::settings,
    components::{
        action_status::ActionStatus,
        breakable::breakable,
        field::TextField,
        form::{FormAlert, FormState},
        reauth_prompt::ReauthPrompt,
    },
    error::{AppError, Field},
    session::{AuthState, SessionClient},
};

/// Sends the mail again that asks whoever is logged in to confirm their email.
///
/// # Errors
/// [`AppError::MailOff`], [`AppError::RateLimited`], [`AppError::SessionEnded`], [`AppError::Unavailable`].
#[server(
    name = ResendVerification, prefix = "/fn", endpoint = "resend_verification", input = Json, output = Json,
    client = SessionClient
)]
pub async fn resend_verification() -> Result<(), AppError> {
    crate::http::context::PageContext::from_request()?.resend_verification().await
}

/// Asks at a new email whether it belongs to whoever is logged in.
///
/// # Errors
/// [`AppError::MailOff`], [`AppError::ReauthRequired`], [`AppError::Invalid`], [`AppError::RateLimited`],
/// [`AppError::SessionEnded`], [`AppError::Unavailable`].
#[server(
    name = ChangeEmail, prefix = "/fn", endpoint = "change_email", input = Json, output = Json, client = SessionClient
)]
pub async fn change_email(
    /// The email from now on.
    new_email: String,
) -> Result<(), AppError> {
    crate::http::context::PageContext::from_request()?.change_email(&new_email).await
}

/// The row's name.
const ROW: &str = "email";

/// The email, whether it is confirmed, and the form for another.
#[component]
pub fn EmailRow(
    /// Which row is open.
    rows: OpenRow,
    /// Asks for the password where it must.
    confirm: ReauthPrompt,
) -> impl IntoView {
    let outcome = ActionStatus::none();
    if settings::MAIL.get() == "off" {
        return Either::Left(view! {
            <Fact label="Email">
                <Email outcome />
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
            outcome
            form=move || view! { <EmailForm rows confirm outcome /> }.into_any()
        >
            <Email outcome />
        </Row>
    })
}

/// The email, and whether it is confirmed. If not, the mail can be sent again.
#[component]
fn Email(outcome: ActionStatus) -> impl IntoView {
    let session = AuthState::current();
    let resend = move |_| {
        outcome.begin("Sending…");
        spawn_local(async move {
            let sent = resend_verification().await;
            // It may have been confirmed in another tab.
            session.check().await;
            let confirmed = session.identity().is_some_and(|me| me.account.email_verified);
            let said = match (confirmed, settings::MAIL.get().as_str()) {
                (true, _) => "Your email is already confirmed.",
                (_, "kept") => "The email is in the server's mail folder. Open its link to confirm your address.",
                _ => "Email sent. Open its link to confirm your address.",
            };
            outcome.end(sent.map(|()| said.to_owned()));
        });
    };
    let account = Memo::new(move |_| session.identity().map(|me| me.account));
    let verified = move || account.get().is_some_and(|account| account.email_verified);
    let again = move || {
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
        {again}
    }
}

/// The form for another email.
#[component]
fn EmailForm(rows: OpenRow, confirm: ReauthPrompt, outcome: ActionStatus) -> impl IntoView {
    let form = FormState::new("email");
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some([email]) = form.begin([Field::NewEmail]) else { return };
        let said = if settings::MAIL.get() == "kept" {
            "The email with the link is in the server's mail folder. Your address changes when you open the link."
                .into()
        } else {
            ["We sent a link to ", email.trim(), ". Your address changes when you open it."].concat()
        };
        let act = Rc::new(move || {
            let email = email.clone();
            Box::pin(async move { change_email(email).await }) as _
        });
        confirm.form("change your email", form, act, move |()| {
            outcome.end(Ok(said));
            rows.close(ROW);
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
            <RowButtons rows row=ROW form label="Change email" busy="Sending…" />
        </form>
    }
}
