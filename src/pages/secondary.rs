//! The views that a visitor of the login or the account view doesn't need: registration, the targets of links in mails
//! and a few more. Their code is one part of the page, which is loaded with the first of them.

use leptos::prelude::*;

#[cfg(feature = "browser")]
pub use self::code::load;
use super::{
    confirm_email::ConfirmEmailPage, forgot::Forgot, invite::Invite, not_found::NotFound, register::Register,
    reset::Reset, setup::Setup, undo_email::UndoEmailPage, verify::Verify,
};
use crate::{components::lazy_view::lazy_view, error::AppError, route::View};

/// Whether a view is one of these.
#[must_use]
pub const fn includes(view: View) -> bool {
    !matches!(view, View::LogIn | View::LogOut | View::Account(_) | View::Operators)
}

/// One of these views.
#[component]
pub fn Secondary(
    /// Which one.
    view: View,
) -> impl IntoView {
    lazy_view(view.name(false), move || Box::pin(code::draw(view)))
}

fn draw(view: View) -> AnyView {
    match view {
        View::Register => view! { <Register /> }.into_any(),
        View::Forgot => view! { <Forgot /> }.into_any(),
        View::Reset => view! { <Reset /> }.into_any(),
        View::Invite => view! { <Invite /> }.into_any(),
        View::Setup => view! { <Setup /> }.into_any(),
        View::Verify => view! { <Verify /> }.into_any(),
        View::ConfirmEmail => view! { <ConfirmEmailPage /> }.into_any(),
        View::UndoEmail => view! { <UndoEmailPage /> }.into_any(),
        View::LogIn | View::LogOut | View::Account(_) | View::Operators | View::NotFound => {
            view! { <NotFound /> }.into_any()
        }
    }
}

/// Loads the code before it is used.
#[cfg(feature = "split")]
mod code {
    #![expect(clippy::unnecessary_wraps, reason = "a fallible split function must return a `Result`")]

    use leptos::prelude::*;

    use super::{AppError, View};

    #[leptos::wasm_split::wasm_split(
        secondary,
        wasm_split_path = leptos::wasm_split,
        fallible,
        preload(#[doc = "Loads the code, so that the views are drawn at once."] load)
    )]
    pub fn draw(view: View) -> Result<AnyView, AppError> {
        Ok(super::draw(view))
    }
}

/// Without code splitting, the views are already loaded.
#[cfg(not(feature = "split"))]
mod code {
    use std::future::{Ready, ready};

    use leptos::prelude::*;

    use super::{AppError, View};

    pub fn draw(view: View) -> Ready<Result<AnyView, AppError>> {
        ready(Ok(super::draw(view)))
    }

    #[cfg(feature = "browser")]
    pub fn load() -> Ready<Result<(), AppError>> {
        ready(Ok(()))
    }
}
