//! Choosing a new password, by a link from a mail.

use leptos::{ev::SubmitEvent, prelude::*, task::spawn_local};
use server_fn::codec::Json;

use super::{View, register::password_hint};
use crate::{
    app::Address,
    components::{
        field::PasswordField,
        form::{FormAlert, FormState, SubmitButton},
        icon::Eyebrow,
        link_token::LinkToken,
    },
    error::{AppError, Field},
    session::{Notice, Session, SessionClient},
};

/// Sets a new password by a link. Every session ends.
///
/// # Errors
/// [`AppError::LinkSpent`], [`AppError::Invalid`], [`AppError::Throttled`], [`AppError::Unavailable`].
#[server(
    name = ResetPassword, prefix = "/fn", endpoint = "reset_password", input = Json, output = Json,
    client = SessionClient
)]
pub async fn reset_password(
    /// The link's token.
    token: String,
    /// The password from now on.
    new_password: String,
) -> Result<(), AppError> {
    crate::server::door::Door::open()?.reset_password(&token, &new_password).await
}

/// The view.
#[component]
pub fn Reset() -> impl IntoView {
    let link = LinkToken::take();
    view! {
        <Eyebrow text="A fresh start" />
        <h1 tabindex="-1">"New password"</h1>
        <p class="lead">"Choose a new password for your account. Every session of it ends; log in again afterwards."</p>
        <ResetForm link />
        <p class="aside">"The link doesn't work? " <a href="/forgot">"Ask for another"</a></p>
    }
}

/// The form.
#[component]
pub fn ResetForm(
    /// The link that was opened.
    link: LinkToken,
) -> impl IntoView {
    let (session, address) = (Session::current(), Address::current());
    let form = FormState::new("reset");
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some([password]) = form.begin([Field::NewPassword]) else { return };
        spawn_local(async move {
            let answer = reset_password(link.get(), password).await;
            if form.finish(answer).is_some() {
                session.announce(View::LogIn, Notice::Done("Your password was changed. Log in with the new one."));
                address.go(View::LogIn);
                session.check().await;
            }
        });
    };
    view! {
        <form class="form" method="post" novalidate on:submit=submit aria-busy=move || form.aria_busy()>
            <FormAlert form />
            <PasswordField
                form
                field=Field::NewPassword
                label="New password"
                autocomplete="new-password"
                hint=password_hint()
            />
            <SubmitButton form label="Set password" busy="Setting…" />
        </form>
    }
}
