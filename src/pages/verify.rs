//! Confirming that an email is one's own, by a link from a mail.

use leptos::{either::Either, ev::SubmitEvent, prelude::*, task::spawn_local};
use server_fn::codec::Json;

use super::{View, reset::ResetForm};
use crate::{
    app::Address,
    components::{
        dom,
        field::PasswordField,
        form::{FormAlert, FormState, SubmitButton},
        icon::Eyebrow,
        link_token::LinkToken,
    },
    error::{AppError, Field},
    session::{Notice, Phase, Session, SessionClient},
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
                <VerifyForm link />
                <p class="aside">
                    "You made no account, or don't know its password? "
                    <button class="link" type="button" on:click=claim>"Choose a new one"</button>
                </p>
            })
        }
    }
}

#[component]
fn VerifyForm(link: LinkToken) -> impl IntoView {
    let (session, address) = (Session::current(), Address::current());
    let form = FormState::new("verify");
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some([password]) = form.begin([Field::Password]) else { return };
        spawn_local(async move {
            let answer = verify_email(link.get(), password).await;
            if form.finish(answer).is_some() {
                let signed_in = session.phase() == Phase::SignedIn;
                let next = if signed_in { View::Account } else { View::LogIn };
                session.announce(next, Notice::Done("Your email is confirmed."));
                address.go(next);
            }
        });
    };
    view! {
        <form class="form" method="post" novalidate on:submit=submit aria-busy=move || form.aria_busy()>
            <FormAlert form />
            <PasswordField
                form
                field=Field::Password
                label="Password"
                autocomplete="current-password"
                hint=""
            />
            <SubmitButton form label="Confirm email" busy="Confirming…" />
        </form>
    }
}
