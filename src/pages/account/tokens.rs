//! Personal access tokens.

use leptos::{either::EitherOf3, prelude::*, task::spawn_local};
use server_fn::codec::Json;

use super::token_form::NewToken;
use crate::{
    browser::dom,
    components::{
        action_status::{ActionStatus, ActionStatusLine},
        confirm_button::ConfirmButton,
        loaded::{Failed, Loaded, Loading},
        reauth_prompt::ReauthPrompt,
    },
    domain::account::AccessTokenLine,
    error::AppError,
    session::SessionClient,
};

/// The id of the part's heading.
const HEADING: &str = "tokens-heading";

/// The personal access tokens of whoever is logged in, the youngest first.
///
/// # Errors
/// [`AppError::SessionEnded`], [`AppError::Unavailable`].
#[server(
    name = OwnAccessTokens, prefix = "/fn", endpoint = "access_tokens", input = Json, output = Json,
    client = SessionClient
)]
pub async fn access_tokens() -> Result<Vec<AccessTokenLine>, AppError> {
    crate::http::context::PageContext::from_request()?.access_tokens().await
}

/// Revokes a personal access token of whoever is logged in, by its identifier.
///
/// # Errors
/// [`AppError::NotFound`], [`AppError::SessionEnded`], [`AppError::Unavailable`].
#[server(
    name = RevokeAccessToken, prefix = "/fn", endpoint = "revoke_access_token", input = Json, output = Json,
    client = SessionClient
)]
pub async fn revoke_access_token(
    /// The token's identifier.
    id: String,
) -> Result<(), AppError> {
    crate::http::context::PageContext::from_request()?.revoke_access_token(&id).await
}

/// The part: the list of tokens, and the form for another.
#[component]
pub fn AccessTokens(
    /// Asks for the password where it must.
    confirm: ReauthPrompt,
) -> impl IntoView {
    let list = RwSignal::new(Loaded::Loading);
    let outcome = ActionStatus::none();
    let load = StoredValue::new_local(Box::new(move || {
        spawn_local(async move {
            let answer = access_tokens().await;
            list.try_set(answer.into());
        });
    }) as Box<dyn Fn()>);
    Effect::new(move |_| load.with_value(|load| load()));
    let reload = move || load.with_value(|load| load());
    let made = RwSignal::new(None::<String>);
    let revoke = move |line: &AccessTokenLine| {
        let (id, told) = (line.id.clone(), [&line.name, " is revoked."].concat());
        // The youngest is the one that is shown.
        if list.with_untracked(
            |list| matches!(list, Loaded::Ready(lines) if lines.first().is_some_and(|first| first.id == id)),
        ) {
            made.set(None);
        }
        outcome.begin("Revoking it…");
        spawn_local(async move {
            outcome.end(match revoke_access_token(id).await {
                // Somebody was quicker, or it has ended by itself.
                Ok(()) | Err(AppError::NotFound) => Ok(told),
                Err(error) => Err(error),
            });
            reload();
            dom::focus_id(HEADING.into());
        });
    };
    let lines = move || match list.get() {
        Loaded::Loading => EitherOf3::A(view! { <Loading what="your tokens" /> }),
        Loaded::Failed(error) => EitherOf3::B(view! { <Failed text=error.to_string() heading=HEADING load /> }),
        Loaded::Ready(lines) => {
            let none = lines.is_empty().then(|| view! { <p class="empty">"No tokens yet."</p> });
            EitherOf3::C(view! {
                <ul class="rows">{lines.into_iter().map(|line| view! { <Line line revoke /> }).collect_view()}</ul>
                {none}
            })
        }
    };
    view! {
        <h1 id=HEADING tabindex="-1">"Access tokens"</h1>
        <p class="lead">
            "Let scripts use your account without your password. Tokens can't change your email, password or sessions. "
            <a href="/api/docs#personal-access-tokens" target="_blank">"API reference (new tab)"</a>
        </p>
        <NewToken confirm made reload />
        <ActionStatusLine outcome />
        {lines}
    }
}

#[component]
fn Line<F: Fn(&AccessTokenLine) + 'static>(line: AccessTokenLine, revoke: F) -> impl IntoView {
    let may = if line.scope == "full" { "Read and change" } else { "Read only" };
    let used = match &line.last_used_at {
        Some(time) => [" · last used ", &dom::short_time(time)].concat(),
        None => " · never used".into(),
    };
    let (made, ends) = (dom::short_time(&line.created_at), dom::short_time(&line.expires_at));
    let lasts = ["Created ", &made, " · expires ", &ends].concat();
    let label = ["Revoke ", &line.name].concat();
    view! {
        <li class="row row-act">
            <div class="row-value">
                <p><strong><bdi translate="no">{line.name.clone()}</bdi></strong></p>
                <p class="hint">{may} {used}</p>
                <p class="hint">{lasts}</p>
            </div>
            <ConfirmButton label="Revoke" name=label question="Revoke? Scripts that use it stop working." act=move || revoke(&line) />
        </li>
    }
}
