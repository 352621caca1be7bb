//! What somebody who has logged in finds: who they are, and how other programs check their token.

use leptos::prelude::*;

use crate::{
    browser::{dom, settings},
    components::{breakable::breakable, copy::Copyable, log_out_here::LogOutHere},
    session::AuthState,
};

/// Who is logged in. Only the browser ever shows it: the server renders for strangers.
#[component]
pub fn Home() -> impl IntoView {
    let session = AuthState::current();
    let of = move |part: fn(crate::domain::account::Identity) -> String| {
        move || session.identity().map(part).unwrap_or_default()
    };
    let app_url = settings::APP_URL.get();
    let label = ["Continue to ", &settings::SERVICE.get()].concat();
    let account = if app_url.is_empty() { "button" } else { "button button-quiet" };
    view! {
        <h1 tabindex="-1">"Hello, " <span translate="no" prop:textContent=of(|me| me.account.username)></span></h1>
        <dl class="facts">
            <dt>"Email"</dt>
            <dd><bdi>{move || session.identity().map(|me| breakable(&me.account.email))}</bdi></dd>
            <dt>"Member since"</dt>
            <dd>{of(|me| dom::local_date(&me.account.created_at))}</dd>
            <dt>"Session ends"</dt>
            <dd>{of(|me| dom::local_time(&me.expires_at))} <span class="hint">" at the latest"</span></dd>
        </dl>
        <p class="actions">
            {(!app_url.is_empty()).then(|| view! { <a class="button" href=app_url>{label}</a> })}
            <a class=account href="/account">"Your account"</a>
            <LogOutHere quiet=true label="Log out" />
        </p>
        <Recipe />
    }
}

/// How an app uses this server. It names the token without showing it.
#[component]
fn Recipe() -> impl IntoView {
    let origin = location().origin().unwrap_or_default();
    let log_in = [
        "curl ",
        &origin,
        "/api/accounts/api_auth/ \\\n  -H \"Content-Type: application/json\" \\\n  \
         -d '{\"email\": \"you@example.org\", \"password\": \"…\"}'",
    ]
    .concat();
    let check = ["curl ", &origin, "/api/accounts/me/ \\\n  -H \"Authorization: Bearer $TOKEN\""].concat();
    view! {
        <details class="recipe">
            <summary>"For developers"</summary>
            <p>"A program logs in and gets a token of its own:"</p>
            <Copyable id="curl-login" name="Copy the login command" text=log_in />
            <p>"Your app asks whose token it was sent:"</p>
            <Copyable id="curl-me" name="Copy the check command" text=check />
            <p>
                "The answer is the account, or " <code>"401"</code> " once the session has ended. All calls: "
                <a href="/api/docs">"API reference"</a>"."
            </p>
            <p>"Your own scripts need no password: " <a href="/account/tokens">"create an access token"</a>"."</p>
        </details>
    }
}
