//! The history of the account.

use leptos::prelude::*;

use crate::{
    components::{
        history::HistoryLines,
        loaded::{List, loaded},
    },
    domain::account::HistoryPage,
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
    let view = |pages: Vec<HistoryPage>| {
        let first = pages.into_iter().next();
        first.map(|first| view! { <HistoryLines first fetch=|before| Box::pin(history(before)) /> })
    };
    view! {
        <h1 id=HEADING tabindex="-1">"History"</h1>
        <p class="lead">"What happened to your account, the newest first. Old entries are deleted."</p>
        {loaded(first, "your history", HEADING, view)}
    }
}
