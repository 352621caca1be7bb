//! The login view: the form, or the home view if somebody is logged in.

use leptos::{ev::SubmitEvent, prelude::*, task::spawn_local};

use super::home::Home;
use crate::{
    browser::settings,
    components::{
        field::{PasswordField, TextField},
        form::{FormAlert, FormState, SubmitButton},
        signed_in_or::signed_in_or,
    },
    domain::{account::LoginResult, requests},
    error::{AppError, Field},
    json::{Json, JsonRequest},
    session::{AuthState, BearerTransport},
};

/// Logs in and begins a session. `email` can also be a username.
#[server(
    name = LogIn, prefix = "/fn", endpoint = "login", input = JsonRequest, output = Json,
    client = BearerTransport
)]
pub async fn log_in(
    /// The email or the username, and the password.
    request: requests::LogIn,
) -> Result<LoginResult, AppError> {
    use crate::{domain::requests::Parse, http::context::PageContext};

    let context = PageContext::from_request()?;
    let (identifier, password) = request.parse()?;
    Ok(context.service().log_in(&context.caller, &identifier, &password).await?)
}

/// The view.
#[component]
pub fn Login() -> impl IntoView {
    signed_in_or(|| view! { <LoginForm lead="" /> }, || view! { <Home /> })
}

/// The form.
#[component]
pub fn LoginForm(
    /// Why the form is shown in place of another view. Empty otherwise.
    lead: &'static str,
) -> impl IntoView {
    let auth = AuthState::current();
    let form = FormState::new("login");
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some([email, password]) = form.begin([Field::Email, Field::Password]) else { return };
        spawn_local(async move {
            let request = requests::LogIn { email: Some(email), username: None, password: password.into() };
            let result = log_in(request).await;
            if let Some(login) = form.finish(result) {
                auth.begin(login);
            }
        });
    };
    // The form for a password reset begins with the email from here. It requires an email, so a username is not taken
    // over.
    let copy_email = move |_| {
        let typed = form.text(Field::Email);
        if typed.contains('@') {
            auth.set_draft(typed);
        }
    };
    view! {
        <h1 tabindex="-1">"Log in"</h1>
        {(!lead.is_empty()).then(|| view! { <p class="lead">{lead}</p> })}
        <form class="form" method="post" novalidate on:submit=submit aria-busy=move || form.aria_busy()>
            <FormAlert form />
            <TextField
                form
                field=Field::Email
                label="Email or username"
                hint=""
                autocomplete="username"
                value=auth.draft()
            />
            <PasswordField
                form
                field=Field::Password
                label="Password"
                autocomplete="current-password"
                hint=""
            />
            <SubmitButton form label="Log in" busy="Logging in…" />
        </form>
        <p class="aside"><a href="/forgot" on:click=copy_email>"Forgot your password?"</a></p>
        {settings::registration_is_open()
            .then(|| view! { <p class="aside">"No account yet? " <a href="/register">"Register"</a></p> })}
    }
}
