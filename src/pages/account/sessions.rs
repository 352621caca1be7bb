//! The list of sessions.

use leptos::{prelude::*, task::spawn_local};

use crate::{
    browser::dom,
    components::{
        action_status::{ActionStatus, ActionStatusLine},
        confirm_button::ConfirmButton,
        loaded::{List, loaded},
        reauth_prompt::ReauthPrompt,
        rows::SEPARATOR,
    },
    domain::account::SessionLine,
    error::AppError,
    json::Json,
    route::Part,
    session::BearerTransport,
};

/// The sessions of the account, the most recently used first.
#[server(name = OwnSessions, prefix = "/fn", endpoint = "sessions", input = Json, output = Json, client = BearerTransport)]
pub async fn sessions() -> Result<Vec<SessionLine>, AppError> {
    use crate::{http::context::PageContext, service::Principal};

    let mut context = PageContext::from_request()?;
    let principal: Principal = context.extract().await?;
    Ok(context.service().list_sessions(&principal).await?)
}

/// Ends one session of the account by its identifier.
#[server(
    name = EndSession, prefix = "/fn", endpoint = "end_session", input = Json, output = Json, client = BearerTransport
)]
pub async fn end_session(
    /// The session's identifier.
    id: String,
) -> Result<(), AppError> {
    use crate::{http::context::PageContext, service::Proven};

    let mut context = PageContext::from_request()?;
    let proven: Proven = context.extract().await?;
    Ok(context.service().end_session(&context.caller, &proven, &id).await?)
}

/// Ends every other session of the account.
#[server(
    name = EndOtherSessions, prefix = "/fn", endpoint = "end_other_sessions", input = Json, output = Json,
    client = BearerTransport
)]
pub async fn end_other_sessions() -> Result<(), AppError> {
    use crate::{http::context::PageContext, service::Proven};

    let mut context = PageContext::from_request()?;
    let proven: Proven = context.extract().await?;
    context.service().end_other_sessions(&context.caller, &proven).await?;
    Ok(())
}

/// The heading's id.
const HEADING: &str = "sessions-heading";

/// The part with the list of sessions. Each has a logout button.
#[component]
pub fn Sessions(
    /// The prompt for the password.
    reauth: ReauthPrompt,
) -> impl IntoView {
    let list = List::load(|| Box::pin(sessions()));
    let status = ActionStatus::none();
    // Shows the result of an operation and loads the list again, unless the user cancelled.
    let finish = move |result| {
        let is_confirmed = result != Err(AppError::ReauthRequired);
        status.end(result);
        if is_confirmed {
            list.reload();
            dom::focus_id(HEADING.into());
        }
    };
    let end = move |line: &SessionLine| {
        let (id, message) = (line.id.clone(), [&line.client, " is logged out."].concat());
        status.begin("Logging it out…");
        spawn_local(async move {
            finish(match reauth.with_reauth("log out a device", || end_session(id.clone())).await {
                // The session was ended in another place or has expired.
                Ok(()) | Err(AppError::NotFound) => Ok(message),
                Err(error) => Err(error),
            });
        });
    };
    let end_others = move || {
        status.begin("Logging them out…");
        spawn_local(async move {
            let result = reauth.with_reauth("log out all other devices", end_other_sessions).await;
            finish(result.map(|()| "All other devices are logged out.".into()));
        });
    };
    let lines = move |lines: Vec<SessionLine>| {
        let others = (lines.len() > 1).then(|| {
            view! {
                <p class="actions">
                    <ConfirmButton
                        label="Log out all other devices"
                        name="Log out all other devices"
                        question="Log out everywhere but here?"
                        action=end_others
                    />
                </p>
            }
        });
        let only_this_device = others.is_none().then_some("No other devices.");
        view! {
            <ul class="rows">{lines.into_iter().map(|line| view! { <Line line end /> }).collect_view()}</ul>
            {others}
            <p class="hint">{only_this_device}</p>
        }
    };
    view! {
        <h1 id=HEADING tabindex="-1">"Sessions"</h1>
        <p class="lead">
            "Devices where you're logged in. See one you don't recognise? Log it out, then "
            <a href=Part::Security.path()>"change your password"</a> "."
        </p>
        <ActionStatusLine status />
        {loaded(list, "your sessions", HEADING, lines)}
    }
}

#[component]
fn Line<F: Fn(&SessionLine) + 'static>(line: SessionLine, end: F) -> impl IntoView {
    let last_used = ["Last used ", &dom::short_time(&line.last_seen_at)].concat();
    let login_time = dom::short_time(&line.created_at);
    let network = if line.network.is_empty() { String::new() } else { [SEPARATOR, &line.network].concat() };
    let logged_in = ["Logged in ", &login_time, &network].concat();
    let label = ["Log out ", &line.client, ", logged in on ", &login_time].concat();
    let (name, current) = (line.client.clone(), line.current);
    view! {
        <li class="row row-act">
            <div class="row-value">
                <p><strong><bdi translate="no">{name}</bdi></strong> " " {current.then(|| view! { <span class="tag">"This device"</span> })}</p>
                <p class="hint">{last_used}</p>
                <p class="hint">{logged_in}</p>
            </div>
            {(!current).then(|| view! {
                <ConfirmButton label="Log out" name=label question="Log out this device?" action=move || end(&line) />
            })}
        </li>
    }
}
