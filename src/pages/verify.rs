//! The target of the link that confirms an email.

use leptos::{either::Either, prelude::*};

use super::reset::ResetForm;
use crate::{
    browser::{dom, settings},
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

/// Confirms an email by a link and the account's password. Returns the email.
#[server(
    name = VerifyEmail, prefix = "/fn", endpoint = "verify_email", input = JsonRequest, output = Json,
    client = BearerTransport
)]
pub async fn verify_email(
    /// The link's token and the account's password.
    request: FollowLink,
) -> Result<String, AppError> {
    use crate::{domain::requests::Parse, http::context::PageContext};

    let context = PageContext::from_request()?;
    let (link, password) = request.parse()?;
    Ok(context.service().verify_email(&context.caller, &link, &password).await?)
}

/// The view.
#[component]
pub fn Verify() -> impl IntoView {
    // If login requires a confirmed email, a reset link is offered instead, because it confirms the email, too.
    let to = if settings::CONFIRM_FIRST.get() == "yes" { View::Forgot } else { View::ACCOUNT };
    followed(LinkToken::take(), Fallback::new_link(to), |link| view! { <ConfirmOrClaim link /> })
}

#[component]
fn ConfirmOrClaim(link: LinkToken) -> impl IntoView {
    let is_claiming = RwSignal::new(false);
    let claim = move |_| {
        is_claiming.set(true);
        dom::focus_heading();
    };
    move || {
        if is_claiming.get() {
            Either::Left(view! {
                <h1 tabindex="-1">"Claim this account"</h1>
                <p class="lead">"Choose a password. The account is then yours, and the person who created it is locked out."</p>
                <ResetForm link />
            })
        } else {
            Either::Right(view! {
                <h1 tabindex="-1">"Confirm your email"</h1>
                <p class="lead">"Enter your password to confirm this address."</p>
                <LinkForm
                    link
                    field=Field::Password
                    label="Confirm email"
                    busy="Confirming…"
                    send=|token, password| Box::pin(verify_email(FollowLink { token, password }))
                    success="Your email is confirmed."
                />
                <p class="aside">
                    "Didn't create this account? "
                    <button class="link" type="button" on:click=claim>"Claim this account"</button>
                </p>
            })
        }
    }
}
