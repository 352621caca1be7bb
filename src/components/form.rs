//! The parts of every form: its state with one request at a time, its errors and its submit button.

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
    /// Seconds until the form can be sent again.
    wait: RwSignal<u32>,
    /// The first password field, which gets the error if the server says that the password is wrong.
    compared: StoredValue<Option<Field>>,
    /// How often the form was sent.
    sent: StoredValue<u32>,
}

impl FormState {
    /// An idle form. Its name must be unique in the view.
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

    /// The id of the element that shows the error of the whole form.
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

    /// The current text of a field.
    #[must_use]
    pub fn text(&self, field: Field) -> String {
        dom::value_of(&self.id(field))
    }

    /// Begins a submission and returns the texts of the fields. Returns `None` while another submission is pending and
    /// while the form is rate-limited. Also returns `None` if a field is empty, which is shown without a request.
    #[must_use]
    pub fn begin<const N: usize>(&self, fields: [Field; N]) -> Option<[String; N]> {
        if self.busy.get_untracked() || untrack(|| self.is_waiting()) {
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

    /// How often the form was sent. `None` if its view no longer exists.
    pub fn sent(&self) -> Option<u32> {
        self.sent.try_get_value()
    }

    /// Removes the error of a field, because its text is being changed.
    pub fn clear_problem(&self, field: Field) {
        self.error.update(|error| {
            if let Some(AppError::Invalid(problems)) = error {
                problems.retain(|found| found.field != field);
                if problems.is_empty() {
                    *error = None;
                }
            }
        });
    }

    /// Ends a submission. Returns the value on success, or shows the error and returns `None`. Shows nothing for
    /// [`AppError::ReauthRequired`], because it means that the user cancelled. The view may no longer exist.
    pub fn finish<T>(&self, result: Result<T, AppError>) -> Option<T> {
        self.cancel();
        match result {
            Ok(value) => return Some(value),
            Err(AppError::ReauthRequired) => {}
            Err(error) => self.fail(error),
        }
        None
    }

    /// Ends a submission that was cancelled.
    pub fn cancel(&self) {
        self.busy.try_set(false);
    }

    /// For `aria-busy`.
    #[must_use]
    pub fn aria_busy(&self) -> &'static str {
        if self.busy.get() { "true" } else { "false" }
    }

    /// The error of a field. Empty if there is none.
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
            // The view no longer exists.
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

    /// Counts down to a time, in milliseconds, and then removes the error.
    fn count_down(self, until: f64) {
        let left = Duration::try_from_secs_f64((until - dom::now()) / 1000.0).unwrap_or_default();
        // `as_millis` is not used, because the division of its u128 takes a kilobyte of code.
        let whole = u32::try_from(left.as_secs()).unwrap_or(u32::MAX);
        let seconds = whole.saturating_add(u32::from(left.subsec_nanos() > 0));
        if self.wait.try_set(seconds).is_some() {
            return;
        }
        if seconds == 0 {
            self.error.set(None);
        } else {
            set_timeout(move || self.count_down(until), Duration::from_secs(1).min(left));
        }
    }

    fn is_waiting(self) -> bool {
        self.wait.get() > 0
    }

    /// The error of the whole form. `left` returns the seconds to show for a waiting time. There is no message if only
    /// one field is invalid, because the field shows its error itself.
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

/// The error of the whole form. The alert is always in the document, because screen readers only announce changes of an
/// existing live region. A waiting time is announced once, while the visible text counts down.
#[component]
pub fn FormAlert(
    /// The form.
    form: FormState,
) -> impl IntoView {
    let announced = move || form.message(|whole| whole);
    let visible = move || form.message(|_| form.wait.get());
    view! {
        <p class="visually-hidden" role="alert" prop:textContent=announced></p>
        <div id=form.alert() class="form-alert" tabindex="-1">
            <p class="notice notice-wrong" aria-hidden="true" prop:textContent=visible></p>
        </div>
    }
}

/// The submit button. It is inactive while a submission is pending. A script of the shell enables the button that the
/// server rendered, and defers a submission until the page has started (`app/shell/load.js`).
#[component]
pub fn SubmitButton(
    /// The form.
    form: FormState,
    /// The button's label.
    label: &'static str,
    /// The label while a submission is pending.
    busy: &'static str,
) -> impl IntoView {
    let is_waiting = move || if form.busy.get() || form.is_waiting() { "true" } else { "false" };
    view! {
        <button
            id=form.button()
            class="button button-wide"
            type="submit"
            class:is-busy=move || form.busy.get()
            disabled=dom::IS_RENDERED
            data-busy=dom::rendered(busy)
            aria-disabled=is_waiting
            prop:textContent=move || if form.busy.get() { busy } else { label }
        >
            {dom::rendered(label)}
        </button>
    }
}

/// The submit button and the cancel button.
#[component]
pub fn FormButtons<F: Fn() + 'static>(
    /// The form.
    form: FormState,
    /// The submit button's label.
    label: &'static str,
    /// The label while a submission is pending.
    busy: &'static str,
    /// Runs when the user cancels.
    cancel: F,
) -> impl IntoView {
    view! {
        <div class="form-buttons">
            <SubmitButton form label busy />
            <button class="button button-quiet" type="button" on:click=move |_| cancel()>
                "Cancel"
            </button>
        </div>
    }
}
