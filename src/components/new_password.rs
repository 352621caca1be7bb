//! The input for a new password.

use leptos::prelude::*;

use super::{
    field::PasswordField,
    form::FormState,
    strength::{Meter, StrengthMeter},
};
use crate::{browser::settings, error::Field};

/// A password input with a hint and a strength meter.
#[component]
pub fn NewPasswordField(
    /// The form that the field belongs to.
    form: FormState,
    /// The field, which also gives the input its name.
    field: Field,
    /// The visible label.
    label: &'static str,
) -> impl IntoView {
    let hint =
        ["At least ", &settings::PASSWORD_MIN_LENGTH.get(), " characters. Three or four random words work well."]
            .concat();
    let meter = Meter::new(form, field);
    view! {
        <PasswordField form field label autocomplete="new-password" hint on_input=move || meter.typed()>
            <StrengthMeter meter />
        </PasswordField>
    }
}
