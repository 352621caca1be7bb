//! What a tab shows once somebody else has logged in in another tab of the same browser.

use leptos::prelude::*;

use crate::session::AuthState;

/// The view. Going on loads the page again: nothing that was begun as the one may be done as the other.
#[component]
pub fn Elsewhere(
    /// Who has logged in there.
    username: String,
) -> impl IntoView {
    let label = ["Continue as ", &username].concat();
    view! {
        <h1 tabindex="-1">"You are now logged in as " <span translate="no">{username}</span></h1>
        <p class="lead">"This happened in another tab. All tabs of a browser share one session. What this tab was doing was stopped."</p>
        <p class="lead">"To use another account, log out first, or use a private window."</p>
        <p class="actions">
            <button class="button" type="button" on:click=|_| AuthState::start_anew()>{label}</button>
        </p>
    }
}
