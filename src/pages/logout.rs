//! The logout view.

use leptos::{either::Either, prelude::*};

use crate::{
    components::log_out_here::LogOutHere,
    session::{AuthState, Phase},
};

/// The view. It can also log out while the session is still being checked.
#[component]
pub fn Logout() -> impl IntoView {
    let auth = AuthState::current();
    let signed_out = Memo::new(move |_| auth.phase() == Phase::SignedOut);
    move || {
        if signed_out.get() {
            Either::Left(view! {
                <h1 tabindex="-1">"You are logged out"</h1>
                <p class="actions"><a class="button" href="/login">"Log in"</a></p>
            })
        } else {
            Either::Right(view! {
                <h1 tabindex="-1">"Do you want to log out?"</h1>
                <p class="lead">"You'll be logged out in every tab of this browser. Your other devices stay logged in."</p>
                <p class="actions">
                    <LogOutHere />
                    <a class="button button-quiet" href="/login">"Stay logged in"</a>
                </p>
            })
        }
    }
}
