//! The registration view.

use leptos::{either::Either, ev::SubmitEvent, prelude::*, task::spawn_local};

use crate::{
    browser::{location::Address, settings},
    components::{
        field::TextField,
        form::{FormAlert, FormState, SubmitButton},
        log_out_here::LogOutHere,
        new_password::NewPasswordField,
        notice::registered_and_logged_in,
        signed_in_or::signed_in_or,
    },
    domain::{account::RegistrationResult, requests},
    error::{AppError, Field},
    json::{Json, JsonRequest},
    route::View,
    session::{AuthState, BearerTransport, Notice},
};

/// Creates an account. Also begins a session, unless a mail that confirms the email is sent or required.
#[server(
    name = Enrol, prefix = "/fn", endpoint = "register", input = JsonRequest, output = Json,
    client = BearerTransport
)]
pub async fn register(
    /// The email, the username and the password.
    request: requests::Register,
) -> Result<RegistrationResult, AppError> {
    use crate::{domain::requests::Parse, http::context::PageContext};

    let context = PageContext::from_request()?;
    Ok(context.service().register_and_log_in(&context.caller, request.parse()?).await?)
}

/// The view.
#[component]
pub fn Register() -> impl IntoView {
    if settings::registration_is_open() {
        Either::Left(signed_in_or(|| view! { <RegisterForm /> }, || view! { <AlreadyLoggedIn /> }))
    } else {
        Either::Right(view! { <Closed /> })
    }
}

/// The view if only the operator can create accounts.
#[component]
fn Closed() -> impl IntoView {
    view! {
        <h1 tabindex="-1">"Registration is closed"</h1>
        <p class="lead">"Only the operator of this service can create accounts. Ask them for one."</p>
        <p class="aside">"Already have an account? " <a href="/login">"Log in"</a></p>
    }
}

#[component]
fn RegisterForm() -> impl IntoView {
    let auth = AuthState::current();
    let form = FormState::new("register");
    let address = Address::current();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let fields = [Field::Email, Field::Username, Field::Password];
        let Some([email, username, password]) = form.begin(fields) else { return };
        spawn_local(async move {
            let (email, username, password) = (email.into(), username.into(), password.into());
            let result = Box::pin(register(requests::Register { email, username, password })).await;
            if let Some(RegistrationResult { account, login }) = form.finish(result) {
                if let Some(login) = login {
                    auth.begin(login);
                    auth.announce(View::LogIn, Notice::Done(registered_and_logged_in()));
                } else {
                    auth.set_draft(account.email);
                    auth.announce(View::LogIn, Notice::Registered);
                }
                address.navigate(View::LogIn);
            }
        });
    };
    view! {
        <h1 tabindex="-1">"Register"</h1>
        <form class="form" method="post" novalidate on:submit=submit aria-busy=move || form.aria_busy()>
            <FormAlert form />
            <TextField
                form
                field=Field::Email
                label="Email"
                hint=""
                autocomplete="email"
                value=String::new()
            />
            <TextField
                form
                field=Field::Username
                label="Username"
                hint="3–32 characters: a–z, 0–9, dot, underscore, hyphen. Visible to others."
                autocomplete="username"
                value=String::new()
            />
            <NewPasswordField form field=Field::Password label="Password" />
            <SubmitButton form label="Register" busy="Registering…" />
        </form>
        <p class="aside">"Already have an account? " <a href="/login">"Log in"</a></p>
    }
}

#[component]
fn AlreadyLoggedIn() -> impl IntoView {
    view! {
        <h1 tabindex="-1">"You need to log out before registering"</h1>
        <p class="lead">"You can then create another account."</p>
        <p class="actions">
            <LogOutHere />
            <a class="button button-quiet" href="/login">"Stay logged in"</a>
        </p>
    }
}
