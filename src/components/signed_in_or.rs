//! The fork between strangers and those who are logged in.

use leptos::{either::EitherOf3, prelude::*};

use super::log_out_here::LogOutHere;
use crate::session::{AuthState, Phase};

/// One view for strangers, another for those who are logged in, and a word for those of whom the server can't tell.
pub fn signed_in_or<A, B>(stranger: fn() -> A, signed_in: fn() -> B) -> impl IntoView
where
    A: IntoView + 'static,
    B: IntoView + 'static,
{
    let session = AuthState::current();
    let phase = Memo::new(move |_| session.phase());
    move || match phase.get() {
        Phase::Stranger | Phase::Elsewhere => EitherOf3::A(stranger()),
        Phase::Checking => EitherOf3::B(view! { <Trouble /> }),
        Phase::SignedIn => EitherOf3::C(signed_in()),
    }
}

/// The token is there, but the server can't say whose it is. Nothing is lost, so it offers to try again.
#[component]
fn Trouble() -> impl IntoView {
    let session = AuthState::current();
    view! {
        <h1 tabindex="-1">"Your session could not be checked"</h1>
        <p
            class="notice notice-wrong"
            role="alert"
            prop:textContent=move || session.trouble().map(|trouble| trouble.to_string()).unwrap_or_default()
        ></p>
        <p class="lead">"You're still logged in."</p>
        <div class="actions">
            <button class="button" type="button" on:click=move |_| session.retry()>"Try again"</button>
            <LogOutHere quiet=true />
        </div>
    }
}
