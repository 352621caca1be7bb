//! The form behind a link from a mail: a password, and what the link does.

use std::{future::Future, pin::Pin};

use leptos::{ev::SubmitEvent, prelude::*, task::spawn_local};
use server_fn::codec::Json;

use super::{
    field::PasswordField,
    form::{FormAlert, FormState, SubmitButton},
    link_token::LinkToken,
};
use crate::{
    app::Address,
    error::{AppError, Field},
    pages::{View, register::password_hint},
    session::{Notice, Phase, Session, SessionClient},
};

/// Whether a link still works, so that nobody chooses a password for one that doesn't. Asking uses nothing up.
///
/// # Errors
/// [`AppError::Unavailable`].
#[server(
    name = CheckLink, prefix = "/fn", endpoint = "check_link", input = Json, output = Json, client = SessionClient
)]
pub async fn check_link(
    /// The link's token.
    token: String,
) -> Result<bool, AppError> {
    crate::server::door::Door::open()?.check_link(&token).await
}

/// What is said to somebody who has loaded the page again, or typed its address.
const MISSING: &str =
    "This page needs its link, which it keeps until it is loaded again. Open the link in the mail once more.";

/// A call on its way.
pub type Calling = Pin<Box<dyn Future<Output = Result<(), AppError>>>>;

/// The form. Opening its page does nothing: mail scanners follow links, too (OWASP Forgot Password Cheat Sheet).
#[component]
pub fn LinkForm(
    /// The link that was opened.
    link: LinkToken,
    /// Which password it asks for: the account's, or a new one.
    field: Field,
    /// What it does.
    label: &'static str,
    /// What it is doing.
    busy: &'static str,
    /// Sends the link's token and the password.
    send: fn(String, String) -> Calling,
    /// What is said once it is done, where the reader goes on.
    told: &'static str,
) -> impl IntoView {
    let (session, address) = (Session::current(), Address::current());
    let form = FormState::new("link");
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some([password]) = form.begin([field]) else { return };
        spawn_local(async move {
            let answer = send(link.get(), password).await;
            if form.finish(answer).is_some() {
                // It may have ended the session of this tab.
                session.check().await;
                let next = if session.phase() == Phase::Stranger { View::LogIn } else { View::ACCOUNT };
                session.announce(next, Notice::Done(told));
                address.go(next);
            }
        });
    };
    let spent = RwSignal::new(false);
    Effect::new(move |_| {
        let Some(token) = link.opened() else { return };
        spent.set(false);
        spawn_local(async move {
            // Who can't be told now will be when they send the form. Another link may have been opened meanwhile.
            if let Ok(false) = check_link(token.clone()).await
                && token == link.get()
            {
                spent.try_set(true);
            }
        });
    });
    let trouble = move || {
        let told =
            if spent.get() { Some(AppError::LinkSpent.to_string()) } else { link.is_missing().then(|| MISSING.into()) };
        told.map(|told: String| view! { <p class="notice notice-wrong" role="alert">{told}</p> })
    };
    let new = field == Field::NewPassword;
    view! {
        {trouble}
        {move || {
            (!spent.get() && !link.is_missing()).then(|| view! {
                <form class="form" method="post" novalidate on:submit=submit aria-busy=move || form.aria_busy()>
                    <FormAlert form />
                    <PasswordField
                        form
                        field
                        label=if new { "New password" } else { "Password" }
                        autocomplete=if new { "new-password" } else { "current-password" }
                        hint=if new { password_hint() } else { String::new() }
                    />
                    <SubmitButton form label busy />
                </form>
            })
        }}
    }
}
