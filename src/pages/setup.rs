//! The target of the link that makes the first admin.

use leptos::{ev::SubmitEvent, prelude::*, task::spawn_local};

use crate::{
    browser::location::Address,
    components::{
        form::{FormAlert, FormState, SubmitButton},
        link_form::LinkForm,
        link_token::{Fallback, LinkToken, followed},
        log_out_here::LogOutHere,
        new_account::{NEW_ACCOUNT, NewAccountFields},
        signed_in_or::signed_in_or,
    },
    domain::requests,
    error::{AppError, Field},
    json::{Json, JsonRequest},
    route::View,
    session::{AuthState, BearerTransport, Notice},
};

/// Creates the first admin by a link. Returns the account's email.
#[server(
    name = SetUp, prefix = "/fn", endpoint = "set_up", input = JsonRequest, output = Json,
    client = BearerTransport
)]
pub async fn set_up(
    /// The link's token, the email, the username and the password.
    request: requests::SetUp,
) -> Result<String, AppError> {
    use crate::{domain::requests::Parse, http::context::PageContext};

    let context = PageContext::from_request()?;
    Ok(context.service().set_up(&context.caller, request.parse()?).await?)
}

/// Makes the account of the session the first admin by a link. Ends its sessions. Returns the account's email.
#[server(
    name = BecomeAdmin, prefix = "/fn", endpoint = "become_admin", input = JsonRequest, output = Json,
    client = BearerTransport
)]
pub async fn become_admin(
    /// The link's token and the account's password.
    request: requests::BecomeAdmin,
) -> Result<String, AppError> {
    use crate::{
        domain::requests::Parse,
        http::{context::PageContext, extract::Session},
    };

    let mut context = PageContext::from_request()?;
    let session: Session = context.extract().await?;
    Ok(context.service().become_first_admin(&context.caller, &session, request.parse()?).await?)
}

const FALLBACK: Fallback = Fallback {
    missing: "Copy the whole link from the terminal, with the part after the #.",
    why: "It has expired, was used or replaced by a newer one, or the server has an admin. To get a new one, run \
          \"vestibule operator link\" on the server.",
    label: "Log in",
    to: View::LogIn,
};

/// The view.
#[component]
pub fn Setup() -> impl IntoView {
    followed(LinkToken::take(), FALLBACK, |link| {
        signed_in_or(move || view! { <CreateAdmin link /> }, move || view! { <UseOwnAccount link /> })
    })
}

#[component]
fn CreateAdmin(link: LinkToken) -> impl IntoView {
    let auth = AuthState::current();
    let form = FormState::new("setup");
    let address = Address::current();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some([email, username, password]) = form.begin(NEW_ACCOUNT) else { return };
        spawn_local(async move {
            let (token, email) = (link.get().into(), email.into());
            let result = set_up(requests::SetUp { token, email, username: username.into(), password: password.into() });
            let result = result.await;
            if matches!(result, Err(AppError::SetupLinkInvalid)) {
                form.cancel();
                link.invalidate();
                return;
            }
            if let Some(email) = form.finish(result) {
                link.used();
                auth.set_draft(email);
                auth.announce(View::LogIn, Notice::Done("You are the first admin. Log in below."));
                address.navigate(View::LogIn);
            }
        });
    };
    view! {
        <h1 tabindex="-1">"Create the first admin"</h1>
        <p class="lead">"This account runs the service. Its email needs no confirmation, so check it for typing errors."</p>
        <form class="form" method="post" novalidate on:submit=submit aria-busy=move || form.aria_busy()>
            <FormAlert form />
            <NewAccountFields form />
            <SubmitButton form label="Create admin" busy="Creating…" />
        </form>
        <p class="aside">
            "Already have an account here? " <a href="/login">"Log in"</a> " first, then open the link again."
        </p>
    }
}

#[component]
fn UseOwnAccount(link: LinkToken) -> impl IntoView {
    let auth = AuthState::current();
    let account = move || auth.session().map(|session| session.account);
    view! {
        <h1 tabindex="-1">
            "Make "
            <span translate="no" prop:textContent=move || account().map(|account| account.username).unwrap_or_default()></span>
            " the first admin"
        </h1>
        <p class="lead">
            "This also confirms the email "
            <strong translate="no" prop:textContent=move || account().map(|account| account.email).unwrap_or_default()></strong>
            ". Continue only if it is yours. You'll be logged out everywhere and your access tokens revoked."
        </p>
        <LinkForm
            link
            field=Field::Password
            label="Become an admin"
            busy="Working…"
            send=|token, password| Box::pin(become_admin(requests::BecomeAdmin { token, password }))
            success="You are the first admin. Log in again."
        />
        <p class="actions"><LogOutHere quiet=true label="Use another account" /></p>
    }
}
