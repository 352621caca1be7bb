//! What the page must know of the server's configuration. The document carries it on its root element.

/// A setting, by its attribute of `<html>`.
#[derive(Clone, Copy, Debug)]
pub struct Setting(&'static str);

/// The least number of characters of a new password.
pub const PASSWORD_LEAST: Setting = Setting("data-password-least");
/// Whether there is mail: `off`, `kept` for the operator, or `sent`.
pub const MAIL: Setting = Setting("data-mail");
/// `yes` if one must have confirmed one's email before one may log in.
pub const CONFIRM_FIRST: Setting = Setting("data-confirm-first");
/// `closed` if only the operator makes accounts, `open` otherwise.
pub const REGISTRATION: Setting = Setting("data-registration");

/// Whether anybody may register.
#[must_use]
pub fn registration_is_open() -> bool {
    REGISTRATION.get() != "closed"
}

impl Setting {
    /// Its value: on the server from the configuration, in the browser from the document.
    #[must_use]
    pub fn get(self) -> String {
        #[cfg(feature = "ssr")]
        return leptos::prelude::use_context::<crate::server::state::AppState>()
            .map(|state| self.of(state.service.policy()))
            .unwrap_or_default();
        #[cfg(not(feature = "ssr"))]
        crate::components::dom::root_attribute(self.0)
    }

    #[cfg(feature = "ssr")]
    fn of(self, policy: &crate::service::Policy) -> String {
        use crate::service::{MailPolicy, RegistrationMode};
        match self.0 {
            "data-password-least" => policy.password_least.to_string(),
            "data-registration" => match policy.registration.mode {
                RegistrationMode::Open => "open",
                RegistrationMode::Closed => "closed",
            }
            .to_owned(),
            "data-mail" => match policy.mail {
                MailPolicy::Off => "off",
                MailPolicy::Kept => "kept",
                MailPolicy::Sent => "sent",
            }
            .to_owned(),
            _ => if policy.require_verified_email { "yes" } else { "no" }.to_owned(),
        }
    }
}
