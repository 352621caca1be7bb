//! The fork between strangers and those who are logged in.

use leptos::prelude::*;

use super::log_out_here::LogOutHere;
use crate::session::{Phase, Session};

/// One view for strangers, another for those who are logged in, and a word for those of whom the server can't tell.
pub fn gate(stranger: fn() -> AnyView, signed_in: fn() -> AnyView) -> impl IntoView {
    let session = Session::current();
    let phase = Memo::new(move |_| session.phase());
    move || match phase.get() {
        Phase::Stranger => stranger(),
        Phase::Checking => view! { <Trouble /> }.into_any(),
        Phase::SignedIn => signed_in(),
    }
}

/// The token is there, but the server can't say whose it is. Nothing is lost, so it offers to try again.
#[component]
fn Trouble() -> impl IntoView {
    let session = Session::current();
    view! {
        <h1 tabindex="-1">"Your session could not be checked"</h1>
        <p class="notice notice-wrong" role="alert">
            {move || session.trouble().map(|trouble| trouble.to_string())}
        </p>
        <p class="lead">"You stay logged in meanwhile."</p>
        <div class="actions">
            <button class="button" type="button" on:click=move |_| session.retry()>"Try again"</button>
            <LogOutHere />
        </div>
    }
}
