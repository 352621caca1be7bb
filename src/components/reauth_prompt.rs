//! Asks for the password again before sensitive operations.

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

/// Confirms the password in this session, for some minutes. Returns the session's new token.
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

/// A sensitive operation. It returns the message for its success.
pub type Operation = Rc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<String, AppError>>>>>;

/// Receives the result of an operation.
pub type OnComplete = Rc<dyn Fn(Result<String, AppError>)>;

/// The request that a form sends.
pub type Submit<T> = Rc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<T, AppError>>>>>;

/// An operation that waits for the password.
struct Pending {
    /// The operation in words, such as "change your username".
    what: &'static str,
    operation: Operation,
    on_complete: OnComplete,
}

/// The prompt for the password, with the operation that waits for it. Cheap to copy. Exists only in the browser.
#[derive(Clone, Copy)]
pub struct ReauthPrompt(RwSignal<Option<Pending>, LocalStorage>);

impl ReauthPrompt {
    /// A prompt without a pending operation.
    #[must_use]
    pub fn idle() -> Self {
        Self(RwSignal::new_local(None))
    }

    /// Runs an operation. If the server requires the password, asks for it and runs the operation again. `what`
    /// completes the sentence "Enter your password to …". `on_complete` receives the result, which is
    /// [`AppError::ReauthRequired`] after a cancel.
    pub fn with_reauth(self, what: &'static str, operation: Operation, on_complete: OnComplete) {
        spawn_local(async move {
            match operation().await {
                Err(AppError::ReauthRequired) => {
                    // This operation replaces one that was pending before.
                    self.cancel();
                    self.0.try_set(Some(Pending { what, operation, on_complete }));
                }
                outcome => on_complete(outcome),
            }
        });
    }

    fn resume(self, pending: Option<Pending>) {
        if let Some(Pending { what, operation, on_complete }) = pending {
            self.with_reauth(what, operation, on_complete);
        }
    }

    /// Sends a form in the same way. `on_complete` receives the value on success, and the form shows an error.
    pub fn form<T: 'static>(
        self,
        what: &'static str,
        form: FormState,
        send: Submit<T>,
        on_complete: impl FnOnce(T) + 'static,
    ) {
        let result = Rc::new(Cell::new(None));
        let (stored, on_complete) = (Rc::clone(&result), Cell::new(Some(on_complete)));
        let operation: Operation = Rc::new(move || {
            let (sending, stored) = (send(), Rc::clone(&stored));
            Box::pin(async move {
                stored.set(Some(sending.await?));
                Ok(String::new())
            })
        });
        let on_complete: OnComplete = Rc::new(move |outcome| match outcome {
            Err(AppError::ReauthRequired) => form.cancel(),
            outcome => {
                if form.finish(outcome).is_some()
                    && let (Some(result), Some(on_complete)) = (result.take(), on_complete.take())
                {
                    on_complete(result);
                }
            }
        });
        self.with_reauth(what, operation, on_complete);
    }

    fn cancel(self) {
        if let Some(Pending { on_complete, .. }) = self.take() {
            on_complete(Err(AppError::ReauthRequired));
        }
    }

    fn take(self) -> Option<Pending> {
        self.0.try_update(Option::take).flatten()
    }
}

/// The dialog. It exists while an operation is pending.
#[component]
pub fn ConfirmDialog(
    /// The prompt.
    reauth: ReauthPrompt,
) -> impl IntoView {
    let is_pending = Memo::new(move |_| reauth.0.with(Option::is_some));
    move || is_pending.get().then(|| view! { <PasswordDialog reauth /> })
}

#[component]
fn PasswordDialog(reauth: ReauthPrompt) -> impl IntoView {
    let auth = AuthState::current();
    let form = FormState::new("confirm");
    let dialog = NodeRef::<html::Dialog>::new();
    let what = move || reauth.0.with(|pending| pending.as_ref().map(|pending| pending.what));
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some([password]) = form.begin([Field::Password]) else { return };
        spawn_local(async move {
            let result = auth.renew(Box::pin(confirm_password(password))).await;
            if form.finish(result).is_some() {
                // If the dialog was closed meanwhile, the operation was cancelled, and another one may be pending now.
                if dialog.try_get_untracked().flatten().is_none() {
                    return;
                }
                let pending = reauth.take();
                close(dialog);
                reauth.resume(pending);
            }
        });
    };
    view! {
        <Dialog
            dialog
            heading="confirm-heading"
            title="Confirm your password"
            closed=move || reauth.cancel()
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
