//! Asking for a link to a new password.

use leptos::{either::Either, ev::SubmitEvent, prelude::*, task::spawn_local};
use server_fn::codec::Json;

use crate::{
    app::settings,
    components::{
        dom,
        field::TextField,
        form::{FormAlert, FormState, SubmitButton},
        icon::Eyebrow,
    },
    error::{AppError, Field},
    session::{Session, SessionClient},
};

/// Sends a link to a new password to an email that has an account. Nobody learns from the answer whether it has.
///
/// # Errors
/// [`AppError::Invalid`], [`AppError::MailOff`], [`AppError::Throttled`], [`AppError::Unavailable`].
#[server(
    name = ForgotPassword, prefix = "/fn", endpoint = "forgot_password", input = Json, output = Json,
    client = SessionClient
)]
pub async fn forgot_password(
    /// The email address.
    email: String,
) -> Result<(), AppError> {
    crate::server::door::Door::open()?.forgot_password(&email).await
}

/// The view.
#[component]
pub fn Forgot() -> impl IntoView {
    let session = Session::current();
    let form = FormState::new("forgot");
    let sent = RwSignal::new(false);
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some([email]) = form.begin([Field::Email]) else { return };
        spawn_local(async move {
            let answer = forgot_password(email).await;
            if form.finish(answer).is_some() {
                sent.try_set(true);
                dom::focus_heading();
            }
        });
    };
    let kept = settings::MAIL.get() == "kept";
    let again = move |_| {
        sent.set(false);
        dom::focus_heading();
    };
    move || {
        if sent.get() {
            Either::Left(view! {
                <Eyebrow text="On its way" />
                <h1 tabindex="-1">{if kept { "Look into the mail folder" } else { "Look into your mailbox" }}</h1>
                <p class="lead">
                    {if kept {
                        "If there is an account with this email, a mail is in the server's mail folder. "
                    } else {
                        "If there is an account with this email, a mail is on its way. "
                    }}
                    "Its link works once."
                </p>
                <p class="lead">"Nothing has come? Look among the unwanted mail, or check the email for typing errors."</p>
                <p class="actions">
                    <button class="button button-quiet" type="button" on:click=again>
                        "Try another email"
                    </button>
                </p>
            })
        } else {
            Either::Right(view! {
                <Eyebrow text="It happens" />
                <h1 tabindex="-1">"Forgotten password"</h1>
                <p class="lead">"Enter your email. We send you a link, and you choose a new password."</p>
                <form class="form" method="post" novalidate on:submit=submit aria-busy=move || form.aria_busy()>
                    <FormAlert form />
                    <TextField
                        form
                        field=Field::Email
                        label="Email"
                        hint=""
                        autocomplete="email"
                        value=session.draft()
                    />
                    <SubmitButton form label="Send me a link" busy="Sending…" />
                </form>
                <p class="aside">"Remembered it? " <a href="/login">"Login"</a></p>
            })
        }
    }
}
