//! What the page must know of the server's configuration. The document carries it on its root element.

/// A setting, by its attribute of `<html>`.
#[derive(Clone, Copy, Debug)]
pub struct Setting(&'static str);

/// The least number of characters of a new password.
pub const PASSWORD_MIN_LENGTH: Setting = Setting("data-password-min-length");
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

/// The service's name.
pub const SERVICE: Setting = Setting("data-service");
/// The address of the app; empty if there is none.
pub const APP_URL: Setting = Setting("data-app-url");
/// The address of the logo; empty for the page's own mark.
pub const LOGO: Setting = Setting("data-logo");

impl Setting {
    /// Its value: on the server from the configuration, in the browser from the document.
    #[must_use]
    pub fn get(self) -> String {
        #[cfg(feature = "ssr")]
        return leptos::prelude::use_context::<crate::http::state::AppState>()
            .map(|state| self.of(&state))
            .unwrap_or_default();
        #[cfg(not(feature = "ssr"))]
        crate::browser::dom::root_attribute(self.0)
    }

    #[cfg(feature = "ssr")]
    fn of(self, state: &crate::http::state::AppState) -> String {
        use crate::service::{MailPolicy, RegistrationMode};
        let (policy, brand) = (state.service.policy(), &state.brand);
        match self.0 {
            "data-service" => brand.service_name.clone(),
            "data-app-url" => brand.app_url.as_ref().map(ToString::to_string).unwrap_or_default(),
            "data-logo" => brand.logo_path(),
            "data-password-min-length" => policy.password_min_length.to_string(),
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
