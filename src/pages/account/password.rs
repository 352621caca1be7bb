//! Changing one's password.

use leptos::{ev::SubmitEvent, prelude::*, task::spawn_local};
use server_fn::codec::Json;

use super::row::{OpenRow, Row, RowButtons};
use crate::{
    browser::dom,
    components::{
        action_status::ActionStatus,
        field::{HiddenUsername, PasswordField, password_hint},
        form::{FormAlert, FormState},
    },
    error::{AppError, Field},
    session::{AuthState, SessionClient},
};

/// Changes the password of whoever is logged in, and ends all their other sessions. Returns the token of the one that goes on.
///
/// # Errors
/// [`AppError::WrongPassword`], [`AppError::Invalid`], [`AppError::RateLimited`], [`AppError::SessionEnded`],
/// [`AppError::Unavailable`].
#[server(
    name = ChangeOwnPassword, prefix = "/fn", endpoint = "change_password", input = Json, output = Json,
    client = SessionClient
)]
pub async fn change_password(
    /// The password until now.
    current_password: String,
    /// The password from now on.
    new_password: String,
    /// Whether to revoke every access token as well.
    #[server(default)]
    revoke_access_tokens: bool,
) -> Result<String, AppError> {
    let door = crate::http::context::PageContext::from_request()?;
    door.change_password(&current_password, &new_password, revoke_access_tokens).await
}

/// The row's name.
const ROW: &str = "password";
/// The id of the checkbox.
const REVOKE: &str = "password-revoke";

/// The password, and the form for another.
#[component]
pub fn PasswordRow(
    /// Which row is open.
    rows: OpenRow,
) -> impl IntoView {
    let outcome = ActionStatus::none();
    view! {
        <Row
            rows
            row=ROW
            label="Password"
            change="Change password"
            first="password-current_password"
            outcome
            form=move || view! { <PasswordForm rows outcome /> }.into_any()
        >
            <p>
                <span aria-hidden="true">"••••••••"</span>
                <span class="visually-hidden">"Set"</span>
            </p>
        </Row>
    }
}

/// The form for another password.
#[component]
fn PasswordForm(rows: OpenRow, outcome: ActionStatus) -> impl IntoView {
    let session = AuthState::current();
    let form = FormState::new("password");
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some([current, new]) = form.begin([Field::CurrentPassword, Field::NewPassword]) else { return };
        let revoke = dom::is_checked(REVOKE);
        spawn_local(async move {
            let answer = session.renew(Box::pin(change_password(current, new, revoke))).await;
            if form.finish(answer).is_some() {
                let done = if revoke {
                    "Password changed. You were logged out everywhere else, and your access tokens were revoked."
                } else {
                    "Password changed. You were logged out everywhere else."
                };
                outcome.end(Ok(done.into()));
                rows.close(ROW);
            }
        });
    };
    view! {
        <form class="form" method="post" novalidate on:submit=submit aria-busy=move || form.aria_busy()>
            <FormAlert form />
            <HiddenUsername />
            <PasswordField
                form
                field=Field::CurrentPassword
                label="Current password"
                autocomplete="current-password"
                hint=""
            />
            <PasswordField
                form
                field=Field::NewPassword
                label="New password"
                autocomplete="new-password"
                hint=password_hint()
            />
            <label class="check">
                <input id=REVOKE type="checkbox" name="revoke_access_tokens" />
                "Also revoke my access tokens"
            </label>
            <p class="hint">"This logs you out everywhere else."</p>
            <RowButtons rows row=ROW form label="Change password" busy="Changing…" />
        </form>
    }
}
