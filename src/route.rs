//! The views and their paths.

/// Declares an enum of views from its table: each row is a view with its path and its name. Variants that have no row
/// follow.
macro_rules! views {
    (
        $(#[$about:meta])*
        $views:ident { $($(#[$doc:meta])* $view:ident: $path:literal, $name:literal;)* }
        $($others:tt)*
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $views {
            $($(#[$doc])* $view,)*
            $($others)*
        }

        impl $views {
            /// The table: each view with its path and its name.
            const TABLE: &'static [(Self, &'static str, &'static str)] = &[$((Self::$view, $path, $name)),*];

            /// The path and the name. A view without a row has no path.
            fn row(self) -> (&'static str, &'static str) {
                let row = Self::TABLE.iter().find(|(view, ..)| *view == self);
                row.map_or(("", "Page not found"), |(_, path, name)| (path, name))
            }
        }
    };
}

views! {
    /// A view of the page, which has its own path. The names are short enough for the select box.
    View {
        /// The login form, or the home view after login.
        LogIn: "/login", "Log in";
        /// Registration.
        Register: "/register", "Register";
        /// Logout.
        LogOut: "/logout", "Log out";
        /// The form that requests a link for a password reset.
        Forgot: "/forgot", "Reset password";
        /// The target of a link that resets the password.
        Reset: "/reset", "New password";
        /// The target of the link of an invitation.
        Invite: "/invite", "Invitation";
        /// The target of the link that makes the first admin.
        Setup: "/setup", "Set up";
        /// The target of a link that confirms an email.
        Verify: "/verify", "Confirm email";
        /// The target of a link that changes the account's email.
        ConfirmEmail: "/confirm-email", "New email";
        /// The target of a link that restores the previous email.
        UndoEmail: "/undo-email", "Undo change";
        /// The page of the operators, which reads the rest of its path itself.
        Operators: "/operators/accounts", "Administration";
    }
    /// A part of the account view.
    Account(Part),
    /// Any other path.
    NotFound,
}

views! {
    /// A part of the account view. The parts are in the order of the navigation.
    Part {
        /// Email and username.
        Profile: "/account", "Profile";
        /// The password and other credentials.
        Security: "/account/security", "Security";
        /// The list of sessions.
        Sessions: "/account/sessions", "Sessions";
        /// Personal access tokens.
        Tokens: "/account/tokens", "Tokens";
        /// What was done to the account.
        History: "/account/history", "History";
        /// Data export and account deletion.
        Data: "/account/data", "Data";
    }
}

/// The path of the operators' page. All its places are below it.
const OPERATORS: &str = "/operators";

impl View {
    /// The paths of the operators' page beside the one in the table, as routes of the server.
    pub const OPERATORS_PATHS: [&str; 2] = [OPERATORS, "/operators/accounts/{id}"];

    /// The first part of the account view, which represents the whole account in the navigation.
    pub const ACCOUNT: Self = Self::Account(Part::Profile);

    /// All views that have a path.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::TABLE.iter().map(|(view, ..)| *view).chain(Part::all().map(Self::Account))
    }

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
        let path = path.trim_end_matches('/');
        match path.strip_prefix(OPERATORS) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => Self::Operators,
            _ if path.is_empty() => Self::LogIn,
            _ => Self::all().find(|view| view.path() == path).unwrap_or(Self::NotFound),
        }
    }

    /// The view's path. Empty for [`View::NotFound`].
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Account(part) => part.path(),
            view => view.row().0,
        }
    }

    /// The view's name, which depends on whether somebody is logged in.
    #[must_use]
    pub fn name(self, signed_in: bool) -> &'static str {
        match self {
            Self::LogIn if signed_in => "Home",
            Self::ACCOUNT => "Account",
            Self::Account(part) => part.name(),
            view => view.row().1,
        }
    }
}

impl Part {
    /// All parts.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::TABLE.iter().map(|(part, ..)| *part)
    }

    /// The part's path.
    #[must_use]
    pub fn path(self) -> &'static str {
        self.row().0
    }

    /// The part's name, for its heading and the navigation.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().1
    }
}

#[cfg(test)]
mod tests {
    use super::View;

    #[test]
    fn each_path_has_its_view() {
        for view in View::all() {
            assert_eq!(View::at(view.path()), view);
        }
        for (path, view) in [
            ("/", View::LogIn),
            ("/login/", View::LogIn),
            ("/account/nowhere", View::NotFound),
            ("/nowhere", View::NotFound),
            ("/operators", View::Operators),
            ("/operators/accounts/018f2f3a-0000-7000-8000-000000000000", View::Operators),
            ("/operatorship", View::NotFound),
        ] {
            assert_eq!(View::at(path), view, "{path}");
        }
    }
}
