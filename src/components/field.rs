//! Inputs with their labels, hints and errors.
//!
//! An input is left to the browser: the page reads it at submission and never writes it, so nothing that was typed
//! before the page was live is lost.

use leptos::prelude::*;

use super::{
    form::FormState,
    icon::{Eye, EyeOff},
    strength::{Meter, StrengthMeter},
};
use crate::{
    browser::{dom, settings},
    error::Field,
    session::AuthState,
};

/// A line of text.
#[component]
pub fn TextField<L: IntoView + 'static>(
    /// The form.
    form: FormState,
    /// Which field it is; its input's name.
    field: Field,
    /// Its label.
    label: L,
    /// What is expected; empty if the label says it all.
    hint: &'static str,
    /// For the browser's own filling-in (HTML, section 4.10.18.7).
    autocomplete: &'static str,
    /// The text to begin with.
    value: String,
) -> impl IntoView {
    let (id, name) = (form.id(field), field.name());
    let email = matches!(field, Field::Email | Field::NewEmail);
    view! {
        <div class="field">
            <label for=id.clone()>{label}</label>
            <input
                id=id.clone()
                name=name
                type=if autocomplete == "email" { "email" } else { "text" }
                inputmode=email.then_some("email")
                autocomplete=autocomplete
                autocapitalize="none"
                spellcheck="false"
                required
                value=value
                aria-describedby=described_by(form, field)
                aria-invalid=invalid(form, field)
            />
            <FieldNotes form field hint />
        </div>
    }
}

/// A password, with a button that shows it.
#[component]
pub fn PasswordField(
    /// The form.
    form: FormState,
    /// Which field it is; its input's name.
    field: Field,
    /// Its label.
    label: &'static str,
    /// `current-password` or `new-password`.
    autocomplete: &'static str,
    /// What is expected; empty if the label says it all.
    #[prop(into)]
    hint: String,
    /// Whether a dialog that opens with it puts the focus here.
    #[prop(optional)]
    autofocus: bool,
) -> impl IntoView {
    let shown = RwSignal::new(false);
    let (id, name) = (form.id(field), field.name());
    let meter = (autocomplete == "new-password").then(|| Meter::new(form, field));
    let typed = move |_| meter.into_iter().for_each(Meter::typed);
    view! {
        <div class="field">
            <label for=id.clone()>{label}</label>
            <div class="with-button">
                <input
                    id=id.clone()
                    name=name
                    type=move || if shown.get() { "text" } else { "password" }
                    autocomplete=autocomplete
                    autocapitalize="none"
                    spellcheck="false"
                    autofocus=autofocus
                    required
                    on:input=typed
                    aria-describedby=described_by(form, field)
                    aria-invalid=invalid(form, field)
                />
                <button
                    class="in-field"
                    type="button"
                    aria-label="Show password"
                    aria-pressed=move || if shown.get() { "true" } else { "false" }
                    aria-controls=id
                    disabled=dom::IS_RENDERED
                    on:click=move |_| shown.update(|shown| *shown = !*shown)
                >
                    <Eye />
                    <EyeOff />
                </button>
            </div>
            <FieldNotes form field hint />
            {meter.map(|meter| view! { <StrengthMeter meter /> })}
        </div>
    }
}

/// The hint and the error below an input.
#[component]
fn FieldNotes(form: FormState, field: Field, #[prop(into)] hint: String) -> impl IntoView {
    let [error_id, hint_id] = note_ids(form, field);
    view! {
        <p id=error_id class="problem" prop:textContent=move || form.problem_with(field)></p>
        <p id=hint_id class="hint">{hint}</p>
    }
}

fn described_by(form: FormState, field: Field) -> String {
    note_ids(form, field).join(" ")
}

fn note_ids(form: FormState, field: Field) -> [String; 2] {
    ["-error", "-hint"].map(|note| [form.id(field).as_str(), note].concat())
}

fn invalid(form: FormState, field: Field) -> impl Fn() -> &'static str + Send + Sync + Clone + 'static {
    move || if form.problem_with(field).is_empty() { "false" } else { "true" }
}

/// Tells a password manager whose password a form is about.
#[component]
pub fn HiddenUsername(
    /// The account's email, as far as it is known. By default that of whoever is logged in.
    #[prop(optional, into)]
    email: Option<Signal<String>>,
) -> impl IntoView {
    let session = AuthState::current();
    let logged_in = move || session.identity().map(|me| me.account.email).unwrap_or_default();
    let email = email.unwrap_or_else(|| Signal::derive(logged_in));
    view! {
        <input
            class="visually-hidden"
            type="text"
            name="username"
            autocomplete="username"
            tabindex="-1"
            aria-hidden="true"
            readonly
            value=move || email.get()
        />
    }
}

/// A choice.
#[component]
pub fn SelectField(
    /// The form.
    form: FormState,
    /// Which field it is; its select's name.
    field: Field,
    /// Its label.
    label: &'static str,
    /// What can be chosen: each value with its words. The first is chosen at the beginning.
    options: &'static [(&'static str, &'static str)],
) -> impl IntoView {
    let id = form.id(field);
    let options = options.iter().map(|(value, text)| view! { <option value=*value>{*text}</option> }).collect_view();
    view! {
        <div class="field">
            <label for=id.clone()>{label}</label>
            <select id=id name=field.name() aria-describedby=described_by(form, field) aria-invalid=invalid(form, field)>
                {options}
            </select>
            <FieldNotes form field hint="" />
        </div>
    }
}

/// What is expected of a new password.
#[must_use]
pub fn password_hint() -> String {
    ["At least ", &settings::PASSWORD_MIN_LENGTH.get(), " characters. Three or four random words work well."].concat()
}
