//! How hard a new password is to guess, while it is typed.
//!
//! The server judges: what knows words and names weighs several times what the whole page may. The password goes there as it
//! does when the form is sent, and it is kept by neither side.

use std::time::Duration;

use leptos::{prelude::*, task::spawn_local};
use server_fn::codec::Json;

use super::form::FormState;
use crate::{
    browser::settings,
    domain::account::Strength,
    error::{AppError, Field},
    session::SessionClient,
};

/// Judges a password, beside the names that its guesser would try: those of whoever is logged in, or those in the form.
///
/// # Errors
/// [`AppError::Invalid`], [`AppError::RateLimited`], [`AppError::Unavailable`].
#[server(
    name = JudgePassword, prefix = "/fn", endpoint = "judge_password", input = Json, output = Json,
    client = SessionClient
)]
pub async fn judge_password(
    /// The password.
    password: String,
    /// The email in the form, whole or not; empty if there is none.
    email: String,
    /// The username in the form.
    username: String,
) -> Result<Strength, AppError> {
    crate::http::context::PageContext::from_request()?.judge_password(&password, &email, &username).await
}

/// How long nothing must have been typed before the server is asked.
const PAUSE: Duration = Duration::from_millis(400);

/// What is known of the password in one field. Cheap to copy.
#[derive(Clone, Copy)]
pub struct Meter {
    form: FormState,
    field: Field,
    judged: RwSignal<Option<Strength>>,
    /// Counts what was typed.
    typed: StoredValue<u32>,
    /// How often the form had been sent when something was typed last.
    sent: StoredValue<Option<u32>>,
    asking: StoredValue<bool>,
}

impl Meter {
    /// Nothing has been typed yet.
    #[must_use]
    pub fn new(form: FormState, field: Field) -> Self {
        let judged = RwSignal::new(None);
        let (typed, sent, asking) = (StoredValue::new(0), StoredValue::new(None), StoredValue::new(false));
        Self { form, field, judged, typed, sent, asking }
    }

    /// Something was typed. Once nothing more is, the server is asked.
    pub fn typed(self) {
        let now = self.typed.try_update_value(|typed| {
            *typed += 1;
            *typed
        });
        self.sent.set_value(self.form.sent());
        self.judged.set(None);
        self.form.mend(self.field);
        set_timeout(move || self.ask(now), PAUSE);
    }

    /// Asks about what has been typed, unless more has been since, an answer is on its way, or the form was sent since: then the
    /// server has judged the password with it. An answer that fails says nothing: the form does when it is sent.
    fn ask(self, typed: Option<u32>) {
        let latest = self.typed.try_get_value();
        if latest.is_none() || latest != typed || self.asking.try_get_value() != Some(false) {
            return;
        }
        if self.sent.try_get_value() != Some(self.form.sent()) {
            return;
        }
        let password = self.form.text(self.field);
        let least = settings::PASSWORD_MIN_LENGTH.get().parse().unwrap_or(0);
        if password.chars().count() < least {
            return;
        }
        self.asking.set_value(true);
        let (email, username) = (self.form.text(Field::Email), self.form.text(Field::Username));
        spawn_local(async move {
            let answer = judge_password(password, email, username).await;
            self.asking.try_set_value(false);
            let latest = self.typed.try_get_value();
            if latest == typed {
                self.judged.try_set(answer.ok());
            } else {
                self.ask(latest);
            }
        });
    }
}

/// The meter: bars for the eye, and the same in words.
#[component]
pub fn StrengthMeter(
    /// What is known.
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
