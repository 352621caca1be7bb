//! The history of the account.

use leptos::{either::Either, prelude::*, task::spawn_local};

use super::row::SEPARATOR;
use crate::{
    browser::dom,
    components::{
        action_status::{ActionStatus, ActionStatusLine},
        loaded::{List, loaded},
    },
    domain::account::{HistoryLine, HistoryPage},
    error::AppError,
    json::Json,
    session::BearerTransport,
};

/// A page of the account's history, the newest first.
#[server(name = OwnHistory, prefix = "/fn", endpoint = "history", input = Json, output = Json, client = BearerTransport)]
pub async fn history(
    /// The identifier of the event before which the page begins. Empty for the first page.
    before: String,
) -> Result<HistoryPage, AppError> {
    use crate::{http::context::PageContext, service::Principal};

    let mut context = PageContext::from_request()?;
    let principal: Principal = context.extract().await?;
    // Anything but an identifier would be a position too.
    let before = if before.is_empty() {
        before
    } else {
        uuid::Uuid::parse_str(&before).map_err(|_| AppError::BadRequest)?.to_string()
    };
    Ok(context.service().history_page(&principal, &before).await?)
}

/// The heading's id.
const HEADING: &str = "history-heading";

/// The part with the history. The first page is loaded at once, and each further one on request.
#[component]
pub fn History() -> impl IntoView {
    let first = List::load(|| Box::pin(async { history(String::new()).await.map(|page| vec![page]) }));
    let view = |pages: Vec<HistoryPage>| pages.into_iter().next().map(|page| view! { <Pages first=page /> });
    view! {
        <h1 id=HEADING tabindex="-1">"History"</h1>
        <p class="lead">"What happened to your account, the newest first. Old entries are deleted."</p>
        {loaded(first, "your history", HEADING, view)}
    }
}

/// The loaded pages as one list, and the button for the next one.
#[component]
fn Pages(first: HistoryPage) -> impl IntoView {
    let lines = RwSignal::new(first.lines);
    let next = RwSignal::new(first.next);
    let status = ActionStatus::none();
    let more = move |_| {
        let Some(before) = next.get_untracked() else { return };
        status.begin("Loading more…");
        spawn_local(async move {
            match history(before).await {
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
    view! {
        <ul class="rows">{move || lines.get().into_iter().map(|line| view! { <Line line /> }).collect_view()}</ul>
        <p class="actions">
            {move || match next.get() {
                Some(_) => Either::Left(view! {
                    <button class="button button-quiet" type="button" on:click=more>"Show more"</button>
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
                <p>{text}</p>
                <p class="hint"><bdi>{place}</bdi></p>
            </div>
        </li>
    }
}
