//! The form behind a link from a mail: a password, and what the link does.

use std::{future::Future, pin::Pin};

use leptos::{ev::SubmitEvent, prelude::*, task::spawn_local};

use super::{
    field::{HiddenUsername, PasswordField},
    form::{FormAlert, FormState, SubmitButton},
    link_token::LinkToken,
};
use crate::{
    browser::{location::Address, typed},
    components::field::password_hint,
    error::{AppError, Field},
    route::View,
    session::{AuthState, Notice, Phase},
};

/// A call on its way. It answers the email of the account.
pub type Calling = Pin<Box<dyn Future<Output = Result<String, AppError>>>>;

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
    let (session, address) = (AuthState::current(), Address::current());
    let form = FormState::new("link");
    let owner = RwSignal::new(session.draft());
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some([password]) = form.begin([field]) else { return };
        spawn_local(async move {
            let answer = send(link.get(), password).await;
            if matches!(answer, Err(AppError::LinkInvalid)) {
                form.rest();
                link.die();
                return;
            }
            let Some(email) = form.finish(answer) else { return };
            link.used();
            owner.try_set(email.clone());
            // It may have ended the session of this tab.
            session.check().await;
            let next = if session.phase() == Phase::Stranger { View::LogIn } else { View::ACCOUNT };
            if next == View::LogIn {
                typed::forget();
                session.set_draft(email);
            }
            session.announce(next, Notice::Done(told));
            address.go(next);
        });
    };
    let new = field == Field::NewPassword;
    view! {
        <form class="form" method="post" novalidate on:submit=submit aria-busy=move || form.aria_busy()>
            <FormAlert form />
            <HiddenUsername email=owner />
            <PasswordField
                form
                field
                label=if new { "New password" } else { "Password" }
                autocomplete=if new { "new-password" } else { "current-password" }
                hint=if new { password_hint() } else { String::new() }
            />
            <SubmitButton form label busy />
        </form>
    }
}
