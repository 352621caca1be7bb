//! Giving an account another email, or the one before back, by a link from a mail.

use leptos::prelude::*;
use server_fn::codec::Json;

use super::View;
use crate::{
    components::{
        link_form::LinkForm,
        link_token::{LinkToken, WayOut, followed},
    },
    error::{AppError, Field},
    session::SessionClient,
};

/// Gives an account the email that a link proves, for whoever knows the account's password. Returns the email.
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
) -> Result<String, AppError> {
    crate::server::door::Door::open()?.confirm_email(&token, &password).await
}

/// Gives an account the email back that it had before, and a new password. Every session ends. Returns the email.
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
) -> Result<String, AppError> {
    crate::server::door::Door::open()?.undo_email(&token, &new_password).await
}

/// Where a link leads that was sent to a new email.
#[component]
pub fn NewEmail() -> impl IntoView {
    followed(LinkToken::take(), WayOut::new_link(View::ACCOUNT), |link| view! { <SwitchEmail link /> })
}

#[component]
fn SwitchEmail(link: LinkToken) -> impl IntoView {
    view! {
        <h1 tabindex="-1">"Confirm your new email"</h1>
        <p class="lead">
            "Enter your password to switch to this address. We'll notify the old one, which can undo this for three days."
        </p>
        <LinkForm
            link
            field=Field::Password
            label="Use this email"
            busy="Changing…"
            send=|token, password| Box::pin(confirm_email(token, password))
            told="Your email was changed."
        />
    }
}

/// Where a link leads that was sent to the email before. Nobody can send it again.
#[component]
pub fn EmailBack() -> impl IntoView {
    let way_out = WayOut {
        why: "It has expired or was already used. If somebody else changed your email, contact support.",
        label: "Log in",
        to: View::LogIn,
    };
    followed(LinkToken::take(), way_out, |link| view! { <UndoChange link /> })
}

#[component]
fn UndoChange(link: LinkToken) -> impl IntoView {
    view! {
        <h1 tabindex="-1">"Undo the email change"</h1>
        <p class="lead">
            "Your account goes back to this address. Choose a new password, because whoever changed your email may know the old \
             one. You'll be logged out everywhere and your access tokens revoked."
        </p>
        <LinkForm
            link
            field=Field::NewPassword
            label="Undo the change"
            busy="Undoing…"
            send=|token, password| Box::pin(undo_email(token, password))
            told="You have your email back. Log in with your new password."
        />
    }
}
