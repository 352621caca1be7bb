//! Inputs with their labels, hints and errors.
//!
//! Inputs are uncontrolled: the page reads an input at submission and never writes it. So text that was typed before
//! the page started is not lost.

use leptos::prelude::*;

use super::{
    form::FormState,
    icon::{Eye, EyeOff},
};
use crate::{browser::dom, error::Field, session::AuthState};

/// A text input.
#[component]
pub fn TextField<L: IntoView + 'static>(
    /// The form that the field belongs to.
    form: FormState,
    /// The field, which also gives the input its name.
    field: Field,
    /// The visible label.
    label: L,
    /// What is expected. Empty if the label is enough.
    hint: &'static str,
    /// The `autocomplete` value (HTML, section 4.10.18.7).
    autocomplete: &'static str,
    /// The initial text.
    value: String,
    /// Whether the text can't be changed.
    #[prop(optional)]
    readonly: bool,
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
                readonly=readonly
                value=value
                aria-describedby=described_by(form, field)
                aria-invalid=invalid(form, field)
            />
            <FieldNotes form field hint />
        </div>
    }
}

/// A password input, with a button that shows the password.
#[component]
pub fn PasswordField(
    /// The form that the field belongs to.
    form: FormState,
    /// The field, which also gives the input its name.
    field: Field,
    /// The visible label.
    label: &'static str,
    /// `current-password` or `new-password`.
    autocomplete: &'static str,
    /// What is expected. Empty if the label is enough.
    #[prop(into)]
    hint: String,
    /// Whether the input gets the focus when its dialog opens.
    #[prop(optional)]
    autofocus: bool,
    /// Runs after each change of the text.
    #[prop(optional, into)]
    on_input: Option<Callback<()>>,
    /// Elements below the hint.
    #[prop(optional)]
    children: Option<Children>,
) -> impl IntoView {
    let shown = RwSignal::new(false);
    let (id, name) = (form.id(field), field.name());
    let typed = move |_| on_input.into_iter().for_each(|on_input| on_input.run(()));
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
            {children.map(|children| children())}
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

/// A hidden username input. It lets a password manager find the account that the form's password belongs to.
#[component]
pub fn HiddenUsername(
    /// The account's email if it is known. The default is the email of the account that is logged in.
    #[prop(optional, into)]
    email: Option<Signal<String>>,
) -> impl IntoView {
    let auth = AuthState::current();
    let logged_in = move || auth.session().map(|session| session.account.email).unwrap_or_default();
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

/// A select box.
#[component]
pub fn SelectField(
    /// The form that the field belongs to.
    form: FormState,
    /// The field, which also gives the select its name.
    field: Field,
    /// The visible label.
    label: &'static str,
    /// Each value with its label. The first is selected initially.
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
