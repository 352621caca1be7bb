//! The form that requests a link for a password reset.

use leptos::{either::Either, ev::SubmitEvent, prelude::*, task::spawn_local};

use crate::{
    browser::{dom, settings},
    components::{
        breakable::breakable,
        field::TextField,
        form::{FormAlert, FormState, SubmitButton},
    },
    domain::requests,
    error::{AppError, Field},
    json::{Json, JsonRequest},
    session::{AuthState, BearerTransport},
};

/// Sends a reset link to an email if it has an account. The response does not reveal whether it has one.
#[server(
    name = ForgotPassword, prefix = "/fn", endpoint = "forgot_password", input = JsonRequest, output = Json,
    client = BearerTransport
)]
pub async fn forgot_password(
    /// The email address.
    request: requests::ForgotPassword,
) -> Result<(), AppError> {
    use crate::{domain::requests::Parse, http::context::PageContext};

    let context = PageContext::from_request()?;
    Ok(context.service().forgot_password(&context.caller, &request.parse()?).await?)
}

/// The view.
#[component]
pub fn Forgot() -> impl IntoView {
    // The email that the link was sent to, if it has an account.
    let sent = RwSignal::new(None::<String>);
    move || match sent.get() {
        Some(email) => Either::Left(view! { <Sent email sent /> }),
        None => Either::Right(view! { <ForgotForm sent /> }),
    }
}

#[component]
fn ForgotForm(sent: RwSignal<Option<String>>) -> impl IntoView {
    let auth = AuthState::current();
    let form = FormState::new("forgot");
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some([email]) = form.begin([Field::Email]) else { return };
        spawn_local(async move {
            let result = forgot_password(requests::ForgotPassword { email: email.clone().into() }).await;
            if form.finish(result).is_some() {
                sent.try_set(Some(email));
                dom::focus_heading();
            }
        });
    };
    view! {
        <h1 tabindex="-1">"Reset your password"</h1>
        <p class="lead">"Enter your email. We'll send you a link to choose a new password."</p>
        <form class="form" method="post" novalidate on:submit=submit aria-busy=move || form.aria_busy()>
            <FormAlert form />
            <TextField
                form
                field=Field::Email
                label="Email"
                hint=""
                autocomplete="email"
                value=auth.draft()
            />
            <SubmitButton form label="Send reset link" busy="Sending…" />
        </form>
        <p class="aside"><a href="/login">"Back to login"</a></p>
    }
}

#[component]
fn Sent(email: String, sent: RwSignal<Option<String>>) -> impl IntoView {
    let in_folder = settings::MAIL.get() == "folder";
    let (heading, where_to) = if in_folder {
        (
            "Check the mail folder",
            " has an account, its reset link is in the server's mail folder. The link works once.",
        )
    } else {
        ("Check your email", " has an account, we've sent a reset link to it. The link works once.")
    };
    let reset = move |_| {
        sent.set(None);
        dom::focus_heading();
    };
    view! {
        <h1 tabindex="-1">{heading}</h1>
        <p class="lead">"If " <strong translate="no">{breakable(&email)}</strong> {where_to}</p>
        {(!in_folder).then(|| view! { <p class="lead">"Nothing there? Check your spam folder."</p> })}
        <p class="actions">
            <button class="button button-quiet" type="button" on:click=reset>
                "Try another email"
            </button>
        </p>
        <p class="aside"><a href="/login">"Back to login"</a></p>
    }
}
