//! The password row of the security part.

use leptos::{ev::SubmitEvent, prelude::*, task::spawn_local};

use crate::{
    browser::dom,
    components::{
        action_status::ActionStatus,
        field::{HiddenUsername, PasswordField},
        form::{FormAlert, FormButtons, FormState},
        new_password::NewPasswordField,
        rows::{OpenRow, Row},
    },
    domain::requests,
    error::{AppError, Field},
    json::{Json, JsonRequest},
    session::{AuthState, BearerTransport},
};

/// Changes the account's password and ends all its other sessions. Returns the new token of the current session.
#[server(
    name = ChangeOwnPassword, prefix = "/fn", endpoint = "change_password", input = JsonRequest, output = Json,
    client = BearerTransport
)]
pub async fn change_password(
    /// Both passwords, and whether to revoke every access token as well.
    request: requests::ChangePassword,
) -> Result<String, AppError> {
    use crate::{
        domain::requests::Parse,
        http::{context::PageContext, extract::Session},
    };

    let mut context = PageContext::from_request()?;
    let session: Session = context.extract().await?;
    let changed = context.service().change_password(&context.caller, &session, request.parse()?).await?;
    Ok(changed.token.expose().to_owned())
}

/// The row's identifier.
const ROW: &str = "password";
/// The id of the checkbox.
const REVOKE: &str = "password-revoke";

/// The row with the form that changes the password.
#[component]
pub fn PasswordRow(
    /// Which row is open in the part.
    rows: OpenRow,
) -> impl IntoView {
    let status = ActionStatus::none();
    view! {
        <Row
            rows
            row=ROW
            label="Password"
            change="Change password"
            first="password-current_password"
            status
            form=move || view! { <PasswordForm rows status /> }.into_any()
        >
            <p>
                <span aria-hidden="true">"••••••••"</span>
                <span class="visually-hidden">"Set"</span>
            </p>
        </Row>
    }
}

/// The form that changes the password.
#[component]
fn PasswordForm(rows: OpenRow, status: ActionStatus) -> impl IntoView {
    let auth = AuthState::current();
    let form = FormState::new("password");
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some([current, new]) = form.begin([Field::CurrentPassword, Field::NewPassword]) else { return };
        let revoke = dom::is_checked(REVOKE);
        spawn_local(async move {
            let (current_password, new_password) = (current.into(), new.into());
            let request = requests::ChangePassword { current_password, new_password, revoke_access_tokens: revoke };
            let result = auth.renew(Box::pin(change_password(request))).await;
            if form.finish(result).is_some() {
                let message = if revoke {
                    "Password changed. You were logged out everywhere else, and your access tokens were revoked."
                } else {
                    "Password changed. You were logged out everywhere else."
                };
                status.end(Ok(message.into()));
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
            <NewPasswordField form field=Field::NewPassword label="New password" />
            <label class="check">
                <input id=REVOKE type="checkbox" name="revoke_access_tokens" />
                "Also revoke my access tokens"
            </label>
            <p class="hint">"This logs you out everywhere else."</p>
            <FormButtons form label="Change password" busy="Changing…" cancel=move || rows.close(ROW) />
        </form>
    }
}
