//! The target of the link that confirms a new email.

use leptos::prelude::*;

use crate::{
    components::{
        link_form::LinkForm,
        link_token::{Fallback, LinkToken, followed},
    },
    domain::requests::FollowLink,
    error::{AppError, Field},
    json::{Json, JsonRequest},
    route::View,
    session::BearerTransport,
};

/// Changes an account's email by a link and the account's password. Returns the new email.
#[server(
    name = ConfirmEmail, prefix = "/fn", endpoint = "confirm_email", input = JsonRequest, output = Json,
    client = BearerTransport
)]
pub async fn confirm_email(
    /// The link's token and the account's password.
    request: FollowLink,
) -> Result<String, AppError> {
    use crate::{domain::requests::Parse, http::context::PageContext};

    let context = PageContext::from_request()?;
    let (link, password) = request.parse()?;
    Ok(context.service().confirm_email(&context.caller, &link, &password).await?)
}

/// The view for a link that was sent to the new email.
#[component]
pub fn ConfirmEmailPage() -> impl IntoView {
    followed(LinkToken::take(), Fallback::new_link(View::ACCOUNT), |link| view! { <SwitchEmail link /> })
}

#[component]
fn SwitchEmail(link: LinkToken) -> impl IntoView {
    view! {
        <h1 tabindex="-1">"Confirm your new email"</h1>
        <p class="lead">
            "Enter your password to switch to this address. If you had confirmed the old one, we'll send it a link to \
             undo this within three days."
        </p>
        <LinkForm
            link
            field=Field::Password
            label="Use this email"
            busy="Changing…"
            send=|token, password| Box::pin(confirm_email(FollowLink { token, password }))
            success="Your email was changed."
        />
    }
}
