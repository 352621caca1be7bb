//! Where one is logged in.

use leptos::{either::EitherOf3, prelude::*, task::spawn_local};
use server_fn::codec::Json;

use crate::{
    components::{confirm::Confirm, dom},
    domain::account::SessionLine,
    error::AppError,
    session::SessionClient,
};

/// The sessions of whoever is logged in, the last used first.
///
/// # Errors
/// [`AppError::SessionEnded`], [`AppError::Unavailable`].
#[server(name = OwnSessions, prefix = "/fn", endpoint = "sessions", input = Json, output = Json, client = SessionClient)]
pub async fn sessions() -> Result<Vec<SessionLine>, AppError> {
    crate::server::door::Door::open()?.sessions().await
}

/// Ends one session of whoever is logged in, by its identifier.
///
/// # Errors
/// [`AppError::ReauthRequired`], [`AppError::NotFound`], [`AppError::SessionEnded`], [`AppError::Unavailable`].
#[server(
    name = EndSession, prefix = "/fn", endpoint = "end_session", input = Json, output = Json, client = SessionClient
)]
pub async fn end_session(
    /// The session's identifier.
    id: String,
) -> Result<(), AppError> {
    crate::server::door::Door::open()?.end_session(&id).await
}

/// Ends every other session of whoever is logged in. Returns how many.
///
/// # Errors
/// [`AppError::ReauthRequired`], [`AppError::SessionEnded`], [`AppError::Unavailable`].
#[server(
    name = EndOtherSessions, prefix = "/fn", endpoint = "end_other_sessions", input = Json, output = Json,
    client = SessionClient
)]
pub async fn end_other_sessions() -> Result<u64, AppError> {
    crate::server::door::Door::open()?.end_other_sessions().await
}

/// What is known of the list.
#[derive(Clone)]
enum List {
    Coming,
    Here(Vec<SessionLine>),
    Trouble(AppError),
}

/// The list of sessions, each with its button.
#[component]
pub fn Sessions(
    /// Asks for the password where it must.
    confirm: Confirm,
) -> impl IntoView {
    let list = RwSignal::new(List::Coming);
    let said = RwSignal::new(String::new());
    let load = move || {
        spawn_local(async move {
            let answer = sessions().await;
            list.try_set(answer.map_or_else(List::Trouble, List::Here));
        });
    };
    load();
    // What came of an act is said, and the list told anew.
    let done = move |answer: Result<String, AppError>| {
        match answer {
            // Who doesn't want to confirm has changed their mind.
            Err(AppError::ReauthRequired) => return,
            Ok(text) => said.try_set(text),
            Err(error) => said.try_set(error.to_string()),
        };
        load();
        dom::focus_id("sessions-heading");
    };
    let end = move |line: SessionLine| {
        let told = [&line.client, " is logged out."].concat();
        confirm.with_proof(
            move || {
                let (id, told) = (line.id.clone(), told.clone());
                async move { end_session(id).await.map(|()| told) }
            },
            done,
        );
    };
    let end_others = move |_| {
        confirm
            .with_proof(|| async { end_other_sessions().await.map(|_| "All other sessions are ended.".into()) }, done);
    };
    let lines = move || match list.get() {
        List::Coming => EitherOf3::A(view! { <p class="hint" role="status">"Loading your sessions…"</p> }),
        List::Trouble(error) => EitherOf3::B(view! {
            <p class="notice notice-wrong" role="alert">{error.to_string()}</p>
            <p class="actions">
                <button class="button button-quiet" type="button" on:click=move |_| load()>"Try again"</button>
            </p>
        }),
        List::Here(lines) => {
            let others = lines.len() > 1;
            EitherOf3::C(view! {
                <ul class="lines">
                    {lines.into_iter().map(|line| view! { <Line line end /> }).collect_view()}
                </ul>
                {if others {
                    view! {
                        <p class="actions">
                            <button class="button button-quiet" type="button" on:click=end_others>
                                "End all other sessions"
                            </button>
                        </p>
                    }
                        .into_any()
                } else {
                    view! { <p class="hint">"You are logged in nowhere else."</p> }.into_any()
                }}
            })
        }
    };
    view! {
        <section aria-labelledby="sessions-heading">
            <h2 id="sessions-heading" tabindex="-1">"Sessions"</h2>
            <p class="hint">"Where you are logged in. End those that you don't know, and change your password then."</p>
            <p class="notice" role="status">{said}</p>
            {lines}
        </section>
    }
}

#[component]
fn Line<F: Fn(SessionLine) + 'static>(line: SessionLine, end: F) -> impl IntoView {
    let seen = ["Last used ", &dom::short_time(&line.last_seen_at)].concat();
    let begun = dom::short_time(&line.created_at);
    let place = if line.network.is_empty() { String::new() } else { [" · ", &line.network].concat() };
    let since = ["Since ", &begun, &place].concat();
    let name = line.client.clone();
    let action = if line.current {
        view! { <span class="tag">"This one"</span> }.into_any()
    } else {
        let label = ["End the session of ", &line.client, ", begun on ", &begun].concat();
        view! {
            <button
                class="button button-quiet"
                type="button"
                aria-label=label
                on:click=move |_| end(line.clone())
            >
                "End"
            </button>
        }
        .into_any()
    };
    view! {
        <li>
            <div>
                <strong>{name}</strong>
                <p class="hint">{seen}</p>
                <p class="hint">{since}</p>
            </div>
            {action}
        </li>
    }
}
