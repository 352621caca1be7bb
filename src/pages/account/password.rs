//! Changing one's password.

use leptos::{ev::SubmitEvent, prelude::*, task::spawn_local};
use server_fn::codec::Json;

use super::row::{OpenRow, Row, RowButtons};
use crate::{
    components::{
        field::{HiddenUsername, PasswordField},
        form::{FormAlert, FormState},
        outcome::Outcome,
    },
    error::{AppError, Field},
    pages::register::password_hint,
    session::{Session, SessionClient},
};

/// Changes the password of whoever is logged in, and ends all their other sessions. Returns the token of the one that goes on.
///
/// # Errors
/// [`AppError::WrongPassword`], [`AppError::Invalid`], [`AppError::Throttled`], [`AppError::SessionEnded`],
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
) -> Result<String, AppError> {
    crate::server::door::Door::open()?.change_password(&current_password, &new_password).await
}

/// The row's name.
const ROW: &str = "password";

/// The password, and the form for another.
#[component]
pub fn PasswordRow(
    /// Which row is open.
    rows: OpenRow,
) -> impl IntoView {
    let outcome = Outcome::none();
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
fn PasswordForm(rows: OpenRow, outcome: Outcome) -> impl IntoView {
    let session = Session::current();
    let form = FormState::new("password");
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some([current, new]) = form.begin([Field::CurrentPassword, Field::NewPassword]) else { return };
        spawn_local(async move {
            let answer = session.renew(Box::pin(change_password(current, new))).await;
            if form.finish(answer).is_some() {
                outcome.end(Ok("Password changed. You were logged out everywhere else.".into()));
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
            <p class="hint">"This logs you out everywhere else."</p>
            <RowButtons rows row=ROW form label="Change password" busy="Changing…" />
        </form>
    }
}
