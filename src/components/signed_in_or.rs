//! Chooses a view by the login state.

use leptos::{either::EitherOf3, prelude::*};

use super::log_out_here::LogOutHere;
use crate::session::{AuthState, Phase};

/// Shows one view if nobody is logged in and another if somebody is. Shows an error if the session could not be
/// checked.
pub fn signed_in_or<A, B>(
    signed_out: impl Fn() -> A + Send + 'static,
    signed_in: impl Fn() -> B + Send + 'static,
) -> impl IntoView
where
    A: IntoView + 'static,
    B: IntoView + 'static,
{
    let auth = AuthState::current();
    let phase = Memo::new(move |_| auth.phase());
    move || match phase.get() {
        Phase::SignedOut | Phase::OtherAccount => EitherOf3::A(signed_out()),
        Phase::Checking => EitherOf3::B(view! { <CheckFailed /> }),
        Phase::SignedIn => EitherOf3::C(signed_in()),
    }
}

/// The error after a failed check of the session. The token is still stored, so the view offers to try again.
#[component]
fn CheckFailed() -> impl IntoView {
    let auth = AuthState::current();
    view! {
        <h1 tabindex="-1">"Your session could not be checked"</h1>
        <p
            class="notice notice-wrong"
            role="alert"
            prop:textContent=move || auth.check_error().map(|error| error.to_string()).unwrap_or_default()
        ></p>
        <p class="lead">"You're still logged in."</p>
        <div class="actions">
            <button class="button" type="button" on:click=move |_| auth.retry()>"Try again"</button>
            <LogOutHere quiet=true />
        </div>
    }
}
