//! Choosing a new password, by a link from a mail.

use leptos::prelude::*;
use server_fn::codec::Json;

use crate::{
    components::{icon::Eyebrow, link_form::LinkForm, link_token::LinkToken},
    error::{AppError, Field},
    session::SessionClient,
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
        <p class="lead">"Choose a new password for your account. Every session and access token of it ends; log in again afterwards."</p>
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
    view! {
        <LinkForm
            link
            field=Field::NewPassword
            label="Set password"
            busy="Setting…"
            send=|token, password| Box::pin(reset_password(token, password))
            told="Your password was changed. Log in with the new one."
        />
    }
}
