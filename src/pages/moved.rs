//! Giving an account another email, or the one before back, by a link from a mail.

use leptos::{either::Either, ev::SubmitEvent, prelude::*, task::spawn_local};
use server_fn::codec::Json;

use super::View;
use crate::{
    app::Address,
    components::{
        dom,
        form::{FormAlert, FormState, SubmitButton},
        icon::Eyebrow,
        link_token::LinkToken,
    },
    error::AppError,
    session::{Session, SessionClient},
};

/// Gives an account the email that a link proves: a new one, or with `back` the one before.
///
/// # Errors
/// [`AppError::LinkSpent`], [`AppError::Taken`], [`AppError::Unavailable`].
#[server(
    name = MoveEmail, prefix = "/fn", endpoint = "move_email", input = Json, output = Json, client = SessionClient
)]
pub async fn move_email(
    /// The link's token.
    token: String,
    /// Whether the change is to be undone.
    back: bool,
) -> Result<(), AppError> {
    crate::server::door::Door::open()?.move_email(&token, back).await
}

/// The view. Opening it changes nothing: mail scanners follow links, too.
#[component]
pub fn Moved(
    /// Tells which of the two it is.
    address: Address,
) -> impl IntoView {
    let session = Session::current();
    let link = LinkToken::take();
    let form = FormState::new("moved");
    let done = RwSignal::new(false);
    let back = address.view_now() == View::UndoEmail;
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some([]) = form.begin([]) else { return };
        spawn_local(async move {
            let answer = move_email(link.get(), back).await;
            if form.finish(answer).is_some() {
                done.try_set(true);
                dom::focus_heading();
                session.check().await;
            }
        });
    };
    let (eyebrow, heading, lead, label, busy) = if back {
        (
            "It wasn't you?",
            "Take the email back",
            "Your account gets this email back, and every session of it ends. Choose a new password afterwards.",
            "Take it back",
            "Taking it back…",
        )
    } else {
        ("One more step", "New email", "Your account is to have this email from now on.", "Use this email", "Changing…")
    };
    move || {
        if done.get() {
            let (href, next) = if back { ("/forgot", "Choose a new password") } else { ("/account", "Your account") };
            Either::Left(view! {
                <Eyebrow text="Done" />
                <h1 tabindex="-1">{if back { "You have your email back" } else { "Your email was changed" }}</h1>
                <p class="lead">
                    {if back {
                        "Every session has ended. Whoever changed the email may know your password, so choose a new one now."
                    } else {
                        "Log in with this email from now on. The one before was told, and can undo it for three days."
                    }}
                </p>
                <p class="actions"><a class="button" href=href>{next}</a></p>
            })
        } else {
            Either::Right(view! {
                <Eyebrow text=eyebrow />
                <h1 tabindex="-1">{heading}</h1>
                <p class="lead">{lead}</p>
                <form class="form" method="post" novalidate on:submit=submit aria-busy=move || form.aria_busy()>
                    <FormAlert form />
                    <SubmitButton form label busy />
                </form>
            })
        }
    }
}
