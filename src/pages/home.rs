//! What somebody who has logged in finds: who they are, and how other programs check their token.

use leptos::prelude::*;

use crate::{
    app::settings,
    components::{breakable::breakable, dom, icon::Eyebrow},
    session::Session,
};

/// Who is logged in. Only the browser ever shows it: the server renders for strangers.
#[component]
pub fn Home() -> impl IntoView {
    let session = Session::current();
    let of = move |part: fn(crate::domain::account::Identity) -> String| {
        move || session.identity().map(part).unwrap_or_default()
    };
    let app_url = settings::APP_URL.get();
    let label = ["Continue to ", &settings::SERVICE.get()].concat();
    let account = if app_url.is_empty() { "button" } else { "button button-quiet" };
    view! {
        <Eyebrow text="Welcome" />
        <h1 tabindex="-1">"You are logged in"</h1>
        <p class="lead">"as " <strong translate="no" prop:textContent=of(|me| me.account.username)></strong></p>
        <dl class="facts">
            <dt>"Email"</dt>
            <dd><bdi>{move || session.identity().map(|me| breakable(&me.account.email))}</bdi></dd>
            <dt>"Member since"</dt>
            <dd>{of(|me| dom::local_date(&me.account.created_at))}</dd>
            <dt>"Session ends"</dt>
            <dd>{of(|me| dom::local_time(&me.expires_at))} <span class="hint">" at the latest"</span></dd>
        </dl>
        <Recipe />
        <p class="actions">
            {(!app_url.is_empty()).then(|| view! { <a class="button" href=app_url>{label}</a> })}
            <a class=account href="/account">"Your account"</a>
            <a class="button button-quiet" href="/logout">"Log out"</a>
        </p>
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
            <summary>"For developers: use this account from a program"</summary>
            <p>"A program logs in with one request and gets a token of its own:"</p>
            <pre><code>{log_in}</code></pre>
            <p>"Your app then asks whose token it was sent:"</p>
            <pre><code>{check}</code></pre>
            <p>
                "The answer is the account, or " <code>"401"</code> " once the session has ended."
            </p>
            <p>
                "A program of your own needs no password: make it an access token in your account. All calls: "
                <a href="/api/docs">"the API"</a>"."
            </p>
        </details>
    }
}
