//! The view for logging out.

use leptos::{either::Either, prelude::*};

use crate::{
    components::log_out_here::LogOutHere,
    session::{AuthState, Phase},
};

/// The view. A token whose owner isn't known yet can be given up too.
#[component]
pub fn Logout() -> impl IntoView {
    let session = AuthState::current();
    let stranger = Memo::new(move |_| session.phase() == Phase::Stranger);
    move || {
        if stranger.get() {
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
