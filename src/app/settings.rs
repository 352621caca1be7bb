//! What the page must know of the server's configuration. The document carries it on its root element.

/// The attribute of `<html>` with the least number of characters of a new password.
pub const PASSWORD_LEAST: &str = "data-password-least";

/// The least number of characters of a new password.
#[must_use]
pub fn password_least() -> String {
    #[cfg(feature = "ssr")]
    return leptos::prelude::use_context::<crate::server::state::AppState>()
        .map(|state| state.service.password_least().to_string())
        .unwrap_or_default();
    #[cfg(not(feature = "ssr"))]
    crate::components::dom::root_attribute(PASSWORD_LEAST)
}
