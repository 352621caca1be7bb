//! The strength meter for a new password.
//!
//! The server estimates the strength, because the estimator's word lists are several times larger than the page may be.
//! The password is sent to the server in the same way as with the form. Neither side stores it.

use std::time::Duration;

use leptos::{prelude::*, task::spawn_local};

use super::form::FormState;
use crate::{
    browser::settings,
    domain::account::Strength,
    error::{AppError, Field},
    json::Json,
    session::BearerTransport,
};

/// Estimates the strength of a password. It considers the email and username of the logged-in account, or those in the
/// form.
#[server(
    name = JudgePassword, prefix = "/fn", endpoint = "judge_password", input = Json, output = Json,
    client = BearerTransport
)]
pub async fn judge_password(
    /// The password.
    password: String,
    /// The email in the form, possibly incomplete. Empty if the form has none.
    email: String,
    /// The username in the form.
    username: String,
) -> Result<Strength, AppError> {
    use crate::http::{context::PageContext, extract::Session};

    let mut context = PageContext::from_request()?;
    let session: Option<Session> = context.extract().await?;
    let typed = [email.as_str(), username.as_str()];
    Ok(context.service().judge_password(&context.caller, session.as_deref(), &password, typed).await?)
}

/// The delay between the last keystroke and the request.
const PAUSE: Duration = Duration::from_millis(400);

/// The strength of the password in one field. Cheap to copy.
#[derive(Clone, Copy)]
pub struct Meter {
    form: FormState,
    field: Field,
    judged: RwSignal<Option<Strength>>,
    /// The number of changes to the input.
    typed: StoredValue<u32>,
    /// How often the form had been sent at the last change.
    sent: StoredValue<Option<u32>>,
    in_flight: StoredValue<bool>,
}

impl Meter {
    /// A meter for an unchanged input.
    #[must_use]
    pub fn new(form: FormState, field: Field) -> Self {
        let judged = RwSignal::new(None);
        let (typed, sent, in_flight) = (StoredValue::new(0), StoredValue::new(None), StoredValue::new(false));
        Self { form, field, judged, typed, sent, in_flight }
    }

    /// Handles a change of the input. Asks the server after a pause without another change.
    pub fn typed(self) {
        let now = self.typed.try_update_value(|typed| {
            *typed += 1;
            *typed
        });
        self.sent.set_value(self.form.sent());
        self.judged.set(None);
        self.form.clear_problem(self.field);
        set_timeout(move || self.ask(now), PAUSE);
    }

    /// Asks the server, unless the input has changed since or another request is pending. Does not ask either if the
    /// form was sent since, because the server has then checked the password with it. An error is not shown here, but
    /// when the form is sent.
    fn ask(self, typed: Option<u32>) {
        let latest = self.typed.try_get_value();
        if latest.is_none() || latest != typed || self.in_flight.try_get_value() != Some(false) {
            return;
        }
        if self.sent.try_get_value() != Some(self.form.sent()) {
            return;
        }
        let password = self.form.text(self.field);
        let min_length = settings::PASSWORD_MIN_LENGTH.get().parse().unwrap_or(0);
        if password.chars().count() < min_length {
            return;
        }
        self.in_flight.set_value(true);
        let (email, username) = (self.form.text(Field::Email), self.form.text(Field::Username));
        spawn_local(async move {
            let result = judge_password(password, email, username).await;
            self.in_flight.try_set_value(false);
            let latest = self.typed.try_get_value();
            if latest == typed {
                self.judged.try_set(result.ok());
            } else {
                self.ask(latest);
            }
        });
    }
}

/// The meter: a bar, and the same as text.
#[component]
pub fn StrengthMeter(
    /// The state to show.
    meter: Meter,
) -> impl IntoView {
    let score = move || meter.judged.with(|judged| judged.as_ref().map(|judged| judged.score.to_string()));
    let words = move || {
        meter.judged.with(|judged| {
            let Some(Strength { score, advice }) = judged else { return String::new() };
            match score {
                0..=2 => {
                    let why = advice.first().map(ToString::to_string).unwrap_or_default();
                    ["Too easy to guess. ", &why].concat()
                }
                3 => "Good password.".into(),
                _ => "Strong password.".into(),
            }
        })
    };
    view! {
        <div class="strength" data-score=score>
            <span class="strength-bar" aria-hidden="true"></span>
            <p class="hint" role="status" prop:textContent=words></p>
        </div>
    }
}
