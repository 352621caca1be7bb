//! Where one is logged in.

use std::rc::Rc;

use leptos::{either::Either, prelude::*, task::spawn_local};
use server_fn::codec::Json;

use crate::{
    components::{
        ask_once::AskOnce,
        confirm::{Act, Confirm, Done},
        dom,
        loaded::{Away, Loaded},
        outcome::{Outcome, OutcomeLine},
    },
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

/// Ends every other session of whoever is logged in.
///
/// # Errors
/// [`AppError::ReauthRequired`], [`AppError::SessionEnded`], [`AppError::Unavailable`].
#[server(
    name = EndOtherSessions, prefix = "/fn", endpoint = "end_other_sessions", input = Json, output = Json,
    client = SessionClient
)]
pub async fn end_other_sessions() -> Result<(), AppError> {
    crate::server::door::Door::open()?.end_other_sessions().await
}

/// The id of the part's heading.
const HEADING: &str = "sessions-heading";

/// The list of sessions, each with its button.
#[component]
pub fn Sessions(
    /// Asks for the password where it must.
    confirm: Confirm,
    /// Tells when sessions have ended by other means.
    changed: Trigger,
) -> impl IntoView {
    let list = RwSignal::new(Loaded::Away(None));
    let outcome = Outcome::none();
    let load = StoredValue::new_local(Box::new(move || {
        spawn_local(async move {
            let answer = sessions().await;
            list.try_set(answer.into());
        });
    }) as Box<dyn Fn()>);
    let reload = move || load.with_value(|load| load());
    Effect::new(move |_| {
        changed.track();
        reload();
    });
    // What came of an act is said, and the list told anew.
    let done: Done = Rc::new(move |answer| {
        let acted = answer != Err(AppError::ReauthRequired);
        outcome.end(answer);
        if acted {
            reload();
            dom::focus_id(HEADING.into());
        }
    });
    let done = StoredValue::new_local(done);
    let end = move |line: &SessionLine| {
        let (id, told) = (line.id.clone(), [&line.client, " is logged out."].concat());
        let act: Act = Rc::new(move || {
            let (id, told) = (id.clone(), told.clone());
            Box::pin(async move {
                match end_session(id).await {
                    // Somebody was quicker, or it has ended by itself.
                    Ok(()) | Err(AppError::NotFound) => Ok(told),
                    Err(error) => Err(error),
                }
            })
        });
        outcome.begin("Ending it…");
        confirm.with_proof("end a session", act, done.get_value());
    };
    let end_others = move || {
        let act: Act =
            Rc::new(|| Box::pin(async { end_other_sessions().await.map(|()| "All other sessions are ended.".into()) }));
        outcome.begin("Ending them…");
        confirm.with_proof("end all other sessions", act, done.get_value());
    };
    let lines = move || match list.get() {
        Loaded::Away(trouble) => {
            Either::Left(view! { <Away trouble loading="Loading your sessions…" heading=HEADING load /> })
        }
        Loaded::Here(lines) => {
            let others = (lines.len() > 1).then(|| {
                view! {
                    <p class="actions">
                        <AskOnce
                            label="End all other sessions"
                            name="End all other sessions"
                            question="Log out everywhere but here?"
                            act=end_others
                        />
                    </p>
                }
            });
            let alone = others.is_none().then_some("You are logged in nowhere else.");
            Either::Right(view! {
                <ul class="lines">{lines.into_iter().map(|line| view! { <Line line end /> }).collect_view()}</ul>
                {others}
                <p class="hint">{alone}</p>
            })
        }
    };
    view! {
        <section aria-labelledby=HEADING>
            <h2 id=HEADING tabindex="-1">"Sessions"</h2>
            <p class="hint">"Where you are logged in. End those that you don't know; then change your password, and revoke access tokens that you don't know."</p>
            <OutcomeLine outcome />
            {lines}
        </section>
    }
}

#[component]
fn Line<F: Fn(&SessionLine) + 'static>(line: SessionLine, end: F) -> impl IntoView {
    let seen = ["Last used ", &dom::short_time(&line.last_seen_at)].concat();
    let begun = dom::short_time(&line.created_at);
    let place = if line.network.is_empty() { String::new() } else { [" · ", &line.network].concat() };
    let since = ["Since ", &begun, &place].concat();
    let label = ["End the session of ", &line.client, ", begun on ", &begun].concat();
    let (name, current) = (line.client.clone(), line.current);
    view! {
        <li>
            <div>
                <strong>{name}</strong>
                <p class="hint">{seen}</p>
                <p class="hint">{since}</p>
            </div>
            {if current {
                Either::Left(view! { <span class="tag">"This one"</span> })
            } else {
                Either::Right(
                    view! {
                        <AskOnce label="End" name=label question="Log it out there?" act=move || end(&line) />
                    },
                )
            }}
        </li>
    }
}
