//! Confirming one's email, and changing it.

use std::rc::Rc;

use leptos::{ev::SubmitEvent, prelude::*, task::spawn_local};
use server_fn::codec::Json;

use crate::{
    app::settings,
    components::{
        confirm::Confirm,
        field::TextField,
        form::{FormAlert, FormState, SubmitButton},
        outcome::{Outcome, OutcomeLine},
    },
    error::{AppError, Field},
    session::{Session, SessionClient},
};

/// Sends the mail again that asks whoever is logged in to confirm their email.
///
/// # Errors
/// [`AppError::MailOff`], [`AppError::Throttled`], [`AppError::SessionEnded`], [`AppError::Unavailable`].
#[server(
    name = ResendVerification, prefix = "/fn", endpoint = "resend_verification", input = Json, output = Json,
    client = SessionClient
)]
pub async fn resend_verification() -> Result<(), AppError> {
    crate::server::door::Door::open()?.resend_verification().await
}

/// Asks at a new email whether it belongs to whoever is logged in.
///
/// # Errors
/// [`AppError::MailOff`], [`AppError::ReauthRequired`], [`AppError::Invalid`], [`AppError::Throttled`],
/// [`AppError::SessionEnded`], [`AppError::Unavailable`].
#[server(
    name = ChangeEmail, prefix = "/fn", endpoint = "change_email", input = Json, output = Json, client = SessionClient
)]
pub async fn change_email(
    /// The email from now on.
    new_email: String,
) -> Result<(), AppError> {
    crate::server::door::Door::open()?.change_email(&new_email).await
}

/// Whether the email is confirmed, and the form for another.
#[component]
pub fn ChangeEmailForm(
    /// Asks for the password where it must.
    confirm: Confirm,
) -> impl IntoView {
    let form = FormState::new("email");
    let outcome = Outcome::none();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some([email]) = form.begin([Field::NewEmail]) else { return };
        outcome.hush();
        let told =
            ["A mail is on its way to ", email.trim(), ". Your email changes when you follow its link."].concat();
        let act = Rc::new(move || {
            let email = email.clone();
            Box::pin(async move { change_email(email).await }) as _
        });
        confirm.form("change your email", form, act, move |()| {
            form.empty(Field::NewEmail);
            outcome.end(Ok(told));
        });
    };
    let there_is_mail = settings::MAIL.get() != "off";
    view! {
        <section aria-labelledby="email-heading">
            <h2 id="email-heading">"Email"</h2>
            <Confirmation outcome />
            <OutcomeLine outcome />
            {there_is_mail
                .then(|| {
                    view! {
                        <form class="form" method="post" novalidate on:submit=submit aria-busy=move || form.aria_busy()>
                            <FormAlert form />
                            <TextField
                                form
                                field=Field::NewEmail
                                label="New email"
                                hint="We send a link there. Your email stays as it is until you follow it."
                                autocomplete="email"
                                value=String::new()
                            />
                            <SubmitButton form label="Change email" busy="Asking…" />
                        </form>
                    }
                })}
        </section>
    }
}

/// Whether the email is confirmed. If not, the mail can be sent again.
#[component]
fn Confirmation(outcome: Outcome) -> impl IntoView {
    let session = Session::current();
    let resend = move |_| {
        outcome.begin("Sending…");
        spawn_local(async move {
            let sent = resend_verification().await;
            // It may have been confirmed in another tab.
            session.check().await;
            let confirmed = session.identity().is_some_and(|me| me.account.email_verified);
            let told = match (confirmed, settings::MAIL.get().as_str()) {
                (true, _) => "Your email is confirmed already.",
                (_, "kept") => "The mail is in the server's mail folder. Follow its link to confirm your email.",
                _ => "A mail is on its way. Follow its link to confirm your email.",
            };
            outcome.end(sent.map(|()| told.to_owned()));
        });
    };
    let verified = Memo::new(move |_| session.identity().is_some_and(|me| me.account.email_verified));
    let email = move || session.identity().map(|me| me.account.email);
    move || {
        let state = if verified.get() { " is confirmed." } else { " is not confirmed yet." };
        let again = (!verified.get() && settings::MAIL.get() != "off").then(|| {
            view! {
                <p class="actions">
                    <button class="button button-quiet" type="button" on:click=resend>"Send the mail again"</button>
                </p>
            }
        });
        view! {
            <p class="hint">{email} {state}</p>
            {again}
        }
    }
}
