//! What every form has: one request at a time, its errors, its button.

use std::time::Duration;

use leptos::prelude::*;

use crate::{
    browser::dom,
    error::{AppError, Field, FieldProblem, Problem},
    session::AuthState,
};

/// The state of one form. Cheap to copy.
#[derive(Clone, Copy)]
pub struct FormState {
    name: &'static str,
    busy: RwSignal<bool>,
    error: RwSignal<Option<AppError>>,
    /// Seconds until it may be sent again.
    wait: RwSignal<u32>,
    /// The first field with a password, which the server compares.
    compared: StoredValue<Option<Field>>,
    /// How often it was sent.
    sent: StoredValue<u32>,
}

impl FormState {
    /// A form that waits for its reader. Its name is that of no other form in the view.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        let (busy, error, wait) = (RwSignal::new(false), RwSignal::new(None), RwSignal::new(0));
        Self { name, busy, error, wait, compared: StoredValue::new(None), sent: StoredValue::new(0) }
    }

    /// The id of a field's input in this form.
    #[must_use]
    pub fn id(&self, field: Field) -> String {
        [self.name, "-", field.name()].concat()
    }

    /// The id of the element that tells what is wrong with the form as a whole.
    fn alert(&self) -> String {
        [self.name, "-alert"].concat()
    }

    /// The id of the form's button.
    fn button(&self) -> String {
        [self.name, "-submit"].concat()
    }

    /// Empties a field.
    pub fn empty(&self, field: Field) {
        dom::empty(&self.id(field));
    }

    /// What has been typed into a field by now.
    #[must_use]
    pub fn text(&self, field: Field) -> String {
        dom::value_of(&self.id(field))
    }

    /// Begins a submission: the texts of the fields. `None` while another submission is under way, while the server wants the
    /// form to wait, and when a field is empty, which needs no server to be found.
    #[must_use]
    pub fn begin<const N: usize>(&self, fields: [Field; N]) -> Option<[String; N]> {
        if self.busy.get_untracked() || untrack(|| self.waits()) {
            return None;
        }
        AuthState::current().clear_notice();
        self.compared.set_value(fields.into_iter().find(|field| field.is_password()));
        let texts = fields.map(|field| self.text(field));
        let missing: Vec<_> = fields
            .into_iter()
            .zip(&texts)
            .filter(|(field, text)| if field.is_password() { text.is_empty() } else { text.trim().is_empty() })
            .map(|(field, _)| FieldProblem { field, problem: Problem::Missing })
            .collect();
        if !missing.is_empty() {
            self.fail(AppError::Invalid(missing));
            return None;
        }
        self.error.set(None);
        self.busy.set(true);
        self.sent.update_value(|sent| *sent += 1);
        Some(texts)
    }

    /// How often it was sent. `None` once its view is gone.
    pub fn sent(&self) -> Option<u32> {
        self.sent.try_get_value()
    }

    /// A field is being mended: what was wrong with it is said no longer.
    pub fn mend(&self, field: Field) {
        self.error.update(|error| {
            if let Some(AppError::Invalid(problems)) = error {
                problems.retain(|found| found.field != field);
                if problems.is_empty() {
                    *error = None;
                }
            }
        });
    }

    /// Ends a submission: the success, or `None` after the error has been shown. The view may be gone by now.
    pub fn finish<T>(&self, answer: Result<T, AppError>) -> Option<T> {
        self.busy.try_set(false);
        answer.map_err(|error| self.fail(error)).ok()
    }

    /// Ends a submission that somebody would rather not go on with.
    pub fn rest(&self) {
        self.busy.try_set(false);
    }

    /// For `aria-busy`.
    #[must_use]
    pub fn aria_busy(&self) -> &'static str {
        if self.busy.get() { "true" } else { "false" }
    }

    /// What is wrong with a field; empty if nothing is.
    #[must_use]
    pub fn problem_with(&self, field: Field) -> String {
        self.error.with(|error| {
            let problems = error.iter().flat_map(|error| error.problems_of(field));
            problems.map(ToString::to_string).collect::<Vec<_>>().join(" ")
        })
    }

    fn fail(&self, error: AppError) {
        let is_wrong = matches!(error, AppError::BadCredentials | AppError::WrongPassword);
        let wait = error.retry_after();
        let error = match (error, self.compared.try_get_value().flatten()) {
            (AppError::WrongPassword, Some(field)) => {
                AppError::Invalid(vec![FieldProblem { field, problem: Problem::PasswordWrong }])
            }
            (error, _) => error,
        };
        let first = match &error {
            AppError::Invalid(problems) => problems.iter().map(|found| found.field).min_by_key(|field| *field as u8),
            AppError::BadCredentials => self.compared.try_get_value().flatten(),
            _ => None,
        };
        if self.error.try_set(Some(error)).is_some() {
            // The view is gone.
            return;
        }
        if let Some(seconds) = wait {
            self.count_down(dom::now() + f64::from(seconds) * 1000.0);
        }
        match first {
            Some(field) if is_wrong => dom::select_id(self.id(field)),
            Some(field) => dom::focus_id(self.id(field)),
            None => dom::focus_id(self.alert()),
        }
    }

    /// Counts the seconds until a time. Then the error is over.
    fn count_down(self, until: f64) {
        let left = Duration::try_from_secs_f64((until - dom::now()) / 1000.0).unwrap_or_default();
        let seconds = u32::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
        if self.wait.try_set(seconds).is_some() {
            return;
        }
        if seconds == 0 {
            self.error.set(None);
        } else {
            set_timeout(move || self.count_down(until), Duration::from_secs(1).min(left));
        }
    }

    fn waits(self) -> bool {
        self.wait.get() > 0
    }

    /// What is wrong with the form as a whole, when so many seconds of a wait are left. A single field says it by itself.
    fn message(self, left: impl FnOnce(u32) -> u32) -> String {
        match self.error.get() {
            None => String::new(),
            Some(AppError::Invalid(problems)) => {
                let marked = Field::ALL.into_iter().filter(|field| problems.iter().any(|found| found.field == *field));
                match marked.count() {
                    0 | 1 => String::new(),
                    several => ["Please correct the ", &several.to_string(), " marked fields."].concat(),
                }
            }
            Some(error) => {
                let wait = error.retry_after().map_or(0, left);
                error.with_wait(wait).to_string()
            }
        }
    }
}

/// What is wrong with the form as a whole. The alert is always there, so that a screen reader hears what comes into it. It reads
/// a wait once, while the eye sees it counted.
#[component]
pub fn FormAlert(
    /// The form.
    form: FormState,
) -> impl IntoView {
    let spoken = move || form.message(|whole| whole);
    let seen = move || form.message(|_| form.wait.get());
    view! {
        <p class="visually-hidden" role="alert" prop:textContent=spoken></p>
        <div id=form.alert() class="form-alert" tabindex="-1">
            <p class="notice notice-wrong" aria-hidden="true" prop:textContent=seen></p>
        </div>
    }
}

/// The form's button. It waits while a submission is under way. The shell's script enables the server's one and keeps a
/// submission for the page (`app/shell/load.js`).
#[component]
pub fn SubmitButton(
    /// The form.
    form: FormState,
    /// What it does.
    label: &'static str,
    /// What it is doing.
    busy: &'static str,
) -> impl IntoView {
    let waits = move || if form.busy.get() || form.waits() { "true" } else { "false" };
    view! {
        <button
            id=form.button()
            class="button button-wide"
            type="submit"
            class:is-busy=move || form.busy.get()
            disabled=dom::IS_RENDERED
            data-busy=dom::rendered(busy)
            aria-disabled=waits
            prop:textContent=move || if form.busy.get() { busy } else { label }
        >
            {dom::rendered(label)}
        </button>
    }
}
