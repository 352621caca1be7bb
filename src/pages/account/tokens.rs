//! Personal access tokens.

use std::rc::Rc;

use leptos::{
    either::Either,
    ev::{FocusEvent, SubmitEvent},
    prelude::*,
    task::spawn_local,
    web_sys::HtmlInputElement,
};
use server_fn::codec::Json;

use crate::{
    components::{
        ask_once::AskOnce,
        confirm::Confirm,
        dom,
        field::{SelectField, TextField},
        form::{FormAlert, FormState, SubmitButton},
        loaded::{Away, Loaded},
        outcome::{Outcome, OutcomeLine},
    },
    domain::account::AccessTokenLine,
    error::{AppError, Field},
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
    crate::server::door::Door::open()?.access_tokens().await
}

/// Makes a personal access token for whoever is logged in. Returns it, this once.
///
/// # Errors
/// [`AppError::ReauthRequired`], [`AppError::Invalid`], [`AppError::Throttled`], [`AppError::SessionEnded`],
/// [`AppError::Unavailable`].
#[server(
    name = IssueAccessToken, prefix = "/fn", endpoint = "issue_access_token", input = Json, output = Json,
    client = SessionClient
)]
pub async fn issue_access_token(
    /// What it is called.
    name: String,
    /// What it may do: `read` or `full`.
    scope: String,
    /// How many days it lasts.
    days: String,
) -> Result<String, AppError> {
    crate::server::door::Door::open()?.issue_access_token(&name, &scope, days.parse().unwrap_or(0)).await
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
    crate::server::door::Door::open()?.revoke_access_token(&id).await
}

/// The list, and the form for another.
#[component]
pub fn AccessTokens(
    /// Asks for the password where it must.
    confirm: Confirm,
) -> impl IntoView {
    let list = RwSignal::new(Loaded::Away(None));
    let outcome = Outcome::none();
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
            |list| matches!(list, Loaded::Here(lines) if lines.first().is_some_and(|first| first.id == id)),
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
        Loaded::Away(trouble) => {
            Either::Left(view! { <Away trouble loading="Loading your tokens…" heading=HEADING load /> })
        }
        Loaded::Here(lines) => {
            let none = lines.is_empty().then_some("You have none.");
            Either::Right(view! {
                <ul class="lines">{lines.into_iter().map(|line| view! { <Line line revoke /> }).collect_view()}</ul>
                <p class="hint">{none}</p>
            })
        }
    };
    view! {
        <section aria-labelledby=HEADING>
            <h2 id=HEADING tabindex="-1">"Access tokens"</h2>
            <p class="hint">
                "For programs of your own, so that none of them needs your password: "
                <a href="/api/docs#personal-access-tokens" target="_blank">"how they use them (new tab)"</a>
                ". None can do what wants your password. Revoke those that you don't use."
            </p>
            <OutcomeLine outcome />
            {lines}
            <NewToken confirm made reload />
        </section>
    }
}

#[component]
fn Line<F: Fn(&AccessTokenLine) + 'static>(line: AccessTokenLine, revoke: F) -> impl IntoView {
    let may = if line.scope == "full" { "May read and change" } else { "May only read" };
    let used = match &line.last_used_at {
        Some(time) => [" · last used ", &dom::short_time(time)].concat(),
        None => " · never used".into(),
    };
    let (made, ends) = (dom::short_time(&line.created_at), dom::short_time(&line.expires_at));
    let lasts = ["Made ", &made, " · ends ", &ends].concat();
    let label = ["Revoke ", &line.name].concat();
    view! {
        <li>
            <div>
                <strong>{line.name.clone()}</strong>
                <p class="hint">{may} {used}</p>
                <p class="hint">{lasts}</p>
            </div>
            <AskOnce label="Revoke" name=label question="Shut out whatever uses it?" act=move || revoke(&line) />
        </li>
    }
}

/// The form. A token that was made stands above it until the view is left: it is shown nowhere else.
#[component]
fn NewToken<F: Fn() + Copy + 'static>(confirm: Confirm, made: RwSignal<Option<String>>, reload: F) -> impl IntoView {
    let form = FormState::new("token");
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some(fields) = form.begin([Field::Name, Field::Scope, Field::Days]) else { return };
        let act = Rc::new(move || {
            let [name, scope, days] = fields.clone();
            Box::pin(async move { issue_access_token(name, scope, days).await }) as _
        });
        confirm.form("make an access token", form, act, move |token: String| {
            form.empty(Field::Name);
            made.set(Some(token));
            dom::focus_id("new-token".into());
            reload();
        });
    };
    // So that what is shown once is copied whole.
    let select_all = |event: FocusEvent| event_target::<HtmlInputElement>(&event).select();
    let shown = move || {
        made.get().map(|token| {
            view! {
                <div class="field">
                    <label for="new-token">"Your new token"</label>
                    <input
                        id="new-token"
                        type="text"
                        readonly
                        value=token
                        aria-describedby="new-token-hint"
                        on:focus=select_all
                    />
                    <p id="new-token-hint" class="hint">"Copy it now: it is shown this once."</p>
                </div>
            }
        })
    };
    view! {
        <form class="form" method="post" novalidate on:submit=submit aria-busy=move || form.aria_busy()>
            <div role="status">{shown}</div>
            <FormAlert form />
            <TextField
                form
                field=Field::Name
                label="Name of a new token"
                hint="Which program is it for?"
                autocomplete="off"
                value=String::new()
            />
            <SelectField
                form
                field=Field::Scope
                label="What it may do"
                options=&[("read", "Only read"), ("full", "Read and change")]
            />
            <SelectField
                form
                field=Field::Days
                label="How long it lasts"
                options=&[("30", "30 days"), ("7", "7 days"), ("90", "90 days"), ("365", "A year")]
            />
            <SubmitButton form label="Make a token" busy="Making it…" />
        </form>
    }
}
