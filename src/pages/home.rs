//! The home view: the account that is logged in, and how programs log in and check a token.

use leptos::prelude::*;

use crate::{
    browser::{dom, settings},
    components::{breakable::breakable, copy::Copyable, log_out_here::LogOutHere},
    domain::account::CurrentSession,
    session::AuthState,
};

/// The view. Only the browser shows it, because the server always renders the logged-out page.
#[component]
pub fn Home() -> impl IntoView {
    let auth = AuthState::current();
    let of = move |part: fn(CurrentSession) -> String| move || auth.session().map(part).unwrap_or_default();
    let app_url = settings::APP_URL.get();
    let label = ["Continue to ", &settings::SERVICE.get()].concat();
    let account = if app_url.is_empty() { "button" } else { "button button-quiet" };
    view! {
        <h1 tabindex="-1">"Hello, " <span translate="no" prop:textContent=of(|session| session.account.username)></span></h1>
        <dl class="facts">
            <dt>"Email"</dt>
            <dd><bdi>{move || auth.session().map(|session| breakable(&session.account.email))}</bdi></dd>
            <dt>"Member since"</dt>
            <dd>{of(|session| dom::local_date(&session.account.created_at))}</dd>
            <dt>"Session ends"</dt>
            <dd>{of(|session| dom::local_time(&session.expires_at))} <span class="hint">" at the latest"</span></dd>
        </dl>
        <p class="actions">
            {(!app_url.is_empty()).then(|| view! { <a class="button" href=app_url>{label}</a> })}
            <a class=account href="/account">"Your account"</a>
            <LogOutHere quiet=true label="Log out" />
        </p>
        <Recipe />
    }
}

/// How an app uses this server. The example has a placeholder instead of the token.
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
            <p>"Log in from a program and get a session token:"</p>
            <Copyable id="curl-login" name="Copy the login command" text=log_in />
            <p>"Check in your app which account a token belongs to:"</p>
            <Copyable id="curl-me" name="Copy the check command" text=check />
            <p>
                "The response is the account, or " <code>"401"</code> " once the session has ended. All endpoints: "
                <a href="/api/docs">"API reference"</a>"."
            </p>
            <p>"Your own scripts need no password: " <a href="/account/tokens">"create an access token"</a>"."</p>
        </details>
    }
}
