//! The fields of a new account.

use leptos::prelude::*;

use super::{field::TextField, form::FormState, new_password::NewPasswordField};
use crate::error::Field;

/// The fields of a form that creates an account, in the order of [`NEW_ACCOUNT`].
#[component]
pub fn NewAccountFields(
    /// The form that the fields belong to.
    form: FormState,
    /// The only email that can register. Empty if any can.
    #[prop(optional)]
    email: String,
) -> impl IntoView {
    let is_bound = !email.is_empty();
    view! {
        <TextField
            form
            field=Field::Email
            label="Email"
            hint=if is_bound { "The invitation is for this address." } else { "" }
            autocomplete="email"
            value=email
            readonly=is_bound
        />
        <TextField
            form
            field=Field::Username
            label="Username"
            hint="3–32 characters: a–z, 0–9, dot, underscore, hyphen. Visible to others."
            autocomplete="username"
            value=String::new()
        />
        <NewPasswordField form field=Field::Password label="Password" />
    }
}

/// The fields whose values create an account.
pub const NEW_ACCOUNT: [Field; 3] = [Field::Email, Field::Username, Field::Password];
