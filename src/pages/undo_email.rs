//! The page behind the link that undoes a change of the email.

use leptos::prelude::*;
use server_fn::codec::Json;

use crate::{
    components::{
        link_form::LinkForm,
        link_token::{LinkToken, WayOut, followed},
    },
    error::{AppError, Field},
    route::View,
    session::SessionClient,
};

/// Gives an account the email back that it had before, and a new password. Every session ends. Returns the email.
///
/// # Errors
/// [`AppError::LinkInvalid`], [`AppError::Invalid`], [`AppError::Taken`], [`AppError::RateLimited`],
/// [`AppError::Unavailable`].
#[server(
    name = UndoEmail, prefix = "/fn", endpoint = "undo_email", input = Json, output = Json, client = SessionClient
)]
pub async fn undo_email(
    /// The link's token.
    token: String,
    /// The password from now on.
    new_password: String,
) -> Result<String, AppError> {
    crate::http::context::PageContext::from_request()?.undo_email(&token, &new_password).await
}

/// Where a link leads that was sent to the email before. Nobody can send it again.
#[component]
pub fn UndoEmailPage() -> impl IntoView {
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
