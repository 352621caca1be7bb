//! The target of the link that resets the password.

use leptos::prelude::*;

use crate::{
    components::{
        link_form::LinkForm,
        link_token::{Fallback, LinkToken, followed},
    },
    domain::requests::SetPassword,
    error::{AppError, Field},
    json::{Json, JsonRequest},
    route::View,
    session::BearerTransport,
};

/// Sets a new password by a link. Ends every session. Returns the account's email.
#[server(
    name = ResetPassword, prefix = "/fn", endpoint = "reset_password", input = JsonRequest, output = Json,
    client = BearerTransport
)]
pub async fn reset_password(
    /// The link's token and the new password.
    request: SetPassword,
) -> Result<String, AppError> {
    use crate::{domain::requests::Parse, http::context::PageContext};

    let context = PageContext::from_request()?;
    Ok(context.service().reset_password(&context.caller, request.parse()?).await?)
}

/// The view.
#[component]
pub fn Reset() -> impl IntoView {
    followed(LinkToken::take(), Fallback::new_link(View::Forgot), |link| view! { <ChoosePassword link /> })
}

#[component]
fn ChoosePassword(link: LinkToken) -> impl IntoView {
    view! {
        <h1 tabindex="-1">"Choose a new password"</h1>
        <p class="lead">"You'll be logged out everywhere and your access tokens revoked."</p>
        <ResetForm link />
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
            send=|token, new_password| Box::pin(reset_password(SetPassword { token, new_password }))
            success="Your password was changed. Log in with the new one."
        />
    }
}
