//! Giving an account another email, or the one before back, by a link from a mail.

use leptos::prelude::*;
use server_fn::codec::Json;

use crate::{
    components::{icon::Eyebrow, link_form::LinkForm, link_token::LinkToken},
    error::{AppError, Field},
    session::SessionClient,
};

/// Gives an account the email that a link proves, for whoever knows the account's password.
///
/// # Errors
/// [`AppError::LinkSpent`], [`AppError::WrongPassword`], [`AppError::Taken`], [`AppError::Throttled`],
/// [`AppError::Unavailable`].
#[server(
    name = TakeNewEmail, prefix = "/fn", endpoint = "confirm_email", input = Json, output = Json, client = SessionClient
)]
pub async fn confirm_email(
    /// The link's token.
    token: String,
    /// The account's password.
    password: String,
) -> Result<(), AppError> {
    crate::server::door::Door::open()?.confirm_email(&token, &password).await
}

/// Gives an account the email back that it had before, and a new password. Every session ends.
///
/// # Errors
/// [`AppError::LinkSpent`], [`AppError::Invalid`], [`AppError::Taken`], [`AppError::Throttled`],
/// [`AppError::Unavailable`].
#[server(
    name = TakeEmailBack, prefix = "/fn", endpoint = "undo_email", input = Json, output = Json, client = SessionClient
)]
pub async fn undo_email(
    /// The link's token.
    token: String,
    /// The password from now on.
    new_password: String,
) -> Result<(), AppError> {
    crate::server::door::Door::open()?.undo_email(&token, &new_password).await
}

/// Where a link leads that was sent to a new email.
#[component]
pub fn NewEmail() -> impl IntoView {
    let link = LinkToken::take();
    view! {
        <Eyebrow text="One more step" />
        <h1 tabindex="-1">"New email"</h1>
        <p class="lead">
            "Enter the password of your account, and it has this email from now on. The one before is told, and can undo it for \
             three days."
        </p>
        <LinkForm
            link
            field=Field::Password
            label="Use this email"
            busy="Changing…"
            send=|token, password| Box::pin(confirm_email(token, password))
            told="Your email was changed."
        />
        <p class="aside">"The link doesn't work? " <a href="/account">"Your account"</a> " sends another."</p>
    }
}

/// Where a link leads that was sent to the email before.
#[component]
pub fn EmailBack() -> impl IntoView {
    let link = LinkToken::take();
    view! {
        <Eyebrow text="It wasn't you?" />
        <h1 tabindex="-1">"Take the email back"</h1>
        <p class="lead">
            "Whoever changed your email may know your password, so choose a new one. Your account gets this email back, and every \
             session of it ends."
        </p>
        <LinkForm
            link
            field=Field::NewPassword
            label="Take it back"
            busy="Taking it back…"
            send=|token, password| Box::pin(undo_email(token, password))
            told="You have your email back. Log in with your new password."
        />
        <p class="aside">"The link doesn't work? Ask whoever runs this server."</p>
    }
}
