//! The views and their paths.

mod part;

pub use self::part::Part;

/// A view of the page, as its address names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// Logging in, and the app's content for those who have.
    LogIn,
    /// Making an account.
    Register,
    /// A part of one's own account.
    Account(Part),
    /// Logging out.
    LogOut,
    /// Asking for a link to a new password.
    Forgot,
    /// Where such a link leads.
    Reset,
    /// Where a link leads that confirms an email.
    Verify,
    /// Where a link leads that gives an account another email.
    ConfirmEmail,
    /// Where a link leads that gives it the one before back.
    UndoEmail,
    /// Any other address.
    NotFound,
}

impl View {
    /// The views that have an address.
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

    /// The account's first part, which stands for the whole account where one chooses a view.
    pub const ACCOUNT: Self = Self::Account(Part::Profile);

    /// The view as one chooses it: every part of the account belongs to one view.
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

    /// The view's own path; empty for the one that has none.
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

    /// The view's name, for a stranger or for somebody who is logged in. It fits into the select box.
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
