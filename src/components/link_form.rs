//! The form that a link from a mail opens. It asks for a password and then carries out the operation of the link.

use std::{future::Future, pin::Pin};

use leptos::{either::Either, ev::SubmitEvent, prelude::*, task::spawn_local};

use super::{
    field::{HiddenUsername, PasswordField},
    form::{FormAlert, FormState, SubmitButton},
    link_token::LinkToken,
    new_password::NewPasswordField,
};
use crate::{
    browser::{location::Address, typed},
    domain::requests::Text,
    error::{AppError, Field},
    route::View,
    session::{AuthState, Notice, Phase},
};

/// A pending request, which returns the account's email.
pub type PendingRequest = Pin<Box<dyn Future<Output = Result<String, AppError>>>>;

/// The form. Opening its page changes nothing, because mail scanners follow links, too (OWASP Forgot Password Cheat
/// Sheet).
#[component]
pub fn LinkForm(
    /// The link that was opened.
    link: LinkToken,
    /// Which password the form asks for: the account's password or a new one.
    field: Field,
    /// The button's label.
    label: &'static str,
    /// The button's label while the request is pending.
    busy: &'static str,
    /// Sends the link's token and the password.
    send: fn(Text, Text) -> PendingRequest,
    /// The notice after success, shown above the next view.
    success: &'static str,
) -> impl IntoView {
    let (auth, address) = (AuthState::current(), Address::current());
    let form = FormState::new("link");
    let email_field = RwSignal::new(auth.draft());
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some([password]) = form.begin([field]) else { return };
        spawn_local(async move {
            let result = send(link.get().into(), password.into()).await;
            if matches!(result, Err(AppError::LinkInvalid | AppError::SetupLinkInvalid)) {
                form.cancel();
                link.invalidate();
                return;
            }
            let Some(email) = form.finish(result) else { return };
            link.used();
            email_field.try_set(email.clone());
            // The operation may have ended the session of this tab.
            auth.check().await;
            let next = if auth.phase() == Phase::SignedOut { View::LogIn } else { View::ACCOUNT };
            if next == View::LogIn {
                typed::forget();
                auth.set_draft(email);
            }
            auth.announce(next, Notice::Done(success));
            address.navigate(next);
        });
    };
    view! {
        <form class="form" method="post" novalidate on:submit=submit aria-busy=move || form.aria_busy()>
            <FormAlert form />
            <HiddenUsername email=email_field />
            {if field == Field::NewPassword {
                Either::Left(view! { <NewPasswordField form field label="New password" /> })
            } else {
                Either::Right(view! {
                    <PasswordField form field label="Password" autocomplete="current-password" hint="" />
                })
            }}
            <SubmitButton form label busy />
        </form>
    }
}
