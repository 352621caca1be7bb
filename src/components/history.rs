//! The history of an account as a list.

use std::{future::Future, pin::Pin};

use leptos::{either::Either, prelude::*, task::spawn_local};

use super::{
    action_status::{ActionStatus, ActionStatusLine},
    rows::SEPARATOR,
};
use crate::{
    browser::dom,
    domain::account::{HistoryLine, HistoryPage},
    error::AppError,
};

/// A requested page of a history.
pub type PendingPage = Pin<Box<dyn Future<Output = Result<HistoryPage, AppError>>>>;

/// The loaded pages as one list, and the button for the next one.
#[component]
pub fn HistoryLines<F: Fn(String) -> PendingPage + 'static>(
    /// The first page.
    first: HistoryPage,
    /// Requests the page before an event, by its identifier.
    fetch: F,
) -> impl IntoView {
    let lines = RwSignal::new(first.lines);
    let next = RwSignal::new(first.next);
    let status = ActionStatus::none();
    let more = move |_| {
        let Some(before) = next.get_untracked() else { return };
        status.begin("Loading more…");
        let page = fetch(before);
        spawn_local(async move {
            match page.await {
                Ok(page) => {
                    // The button may disappear, so the focus moves to the first new line.
                    let new = page.lines.first().map(|line| line.id.clone());
                    status.clear();
                    next.try_set(page.next);
                    lines.try_update(|lines| lines.extend(page.lines));
                    if let Some(id) = new {
                        dom::focus_id(id);
                    }
                }
                Err(error) => status.end(Err(error)),
            }
        });
    };
    let more = StoredValue::new_local(more);
    view! {
        <ul class="rows">{move || lines.get().into_iter().map(|line| view! { <Line line /> }).collect_view()}</ul>
        <p class="actions">
            {move || match next.get() {
                Some(_) => Either::Left(view! {
                    <button class="button button-quiet" type="button" on:click=move |event| more.with_value(|more| more(event))>
                        "Show more"
                    </button>
                }),
                None => Either::Right(view! { <span class="hint">"This is everything."</span> }),
            }}
        </p>
        <ActionStatusLine status />
    }
}

#[component]
fn Line(line: HistoryLine) -> impl IntoView {
    let HistoryLine { id, at, text, network, client } = line;
    let mut place = dom::short_time(&at);
    for part in [network, client] {
        if !part.is_empty() {
            place = [&place, SEPARATOR, &part].concat();
        }
    }
    view! {
        <li class="row" id=id tabindex="-1">
            <div class="row-value">
                <p><bdi>{text}</bdi></p>
                <p class="hint"><bdi>{place}</bdi></p>
            </div>
        </li>
    }
}
