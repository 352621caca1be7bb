//! Confirming that an email is one's own, by a link from a mail.

use leptos::{either::Either, prelude::*};
use server_fn::codec::Json;

use super::reset::ResetForm;
use crate::{
    components::{dom, icon::Eyebrow, link_form::LinkForm, link_token::LinkToken},
    error::{AppError, Field},
    session::SessionClient,
};

/// Confirms an email by a link and the account's password.
///
/// # Errors
/// [`AppError::LinkSpent`], [`AppError::WrongPassword`], [`AppError::Throttled`], [`AppError::Unavailable`].
#[server(
    name = VerifyEmail, prefix = "/fn", endpoint = "verify_email", input = Json, output = Json, client = SessionClient
)]
pub async fn verify_email(
    /// The link's token.
    token: String,
    /// The account's password.
    password: String,
) -> Result<(), AppError> {
    crate::server::door::Door::open()?.verify_email(&token, &password).await
}

/// The view.
#[component]
pub fn Verify() -> impl IntoView {
    let link = LinkToken::take();
    let claims = RwSignal::new(false);
    let claim = move |_| {
        claims.set(true);
        dom::focus_heading();
    };
    move || {
        if claims.get() {
            Either::Left(view! {
                <Eyebrow text="Your email, your account" />
                <h1 tabindex="-1">"Take the account"</h1>
                <p class="lead">
                    "Whoever made the account with your email is locked out, and it is yours, with a password of your choice."
                </p>
                <ResetForm link />
            })
        } else {
            Either::Right(view! {
                <Eyebrow text="Is it yours?" />
                <h1 tabindex="-1">"Confirm your email"</h1>
                <p class="lead">"Enter the password that you have chosen, so that nobody else can make an account in your name."</p>
                <LinkForm
                    link
                    field=Field::Password
                    label="Confirm email"
                    busy="Confirming…"
                    send=|token, password| Box::pin(verify_email(token, password))
                    told="Your email is confirmed."
                />
                <p class="aside">
                    "You made no account, or don't know its password? "
                    <button class="link" type="button" on:click=claim>"Choose a new password"</button>
                </p>
                <p class="aside">"The link doesn't work? " <a href="/account">"Your account"</a> " sends another."</p>
            })
        }
    }
}
