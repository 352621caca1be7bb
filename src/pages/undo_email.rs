//! The target of the link that undoes a change of the email.

use leptos::prelude::*;

use crate::{
    components::{
        link_form::LinkForm,
        link_token::{Fallback, INCOMPLETE, LinkToken, followed},
    },
    domain::requests::SetPassword,
    error::{AppError, Field},
    json::{Json, JsonRequest},
    route::View,
    session::BearerTransport,
};

/// Restores the account's previous email and sets a new password. Ends every session. Returns the restored email.
#[server(
    name = UndoEmail, prefix = "/fn", endpoint = "undo_email", input = JsonRequest, output = Json,
    client = BearerTransport
)]
pub async fn undo_email(
    /// The link's token and the new password.
    request: SetPassword,
) -> Result<String, AppError> {
    use crate::{domain::requests::Parse, http::context::PageContext};

    let context = PageContext::from_request()?;
    Ok(context.service().undo_email(&context.caller, request.parse()?).await?)
}

/// The view for a link that was sent to the previous email. This link can't be sent again.
#[component]
pub fn UndoEmailPage() -> impl IntoView {
    let fallback = Fallback {
        missing: INCOMPLETE,
        why: "It has expired or was already used. If somebody else changed your email, contact support.",
        label: "Log in",
        to: View::LogIn,
    };
    followed(LinkToken::take(), fallback, |link| view! { <UndoChange link /> })
}

#[component]
fn UndoChange(link: LinkToken) -> impl IntoView {
    view! {
        <h1 tabindex="-1">"Undo the email change"</h1>
        <p class="lead">
            "Your account goes back to this address. Choose a new password, because the person who changed your email may know the \
             old one. You'll be logged out everywhere and your access tokens revoked."
        </p>
        <LinkForm
            link
            field=Field::NewPassword
            label="Undo the change"
            busy="Undoing…"
            send=|token, new_password| Box::pin(undo_email(SetPassword { token, new_password }))
            success="You have your email back. Log in with your new password."
        />
    }
}
