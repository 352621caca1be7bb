//! Asks for the password again before sensitive operations.

use futures_channel::oneshot;
use leptos::{ev::SubmitEvent, html, prelude::*, task::spawn_local};

use super::{
    dialog::{Dialog, close},
    field::{HiddenUsername, PasswordField},
    form::{FormAlert, FormButtons, FormState},
};
use crate::{
    domain::requests,
    error::{AppError, Field},
    json::{Json, JsonRequest},
    session::{AuthState, BearerTransport},
};

/// Confirms the password in this session, for some minutes. Returns the session's new token.
#[server(
    name = ConfirmPassword, prefix = "/fn", endpoint = "confirm_password", input = JsonRequest, output = Json,
    client = BearerTransport
)]
pub async fn confirm_password(
    /// The password.
    request: requests::ConfirmPassword,
) -> Result<String, AppError> {
    use crate::{
        domain::requests::Parse,
        http::{context::PageContext, extract::Session},
    };

    let mut context = PageContext::from_request()?;
    let session: Session = context.extract().await?;
    let password = request.parse()?;
    let renewed = context.service().confirm_password(&context.caller, &session, &password).await?;
    Ok(renewed.token.expose().to_owned())
}

/// An operation that waits for the password.
struct Pending {
    /// The operation in words, such as "change your username".
    what: &'static str,
    /// Receives the confirmation. Dropping it cancels the operation.
    confirmed: oneshot::Sender<()>,
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
    /// completes the sentence "Enter your password to …". Returns [`AppError::ReauthRequired`] after a cancel.
    pub async fn with_reauth<T>(
        self,
        what: &'static str,
        act: impl AsyncFn() -> Result<T, AppError>,
    ) -> Result<T, AppError> {
        loop {
            match act().await {
                Err(AppError::ReauthRequired) => self.ask(what).await?,
                outcome => return outcome,
            }
        }
    }

    /// Opens the dialog and waits until the password is confirmed. Cancels an operation that was pending before. If
    /// the view no longer exists, there is nobody to ask, so this operation is cancelled, too.
    async fn ask(self, what: &'static str) -> Result<(), AppError> {
        let (confirmed, confirmation) = oneshot::channel();
        drop(self.0.try_set(Some(Pending { what, confirmed })));
        confirmation.await.map_err(|_| AppError::ReauthRequired)
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
            let request = requests::ConfirmPassword { password: password.into() };
            let result = auth.renew(Box::pin(confirm_password(request))).await;
            if form.finish(result).is_some() {
                // If the dialog was closed meanwhile, the operation was cancelled, and another one may be pending now.
                if dialog.try_get_untracked().flatten().is_none() {
                    return;
                }
                let pending = reauth.take();
                close(dialog);
                if let Some(Pending { confirmed, .. }) = pending {
                    let _ = confirmed.send(());
                }
            }
        });
    };
    view! {
        <Dialog
            dialog
            heading="confirm-heading"
            title="Confirm your password"
            closed=move || drop(reauth.take())
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
                <FormButtons form label="Confirm" busy="Confirming…" cancel=move || close(dialog) />
            </form>
        </Dialog>
    }
}
