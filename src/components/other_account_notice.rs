//! The view after a login to another account in another tab of the same browser.

use leptos::prelude::*;

use crate::session::AuthState;

/// The view. To continue, it reloads the page, so that no operation begins as one account and ends as the other.
#[component]
pub fn OtherAccountNotice(
    /// The username of the account that is now logged in.
    username: String,
) -> impl IntoView {
    let label = ["Continue as ", &username].concat();
    view! {
        <h1 tabindex="-1">"You are now logged in as " <span translate="no">{username}</span></h1>
        <p class="lead">"This happened in another tab. All tabs of a browser share one session. This tab stopped what it was doing."</p>
        <p class="lead">"To use another account, log out first, or use a private window."</p>
        <p class="actions">
            <button class="button" type="button" on:click=|_| AuthState::reload_page()>{label}</button>
        </p>
    }
}
