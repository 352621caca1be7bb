//! The list of personal access tokens.

use leptos::{prelude::*, task::spawn_local};

use super::token_form::NewTokenSection;
use crate::{
    browser::dom,
    components::{
        action_status::{ActionStatus, ActionStatusLine},
        confirm_button::ConfirmButton,
        loaded::{List, loaded},
        reauth_prompt::ReauthPrompt,
        rows::SEPARATOR,
    },
    domain::account::AccessTokenLine,
    error::AppError,
    json::Json,
    session::BearerTransport,
};

/// The heading's id.
const HEADING: &str = "tokens-heading";

/// The personal access tokens of the account, the newest first.
#[server(
    name = OwnAccessTokens, prefix = "/fn", endpoint = "access_tokens", input = Json, output = Json,
    client = BearerTransport
)]
pub async fn access_tokens() -> Result<Vec<AccessTokenLine>, AppError> {
    use crate::{http::context::PageContext, service::Principal};

    let mut context = PageContext::from_request()?;
    let principal: Principal = context.extract().await?;
    Ok(context.service().list_access_tokens(&principal).await?)
}

/// Revokes a personal access token of the account by its identifier.
#[server(
    name = RevokeAccessToken, prefix = "/fn", endpoint = "revoke_access_token", input = Json, output = Json,
    client = BearerTransport
)]
pub async fn revoke_access_token(
    /// The token's identifier.
    id: String,
) -> Result<(), AppError> {
    use crate::{http::context::PageContext, service::Writer};

    let mut context = PageContext::from_request()?;
    let writer: Writer = context.extract().await?;
    Ok(context.service().revoke_access_token(&context.caller, &writer, &id).await?)
}

/// The part with the list of tokens and the form that creates one.
#[component]
pub fn AccessTokens(
    /// The prompt for the password.
    reauth: ReauthPrompt,
) -> impl IntoView {
    let list = List::load(|| Box::pin(access_tokens()));
    let status = ActionStatus::none();
    let new_token = RwSignal::new(None::<String>);
    let revoke = move |line: &AccessTokenLine| {
        let (id, message) = (line.id.clone(), [&line.name, " is revoked."].concat());
        // The token in the panel is the newest of the list. Its panel closes when it is revoked.
        if list.first().is_some_and(|first| first.id == id) {
            new_token.set(None);
        }
        status.begin("Revoking it…");
        spawn_local(async move {
            status.end(match revoke_access_token(id).await {
                // The token was revoked in another place or has expired.
                Ok(()) | Err(AppError::NotFound) => Ok(message),
                Err(error) => Err(error),
            });
            list.reload();
            dom::focus_id(HEADING.into());
        });
    };
    let lines = move |lines: Vec<AccessTokenLine>| {
        let empty = lines.is_empty().then(|| view! { <p class="empty">"No tokens yet."</p> });
        view! {
            <ul class="rows">{lines.into_iter().map(|line| view! { <Line line revoke /> }).collect_view()}</ul>
            {empty}
        }
    };
    view! {
        <h1 id=HEADING tabindex="-1">"Access tokens"</h1>
        <p class="lead">
            "Let scripts use your account without your password. Tokens can't change your email, password or sessions. "
            <a href="/api/docs#personal-access-tokens" target="_blank">"API reference (new tab)"</a>
        </p>
        <NewTokenSection reauth new_token list />
        <ActionStatusLine status />
        {loaded(list, "your tokens", HEADING, lines)}
    }
}

#[component]
fn Line<F: Fn(&AccessTokenLine) + 'static>(line: AccessTokenLine, revoke: F) -> impl IntoView {
    let permissions = if line.scope == "full" { "Read and change" } else { "Read only" };
    let last_used = match &line.last_used_at {
        Some(time) => [SEPARATOR, "last used ", &dom::short_time(time)].concat(),
        None => [SEPARATOR, "never used"].concat(),
    };
    let (created, expires) = (dom::short_time(&line.created_at), dom::short_time(&line.expires_at));
    let lifetime = ["Created ", &created, SEPARATOR, "expires ", &expires].concat();
    let label = ["Revoke ", &line.name].concat();
    view! {
        <li class="row row-act">
            <div class="row-value">
                <p><strong><bdi translate="no">{line.name.clone()}</bdi></strong></p>
                <p class="hint">{permissions} {last_used}</p>
                <p class="hint">{lifetime}</p>
            </div>
            <ConfirmButton label="Revoke" name=label question="Revoke? Scripts that use it stop working." action=move || revoke(&line) />
        </li>
    }
}
