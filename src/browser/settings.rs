//! The part of the server's configuration that the page needs. It is stored in attributes of the document's root
//! element.

/// A setting, identified by its attribute of `<html>`.
#[derive(Clone, Copy, Debug)]
pub struct Setting(&'static str);

/// The minimum number of characters in a new password.
pub const PASSWORD_MIN_LENGTH: Setting = Setting("data-password-min-length");
/// The mail mode: `off`, `folder` for a folder of the server, or `smtp`.
pub const MAIL: Setting = Setting("data-mail");
/// `yes` if login requires a confirmed email, `no` otherwise.
pub const CONFIRM_FIRST: Setting = Setting("data-confirm-first");
/// `open` if everybody can register, `approval` if an operator must then approve the account, `invite` if only people with an invitation can, `closed` if nobody can.
pub const REGISTRATION: Setting = Setting("data-registration");

/// Whether everybody can register.
#[must_use]
pub fn registration_is_open() -> bool {
    matches!(REGISTRATION.get().as_str(), "open" | "approval")
}

/// The service's name.
pub const SERVICE: Setting = Setting("data-service");
/// The URL of the app. Empty if there is none.
pub const APP_URL: Setting = Setting("data-app-url");
/// The path of the logo. Empty for the built-in logo.
pub const LOGO: Setting = Setting("data-logo");

impl Setting {
    /// The setting's value. It comes from the configuration on the server and from the document in the browser.
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
                RegistrationMode::Approval => "approval",
                RegistrationMode::Invite => "invite",
                RegistrationMode::Closed => "closed",
            }
            .to_owned(),
            "data-mail" => match policy.mail {
                MailPolicy::Off => "off",
                MailPolicy::Folder => "folder",
                MailPolicy::Smtp => "smtp",
            }
            .to_owned(),
            _ => if policy.require_verified_email { "yes" } else { "no" }.to_owned(),
        }
    }
}
