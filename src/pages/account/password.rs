//! Changing one's password.

use leptos::{ev::SubmitEvent, prelude::*, task::spawn_local};
use server_fn::codec::Json;

use crate::{
    components::{
        field::{HiddenUsername, PasswordField},
        form::{FormAlert, FormState, SubmitButton},
        outcome::{Outcome, OutcomeLine},
    },
    error::{AppError, Field},
    pages::register::password_hint,
    session::{Session, SessionClient},
};

/// Changes the password of whoever is logged in, and ends all their other sessions. Returns the token of the one that goes on.
///
/// # Errors
/// [`AppError::WrongPassword`], [`AppError::Invalid`], [`AppError::Throttled`], [`AppError::SessionEnded`],
/// [`AppError::Unavailable`].
#[server(
    name = ChangeOwnPassword, prefix = "/fn", endpoint = "change_password", input = Json, output = Json,
    client = SessionClient
)]
pub async fn change_password(
    /// The password until now.
    current_password: String,
    /// The password from now on.
    new_password: String,
) -> Result<String, AppError> {
    crate::server::door::Door::open()?.change_password(&current_password, &new_password).await
}

/// The form.
#[component]
pub fn ChangePassword(
    /// Hears that sessions have ended.
    changed: Trigger,
) -> impl IntoView {
    let session = Session::current();
    let form = FormState::new("password");
    let outcome = Outcome::none();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some([current, new]) = form.begin([Field::CurrentPassword, Field::NewPassword]) else { return };
        outcome.hush();
        spawn_local(async move {
            let answer = change_password(current, new).await;
            if let Some(token) = form.finish(answer) {
                session.renew(token);
                changed.notify();
                form.empty(Field::CurrentPassword);
                form.empty(Field::NewPassword);
                outcome.end(Ok("Your password was changed, and every other session was ended.".into()));
            }
        });
    };
    view! {
        <section aria-labelledby="password-heading">
            <h2 id="password-heading">"Password"</h2>
            <OutcomeLine outcome />
            <form class="form" method="post" novalidate on:submit=submit aria-busy=move || form.aria_busy()>
                <FormAlert form />
                <HiddenUsername />
                <PasswordField
                    form
                    field=Field::CurrentPassword
                    label="Current password"
                    autocomplete="current-password"
                    hint=""
                />
                <PasswordField
                    form
                    field=Field::NewPassword
                    label="New password"
                    autocomplete="new-password"
                    hint=password_hint()
                />
                <p class="hint">"You stay logged in here. Every other session ends."</p>
                <SubmitButton form label="Change password" busy="Changing…" />
            </form>
        </section>
    }
}
