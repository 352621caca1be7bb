//! Asking for the password again, before what matters most.

use std::{cell::Cell, future::Future, pin::Pin, rc::Rc};

use leptos::{ev::SubmitEvent, html, prelude::*, task::spawn_local};
use server_fn::codec::Json;

use super::{
    dialog::{Dialog, close},
    field::{HiddenUsername, PasswordField},
    form::{FormAlert, FormState, SubmitButton},
};
use crate::{
    error::{AppError, Field},
    session::{AuthState, SessionClient},
};

/// Proves the password again in this session, for some minutes. Returns its token from now on.
///
/// # Errors
/// [`AppError::WrongPassword`], [`AppError::RateLimited`], [`AppError::SessionEnded`], [`AppError::Unavailable`].
#[server(
    name = ConfirmPassword, prefix = "/fn", endpoint = "confirm_password", input = Json, output = Json,
    client = SessionClient
)]
pub async fn confirm_password(
    /// The password.
    password: String,
) -> Result<String, AppError> {
    crate::http::context::PageContext::from_request()?.confirm_password(&password).await
}

/// Something to do. It tells what it has done, in words.
pub type Act = Rc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<String, AppError>>>>>;

/// Hears what came of it.
pub type Done = Rc<dyn Fn(Result<String, AppError>)>;

/// What a form sends.
pub type Call<T> = Rc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<T, AppError>>>>>;

/// What waits for the password.
struct Waiting {
    /// In words, as in "to change your username".
    what: &'static str,
    act: Act,
    done: Done,
}

/// Whether something waits for the password. Cheap to copy. Only the browser ever makes one.
#[derive(Clone, Copy)]
pub struct ReauthPrompt(RwSignal<Option<Waiting>, LocalStorage>);

impl ReauthPrompt {
    /// Nothing waits yet.
    #[must_use]
    pub fn idle() -> Self {
        Self(RwSignal::new_local(None))
    }

    /// Does something, asks for the password if the server wants it, and does it again. `what` says what it is, as in "to change
    /// your username". `done` hears what came of it: [`AppError::ReauthRequired`] from somebody who would rather not confirm.
    pub fn with_reauth(self, what: &'static str, act: Act, done: Done) {
        spawn_local(async move {
            match act().await {
                Err(AppError::ReauthRequired) => {
                    // What waited before has been given up for this.
                    self.give_up();
                    self.0.try_set(Some(Waiting { what, act, done }));
                }
                outcome => done(outcome),
            }
        });
    }

    fn go_on(self, waiting: Option<Waiting>) {
        if let Some(Waiting { what, act, done }) = waiting {
            self.with_reauth(what, act, done);
        }
    }

    /// Sends a form like that. `done` hears of a success; what is wrong, the form tells.
    pub fn form<T: 'static>(self, what: &'static str, form: FormState, send: Call<T>, done: impl FnOnce(T) + 'static) {
        let answer = Rc::new(Cell::new(None));
        let (kept, done) = (Rc::clone(&answer), Cell::new(Some(done)));
        let act: Act = Rc::new(move || {
            let (sending, kept) = (send(), Rc::clone(&kept));
            Box::pin(async move {
                kept.set(Some(sending.await?));
                Ok(String::new())
            })
        });
        let done: Done = Rc::new(move |outcome| match outcome {
            Err(AppError::ReauthRequired) => form.rest(),
            outcome => {
                if form.finish(outcome).is_some()
                    && let (Some(answer), Some(done)) = (answer.take(), done.take())
                {
                    done(answer);
                }
            }
        });
        self.with_reauth(what, act, done);
    }

    fn give_up(self) {
        if let Some(Waiting { done, .. }) = self.take() {
            done(Err(AppError::ReauthRequired));
        }
    }

    fn take(self) -> Option<Waiting> {
        self.0.try_update(Option::take).flatten()
    }
}

/// The dialog. It is there while something waits.
#[component]
pub fn ConfirmDialog(
    /// What waits.
    confirm: ReauthPrompt,
) -> impl IntoView {
    let waits = Memo::new(move |_| confirm.0.with(Option::is_some));
    move || waits.get().then(|| view! { <PasswordDialog confirm /> })
}

#[component]
fn PasswordDialog(confirm: ReauthPrompt) -> impl IntoView {
    let session = AuthState::current();
    let form = FormState::new("confirm");
    let dialog = NodeRef::<html::Dialog>::new();
    let what = move || confirm.0.with(|waiting| waiting.as_ref().map(|waiting| waiting.what));
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some([password]) = form.begin([Field::Password]) else { return };
        spawn_local(async move {
            let answer = session.renew(Box::pin(confirm_password(password))).await;
            if form.finish(answer).is_some() {
                // Who has closed it meanwhile has changed their mind; what waits now is something else.
                if dialog.try_get_untracked().flatten().is_none() {
                    return;
                }
                let waiting = confirm.take();
                close(dialog);
                confirm.go_on(waiting);
            }
        });
    };
    view! {
        <Dialog
            dialog
            heading="confirm-heading"
            title="Confirm your password"
            closed=move || confirm.give_up()
        >
            <p>"Enter your password to " {what} "."</p>
            <form class="form" method="post" novalidate on:submit=submit aria-busy=move || form.aria_busy()>
                <FormAlert form />
                <HiddenUsername />
                <PasswordField
                    form
                    field=Field::Password
                    label="Password"
                    autocomplete="current-password"
                    hint=""
                    autofocus=true
                />
                <div class="form-buttons">
                    <SubmitButton form label="Confirm" busy="Confirming…" />
                    <button class="button button-quiet" type="button" on:click=move |_| close(dialog)>"Cancel"</button>
                </div>
            </form>
        </Dialog>
    }
}
