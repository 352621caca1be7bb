//! The views and their paths.

mod part;

pub use self::part::Part;

/// A view of the page, which has its own path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// The login form, or the home view after login.
    LogIn,
    /// Registration.
    Register,
    /// A part of the account view.
    Account(Part),
    /// Logout.
    LogOut,
    /// The form that requests a link for a password reset.
    Forgot,
    /// The target of a link that resets the password.
    Reset,
    /// The target of a link that confirms an email.
    Verify,
    /// The target of a link that changes the account's email.
    ConfirmEmail,
    /// The target of a link that restores the previous email.
    UndoEmail,
    /// Any other path.
    NotFound,
}

impl View {
    /// All views that have a path.
    pub const ALL: [Self; 13] = [
        Self::LogIn,
        Self::Register,
        Self::ACCOUNT,
        Self::LogOut,
        Self::Account(Part::Security),
        Self::Account(Part::Sessions),
        Self::Account(Part::Tokens),
        Self::Account(Part::Data),
        Self::Forgot,
        Self::Reset,
        Self::Verify,
        Self::ConfirmEmail,
        Self::UndoEmail,
    ];

    /// The first part of the account view, which represents the whole account in the navigation.
    pub const ACCOUNT: Self = Self::Account(Part::Profile);

    /// The entry of the navigation that a view belongs to. All parts of the account share one.
    #[must_use]
    pub const fn whole(self) -> Self {
        match self {
            Self::Account(_) => Self::ACCOUNT,
            view => view,
        }
    }

    /// The view at a path.
    #[must_use]
    pub fn at(path: &str) -> Self {
        match path.trim_end_matches('/') {
            "" | "/login" => Self::LogIn,
            "/register" => Self::Register,
            "/logout" => Self::LogOut,
            "/forgot" => Self::Forgot,
            "/reset" => Self::Reset,
            "/verify" => Self::Verify,
            "/confirm-email" => Self::ConfirmEmail,
            "/undo-email" => Self::UndoEmail,
            path => Part::at(path).map_or(Self::NotFound, Self::Account),
        }
    }

    /// The view's path. Empty for [`View::NotFound`].
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::LogIn => "/login",
            Self::Register => "/register",
            Self::Account(part) => part.path(),
            Self::LogOut => "/logout",
            Self::Forgot => "/forgot",
            Self::Reset => "/reset",
            Self::Verify => "/verify",
            Self::ConfirmEmail => "/confirm-email",
            Self::UndoEmail => "/undo-email",
            Self::NotFound => "",
        }
    }

    /// The view's name, which depends on whether somebody is logged in. It is short enough for the select box.
    #[must_use]
    pub const fn name(self, signed_in: bool) -> &'static str {
        match self {
            Self::LogIn if signed_in => "Home",
            Self::LogIn => "Log in",
            Self::Register => "Register",
            Self::Account(Part::Profile) => "Account",
            Self::Account(part) => part.name(),
            Self::LogOut => "Log out",
            Self::Forgot => "Reset password",
            Self::Reset => "New password",
            Self::Verify => "Confirm email",
            Self::ConfirmEmail => "New email",
            Self::UndoEmail => "Undo change",
            Self::NotFound => "Page not found",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::View;

    #[test]
    fn each_address_has_its_view() {
        for view in View::ALL {
            assert_eq!(View::at(view.path()), view);
        }
        for (path, view) in [
            ("/", View::LogIn),
            ("/login/", View::LogIn),
            ("/account/nowhere", View::NotFound),
            ("/nowhere", View::NotFound),
        ] {
            assert_eq!(View::at(path), view, "{path}");
        }
    }
}
