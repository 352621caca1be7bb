//! The registration view.

use leptos::{either::Either, ev::SubmitEvent, prelude::*, task::spawn_local};

use crate::{
    browser::{location::Address, settings},
    components::{
        form::{FormAlert, FormState, SubmitButton},
        link_token::LinkToken,
        log_out_here::LogOutHere,
        new_account::{NEW_ACCOUNT, NewAccountFields},
        notice::registered_and_logged_in,
        signed_in_or::signed_in_or,
    },
    domain::{account::RegistrationResult, requests},
    error::AppError,
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
        Either::Left(signed_in_or(|| view! { <OpenRegistration /> }, || view! { <AlreadyLoggedIn /> }))
    } else {
        Either::Right(view! { <Closed /> })
    }
}

/// The view if not everybody can register.
#[component]
fn Closed() -> impl IntoView {
    let (heading, lead) = if settings::REGISTRATION.get() == "invite" {
        (
            "You need an invitation",
            "Open the link of your invitation to register. If you have none, ask the operator of this service.",
        )
    } else {
        ("Registration is closed", "Only the operator of this service can create accounts. Ask them for one.")
    };
    view! {
        <h1 tabindex="-1">{heading}</h1>
        <p class="lead">{lead}</p>
        <p class="aside">"Already have an account? " <a href="/login">"Log in"</a></p>
    }
}

#[component]
fn OpenRegistration() -> impl IntoView {
    view! {
        <h1 tabindex="-1">"Register"</h1>
        {(settings::REGISTRATION.get() == "approval")
            .then(|| view! { <p class="lead">"An operator approves each account before its first login."</p> })}
        <RegisterForm />
    }
}

/// The form.
#[component]
pub fn RegisterForm(
    /// The invitation that was opened.
    #[prop(optional)]
    invitation: Option<LinkToken>,
    /// The only email that can register with the invitation. Empty if any can.
    #[prop(optional)]
    email: String,
) -> impl IntoView {
    let auth = AuthState::current();
    let form = FormState::new("register");
    let address = Address::current();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some([email, username, password]) = form.begin(NEW_ACCOUNT) else { return };
        spawn_local(async move {
            let (email, username, password) = (email.into(), username.into(), password.into());
            let token = invitation.map(LinkToken::get).into();
            let request = requests::Register { email, username, password, invitation: token };
            let result = Box::pin(register(request)).await;
            if let (Some(link), Err(AppError::InvitationInvalid)) = (invitation, &result) {
                form.cancel();
                link.invalidate();
                return;
            }
            if let Some(RegistrationResult { account, pending, login }) = form.finish(result) {
                invitation.into_iter().for_each(LinkToken::used);
                if let Some(login) = login {
                    auth.begin(login);
                    auth.announce(View::LogIn, Notice::Done(registered_and_logged_in()));
                } else {
                    auth.set_draft(account.email);
                    auth.announce(View::LogIn, if pending { Notice::Pending } else { Notice::Registered });
                }
                address.navigate(View::LogIn);
            }
        });
    };
    view! {
        <form class="form" method="post" novalidate on:submit=submit aria-busy=move || form.aria_busy()>
            <FormAlert form />
            <NewAccountFields form email />
            <SubmitButton form label="Register" busy="Registering…" />
        </form>
        <p class="aside">"Already have an account? " <a href="/login">"Log in"</a></p>
    }
}

/// The view if somebody is logged in.
#[component]
pub fn AlreadyLoggedIn() -> impl IntoView {
    view! {
        <h1 tabindex="-1">"You need to log out before registering"</h1>
        <p class="lead">"You can then create another account."</p>
        <p class="actions">
            <LogOutHere />
            <a class="button button-quiet" href="/login">"Stay logged in"</a>
        </p>
    }
}
