//! What every form has: one request at a time, its errors, its button.

use leptos::prelude::*;

use super::dom;
use crate::{
    error::{AppError, Field, FieldProblem, Problem},
    session::Session,
};

/// The state of one form. Cheap to copy.
#[derive(Clone, Copy)]
pub struct FormState {
    name: &'static str,
    busy: RwSignal<bool>,
    error: RwSignal<Option<AppError>>,
    /// The first field with a password, which the server compares.
    compared: StoredValue<Option<Field>>,
}

impl FormState {
    /// A form that waits for its reader. Its name is that of no other form in the view.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name, busy: RwSignal::new(false), error: RwSignal::new(None), compared: StoredValue::new(None) }
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

    /// Empties a field.
    pub fn empty(&self, field: Field) {
        dom::empty(&self.id(field));
    }

    /// What has been typed into a field by now.
    #[must_use]
    pub fn text(&self, field: Field) -> String {
        dom::value_of(&self.id(field))
    }

    /// Begins a submission: the texts of the fields. `None` while another submission is under way, and when a field is
    /// empty, which needs no server to be found.
    #[must_use]
    pub fn begin<const N: usize>(&self, fields: [Field; N]) -> Option<[String; N]> {
        if self.busy.get_untracked() {
            return None;
        }
        Session::current().hush();
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
        Some(texts)
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
        let error = match (error, self.compared.try_get_value().flatten()) {
            (AppError::WrongPassword, Some(field)) => {
                AppError::Invalid(vec![FieldProblem { field, problem: Problem::PasswordWrong }])
            }
            (error, _) => error,
        };
        let first = match &error {
            AppError::Invalid(problems) => problems.iter().map(|found| found.field).min_by_key(|field| *field as u8),
            _ => None,
        };
        if self.error.try_set(Some(error)).is_none() {
            dom::focus_id(first.map_or_else(|| self.alert(), |field| self.id(field)));
        }
    }
}

/// What is wrong with the form as a whole. It is always there, so that a screen reader hears what comes into it.
#[component]
pub fn FormAlert(
    /// The form.
    form: FormState,
) -> impl IntoView {
    let message = move || form.error.with(|error| error.as_ref().map(ToString::to_string).unwrap_or_default());
    view! { <p id=form.alert() class="notice notice-wrong" role="alert" tabindex="-1" prop:textContent=message></p> }
}

/// The form's button. It waits until the page is live, and while a submission is under way.
#[component]
pub fn SubmitButton(
    /// The form.
    form: FormState,
    /// What it does.
    label: &'static str,
    /// What it is doing.
    busy: &'static str,
) -> impl IntoView {
    let session = Session::current();
    view! {
        <button
            class="button button-wide"
            type="submit"
            class:is-busy=move || form.busy.get()
            disabled=move || !session.is_live()
            aria-disabled=move || form.aria_busy()
            prop:textContent=move || if form.busy.get() { busy } else { label }
        >
            {dom::rendered(label)}
        </button>
    }
}
