//! The login view: the form, or the account once somebody is logged in.

use leptos::{ev::SubmitEvent, prelude::*, task::spawn_local};
use server_fn::codec::Json;

use super::home::Home;
use crate::{
    browser::settings,
    components::{
        field::{PasswordField, TextField},
        form::{FormAlert, FormState, SubmitButton},
        signed_in_or::signed_in_or,
    },
    domain::account::SignIn,
    error::{AppError, Field},
    session::{AuthState, SessionClient},
};

/// Begins a session. The email may be a username too.
///
/// # Errors
/// [`AppError::BadCredentials`], [`AppError::RateLimited`], [`AppError::Unavailable`].
#[server(name = LogIn, prefix = "/fn", endpoint = "login", input = Json, output = Json, client = SessionClient)]
pub async fn log_in(
    /// The email or the username.
    email: String,
    /// The password.
    password: String,
) -> Result<SignIn, AppError> {
    crate::http::context::PageContext::from_request()?.log_in(&email, &password).await
}

/// The view.
#[component]
pub fn Login() -> impl IntoView {
    signed_in_or(|| view! { <LoginForm lead="" /> }, || view! { <Home /> })
}

/// The form.
#[component]
pub fn LoginForm(
    /// Why somebody finds it who was looking for something else; empty otherwise.
    lead: &'static str,
) -> impl IntoView {
    let session = AuthState::current();
    let form = FormState::new("login");
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some([email, password]) = form.begin([Field::Email, Field::Password]) else { return };
        spawn_local(async move {
            let answer = log_in(email, password).await;
            if let Some(sign_in) = form.finish(answer) {
                session.begin(sign_in);
            }
        });
    };
    // Nobody types an email twice. What is asked for there is one, while a username will do here.
    let take_along = move |_| {
        let typed = form.text(Field::Email);
        if typed.contains('@') {
            session.set_draft(typed);
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
                value=session.draft()
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
        <p class="aside"><a href="/forgot" on:click=take_along>"Forgot your password?"</a></p>
        {settings::registration_is_open()
            .then(|| view! { <p class="aside">"No account yet? " <a href="/register">"Register"</a></p> })}
    }
}
