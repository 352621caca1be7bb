//! Counts of what the service did since its start, for monitoring. They name no person and no address.

use strum::{IntoStaticStr, VariantArray};

use super::Error;
use crate::{domain::figures::Tally, error::AppError, store};

/// The counts.
#[derive(Debug, Default)]
pub struct Counts {
    /// Logins with a password.
    pub logins: Tally<LoginResult>,
    /// Registrations on the page and by the API.
    pub registrations: Tally<RegistrationResult>,
    /// Requests that a rate limit rejected.
    pub limited: Tally<Limit>,
    /// Attempts to send a mail.
    pub mails: Tally<MailResult>,
}

/// How a login ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum LoginResult {
    /// It started a session.
    Ok,
    /// The password is wrong, or there is no such account.
    BadCredentials,
    /// The email is not confirmed.
    EmailUnverified,
    /// The account waits for an operator's approval.
    ApprovalPending,
    /// A rate limit rejected it.
    RateLimited,
    /// The hashing queue is full, or the database is unavailable.
    Unavailable,
    /// It failed inside the server.
    Error,
}

impl<T> From<&Result<T, Error>> for LoginResult {
    fn from(outcome: &Result<T, Error>) -> Self {
        match outcome {
            Ok(_) => Self::Ok,
            Err(Error::Refused(AppError::BadCredentials)) => Self::BadCredentials,
            Err(Error::Refused(AppError::EmailUnverified)) => Self::EmailUnverified,
            Err(Error::Refused(AppError::ApprovalPending)) => Self::ApprovalPending,
            Err(Error::Refused(AppError::RateLimited { .. })) => Self::RateLimited,
            Err(error) if is_unavailable(error) => Self::Unavailable,
            Err(_) => Self::Error,
        }
    }
}

/// How a registration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum RegistrationResult {
    /// It created an account.
    Ok,
    /// The email or the username has an account.
    Taken,
    /// A field is invalid.
    Invalid,
    /// Registration is closed, or the invitation is missing or invalid.
    Refused,
    /// A rate limit rejected it.
    RateLimited,
    /// The hashing queue is full, or the database is unavailable.
    Unavailable,
    /// It failed inside the server.
    Error,
}

impl From<&Error> for RegistrationResult {
    fn from(error: &Error) -> Self {
        match error {
            Error::Refused(AppError::Taken) => Self::Taken,
            Error::Refused(AppError::Invalid(_)) => Self::Invalid,
            Error::Refused(AppError::RateLimited { .. }) => Self::RateLimited,
            Error::Refused(
                AppError::RegistrationClosed | AppError::InvitationRequired | AppError::InvitationInvalid,
            ) => Self::Refused,
            error if is_unavailable(error) => Self::Unavailable,
            _ => Self::Error,
        }
    }
}

fn is_unavailable(error: &Error) -> bool {
    matches!(error, Error::Refused(AppError::Unavailable { .. }) | Error::Store(store::Error::Unavailable(_)))
}

/// A rate limit. The first ones apply to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Limit {
    /// Logins.
    Login,
    /// Registrations.
    Register,
    /// Requests for mails.
    Mail,
    /// Invalid links.
    Link,
    /// New passwords, by the processor time that judging them takes.
    Judge,
    /// New passwords while they are typed.
    Meter,
    /// Changes of the username.
    Rename,
    /// Failed logins of an account.
    Account,
    /// An account's actions that notify the owner.
    Notification,
    /// Calls of a token.
    Token,
}

impl Limit {
    /// Its name in rate-limit keys and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// How an attempt to send a mail ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum MailResult {
    /// It was sent.
    Sent,
    /// It failed and will be retried.
    Delayed,
    /// It failed and was deleted.
    GivenUp,
    /// It was obsolete or rate-limited, and was deleted.
    Skipped,
}
