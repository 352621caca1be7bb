//! The sessions and the access tokens of the account.

use leptos::prelude::*;

use super::{
    acts::act_on_account,
    person::{Pending, Person},
};
use crate::{
    browser::dom,
    components::{
        action_status::{ActionStatus, ActionStatusLine},
        confirm_button::ConfirmButton,
        rows::SEPARATOR,
    },
    domain::{
        account::{AccessTokenLine, SessionLine},
        act::Act,
        requests::PlainAct,
    },
};

/// The headings' ids.
const SESSIONS: &str = "sessions-heading";
const TOKENS: &str = "tokens-heading";

/// The section with the sessions.
#[component]
pub fn Sessions(
    /// The account.
    person: Person,
) -> impl IntoView {
    let status = ActionStatus::none();
    let sessions = Memo::new(move |_| person.with(|details| details.sessions.clone()));
    let is_empty = Memo::new(move |_| sessions.with(Vec::is_empty));
    let end = move || {
        let call = move || -> Pending { Box::pin(act_on_account(person.id(), PlainAct::EndSessions)) };
        let done = "The account is logged out everywhere.".to_owned();
        person.act(status, "log out the account", SESSIONS, done, call);
    };
    let button = move || {
        (!is_empty.get() && person.may(Act::EndSessions)).then(|| {
            view! {
                <p class="actions">
                    <ConfirmButton
                        label="Log out everywhere"
                        name="Log out everywhere"
                        question="End all sessions and revoke all access tokens?"
                        action=end
                    />
                </p>
            }
        })
    };
    view! {
        <section aria-labelledby=SESSIONS>
            <h2 id=SESSIONS tabindex="-1">"Sessions"</h2>
            <ActionStatusLine status />
            <ul class="rows">{move || sessions.get().into_iter().map(session_row).collect_view()}</ul>
            {move || is_empty.get().then(|| view! { <p class="none">"Logged in nowhere."</p> })}
            {button}
        </section>
    }
}

fn session_row(line: SessionLine) -> impl IntoView {
    let network = if line.network.is_empty() { String::new() } else { [SEPARATOR, &line.network].concat() };
    let logged_in = ["Logged in ", &dom::short_time(&line.created_at), &network].concat();
    let last_used = ["Last used ", &dom::short_time(&line.last_seen_at)].concat();
    view! {
        <li class="row">
            <div class="row-value">
                <p><strong><bdi translate="no">{line.client}</bdi></strong></p>
                <p class="hint">{last_used}</p>
                <p class="hint">{logged_in}</p>
            </div>
        </li>
    }
}

/// The section with the access tokens.
#[component]
pub fn AccessTokens(
    /// The account.
    person: Person,
) -> impl IntoView {
    let status = ActionStatus::none();
    let tokens = Memo::new(move |_| person.with(|details| details.access_tokens.clone()));
    let is_empty = Memo::new(move |_| tokens.with(Vec::is_empty));
    let revoke = move || {
        let call = move || -> Pending { Box::pin(act_on_account(person.id(), PlainAct::RevokeTokens)) };
        person.act(status, "revoke access tokens", TOKENS, "All access tokens are revoked.".to_owned(), call);
    };
    let button = move || {
        (!is_empty.get() && person.may(Act::RevokeTokens)).then(|| {
            view! {
                <p class="actions">
                    <ConfirmButton
                        label="Revoke all tokens"
                        name="Revoke all tokens"
                        question="Revoke all access tokens? Scripts that use them stop working."
                        action=revoke
                    />
                </p>
            }
        })
    };
    view! {
        <section aria-labelledby=TOKENS>
            <h2 id=TOKENS tabindex="-1">"Access tokens"</h2>
            <ActionStatusLine status />
            <ul class="rows">{move || tokens.get().into_iter().map(token_row).collect_view()}</ul>
            {move || is_empty.get().then(|| view! { <p class="none">"No access tokens."</p> })}
            {button}
        </section>
    }
}

fn token_row(line: AccessTokenLine) -> impl IntoView {
    let permissions = if line.scope == "full" { "Read and change" } else { "Read only" };
    let last_used = match &line.last_used_at {
        Some(time) => [permissions, SEPARATOR, "last used ", &dom::short_time(time)].concat(),
        None => [permissions, SEPARATOR, "never used"].concat(),
    };
    let (created, expires) = (dom::short_time(&line.created_at), dom::short_time(&line.expires_at));
    let lifetime = ["Created ", &created, SEPARATOR, "expires ", &expires].concat();
    view! {
        <li class="row">
            <div class="row-value">
                <p><strong><bdi translate="no">{line.name}</bdi></strong></p>
                <p class="hint">{last_used}</p>
                <p class="hint">{lifetime}</p>
            </div>
        </li>
    }
}
