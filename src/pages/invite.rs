//! The target of an invitation's link.

use leptos::{either::Either, prelude::*};

use super::register::{AlreadyLoggedIn, RegisterForm};
use crate::{
    browser::settings,
    components::{
        link_token::{Fallback, LinkToken, followed},
        signed_in_or::signed_in_or,
    },
    route::View,
};

const FALLBACK: Fallback = Fallback {
    missing: "Open the whole link of your invitation, with the part after the #.",
    why: "It has expired, was revoked or already used. Ask the person who invited you for a new one.",
    label: "Log in",
    to: View::LogIn,
};

/// The view.
#[component]
pub fn Invite() -> impl IntoView {
    followed(LinkToken::take(), FALLBACK, |link| {
        signed_in_or(move || view! { <Accept link /> }, || view! { <AlreadyLoggedIn /> })
    })
}

/// The form, once it is known for which email the invitation is.
#[component]
fn Accept(link: LinkToken) -> impl IntoView {
    let lead = format!("Create your account at {}.", settings::SERVICE.get());
    view! {
        <h1 tabindex="-1">"You are invited"</h1>
        <p class="lead">{lead}</p>
        {move || match link.checked() {
            None => Either::Left(view! { <p role="status">"Checking your invitation…"</p> }),
            Some(email) => Either::Right(view! { <RegisterForm invitation=link email=email.unwrap_or_default() /> }),
        }}
    }
}
