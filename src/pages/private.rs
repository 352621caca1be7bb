//! The views that only people with an account see. Their code is loaded after the login.

use leptos::prelude::*;

use super::{account, login::LoginForm, operators};
use crate::{
    components::{
        lazy_view::{Loading, lazy_view},
        signed_in_or::signed_in_or,
    },
    route::View,
};

/// One of these views. It shows the login form if nobody is logged in.
#[component]
pub fn Private(
    /// Which one.
    view: View,
) -> impl IntoView {
    let (lead, name, draw): (_, _, fn() -> Loading) = match view {
        View::Operators => ("Log in to manage accounts.", view.name(true), || Box::pin(operators::load())),
        _ => ("Log in to see your account.", "Your account", || Box::pin(account::load())),
    };
    signed_in_or(move || view! { <LoginForm lead /> }, move || lazy_view(name, draw))
}
