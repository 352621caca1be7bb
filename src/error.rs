//! Errors that the server and the page share.
//!
//! [`AppError`] is a closed enum without free text, so text from an attacker can never be shown as a message of this
//! service. Each variant has a machine-readable code, an HTTP status and a message that says what to do.

use std::fmt;

use serde::{Deserialize, Serialize};
use server_fn::{
    Bytes,
    error::{FromServerFnError, ServerFnErrorErr},
};

use crate::json::JsonEncoding;

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppError {
    /// At least one field is invalid. Nothing was stored.
    Invalid(Vec<FieldProblem>),
    /// The email or the username is taken. The response does not reveal which.
    Taken,
    /// The identifier and the password do not match. The reason is not revealed.
    BadCredentials,
    /// The request has no valid session: its token is missing, invalid or expired.
    SessionEnded,
    /// The session is valid, but this operation requires that the password is entered again.
    ReauthRequired,
    /// The password is not the password of the account that is logged in.
    WrongPassword,
    /// The password is correct, but the account's email is not confirmed yet.
    EmailUnverified,
    /// The password is correct, but an operator must approve the account first.
    ApprovalPending,
    /// The account doesn't wait for approval.
    NotPending,
    /// The operator has closed registration.
    RegistrationClosed,
    /// Only people with an invitation can register.
    InvitationRequired,
    /// The invitation was used up or revoked, has expired or never existed.
    InvitationInvalid,
    /// The link was already used, has expired or never existed.
    LinkInvalid,
    /// The link that makes the first admin was already used, has expired or never existed, or there is an admin.
    SetupLinkInvalid,
    /// The server sends no mail.
    MailOff,
    /// A read-only personal access token was used to change something.
    ReadOnly,
    /// A personal access token was used for an operation that requires a session.
    SessionRequired,
    /// The account has no role, or its role doesn't allow the operation.
    Forbidden,
    /// The account to change has a role, and only an admin may change it.
    Outranked,
    /// An operator may not change the own account as an operator.
    OwnAccount,
    /// The group has members, and was not deleted.
    GroupNotEmpty,
    /// The change would leave the server without an enabled admin.
    LastAdmin,
    /// Too many attempts.
    RateLimited {
        /// Seconds to wait before the next attempt.
        retry_after: u32,
    },
    /// The server can't handle the request now: its queue is full or its database is unavailable.
    Unavailable {
        /// Seconds to wait before the next attempt.
        retry_after: u32,
    },
    /// The request's body does not fit this endpoint.
    BadRequest,
    /// A page of another site sent the request.
    CrossSite,
    /// Nothing exists at this path.
    NotFound,
    /// The path exists, but not for this method.
    MethodNotAllowed,
    /// The body took too long to arrive.
    RequestTimeout,
    /// The body exceeds this server's limit.
    TooLarge,
    /// The body is not JSON, or its `Content-Type` doesn't say so.
    UnsupportedMediaType,
    /// The request has no host, several hosts or an invalid one.
    BadHost,
    /// The request names a host that this server does not serve.
    UnknownHost,
    /// An error inside the server. Its cause is logged and never in the response.
    Internal,
    /// The browser got no usable response. Only the page creates this error.
    Unreachable,
}

impl AppError {
    /// The HTTP status that carries this error.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Invalid(_) | Self::BadCredentials | Self::BadRequest | Self::BadHost => 400,
            Self::SessionEnded => 401,
            Self::CrossSite
            | Self::ReauthRequired
            | Self::WrongPassword
            | Self::EmailUnverified
            | Self::ApprovalPending
            | Self::RegistrationClosed
            | Self::InvitationRequired
            | Self::ReadOnly
            | Self::SessionRequired
            | Self::Forbidden
            | Self::Outranked => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::Taken | Self::LastAdmin | Self::OwnAccount | Self::NotPending | Self::GroupNotEmpty => 409,
            Self::LinkInvalid | Self::SetupLinkInvalid | Self::InvitationInvalid => 410,
            Self::TooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::UnknownHost => 421,
            Self::RateLimited { .. } => 429,
            Self::Internal => 500,
            Self::MailOff => 501,
            Self::Unavailable { .. } | Self::Unreachable => 503,
        }
    }

    /// The machine-readable code, such as `session_ended`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid",
            Self::Taken => "taken",
            Self::BadCredentials => "bad_credentials",
            Self::SessionEnded => "session_ended",
            Self::ReauthRequired => "reauth_required",
            Self::WrongPassword => "wrong_password",
            Self::EmailUnverified => "email_unverified",
            Self::ApprovalPending => "approval_pending",
            Self::NotPending => "not_pending",
            Self::RegistrationClosed => "registration_closed",
            Self::InvitationRequired => "invitation_required",
            Self::InvitationInvalid => "invitation_invalid",
            Self::LinkInvalid => "link_invalid",
            Self::SetupLinkInvalid => "setup_link_invalid",
            Self::MailOff => "mail_off",
            Self::ReadOnly => "read_only",
            Self::SessionRequired => "session_required",
            Self::Forbidden => "forbidden",
            Self::Outranked => "outranked",
            Self::OwnAccount => "own_account",
            Self::GroupNotEmpty => "group_not_empty",
            Self::LastAdmin => "last_admin",
            Self::RateLimited { .. } => "rate_limited",
            Self::Unavailable { .. } => "unavailable",
            Self::BadRequest => "bad_request",
            Self::CrossSite => "cross_site",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::RequestTimeout => "request_timeout",
            Self::TooLarge => "too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::BadHost => "bad_host",
            Self::UnknownHost => "unknown_host",
            Self::Internal => "internal",
            Self::Unreachable => "unreachable",
        }
    }

    /// Seconds for the `Retry-After` header (RFC 9110, section 10.2.3), where waiting helps.
    #[must_use]
    pub const fn retry_after(&self) -> Option<u32> {
        match self {
            Self::RateLimited { retry_after } | Self::Unavailable { retry_after } => Some(*retry_after),
            _ => None,
        }
    }

    /// The same error with another waiting time in seconds.
    #[must_use]
    pub fn with_wait(self, seconds: u32) -> Self {
        match self {
            Self::RateLimited { .. } => Self::RateLimited { retry_after: seconds },
            Self::Unavailable { .. } => Self::Unavailable { retry_after: seconds },
            error => error,
        }
    }

    /// One field is invalid.
    #[must_use]
    pub fn invalid(field: Field, problem: Problem) -> Self {
        Self::Invalid(vec![FieldProblem { field, problem }])
    }

    /// Combines the problems of several fields.
    #[must_use]
    pub fn invalid_fields<const N: usize>(fields: [(Field, Option<Problem>); N]) -> Self {
        let problems =
            fields.into_iter().filter_map(|(field, problem)| Some(FieldProblem { field, problem: problem? }));
        Self::Invalid(problems.collect())
    }

    /// The problems of one field, in the order in which they were found.
    pub fn problems_of(&self, field: Field) -> impl Iterator<Item = &Problem> {
        let problems = match self {
            Self::Invalid(problems) => problems.as_slice(),
            _ => &[],
        };
        problems.iter().filter(move |p| p.field == field).map(|p| &p.problem)
    }
}

impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Invalid(_) => "Please correct the marked fields.",
            Self::Taken => {
                "An account with this email or username already exists. Log in, or choose another email and username."
            }
            Self::BadCredentials => "Wrong email or password.",
            Self::SessionEnded => {
                "You are not logged in, or your session or access token is no longer valid. Log in again, or create a new token."
            }
            Self::ReauthRequired => "Confirm your password first, then try again.",
            Self::WrongPassword => "That is not your password. Check it and try again.",
            Self::EmailUnverified => "Confirm your email first: open the link in the email that we sent you.",
            Self::ApprovalPending => "An operator must approve your account before you can log in. Try again later.",
            Self::NotPending => "This account doesn't wait for approval. Load its details again.",
            Self::RegistrationClosed => "Registration is closed. Ask the operator of this service for an account.",
            Self::InvitationRequired => "You need an invitation to register. Ask the operator of this service for one.",
            Self::InvitationInvalid => {
                "This invitation has expired or was already used. Ask the person who invited you for a new one."
            }
            Self::LinkInvalid => {
                "This link has expired or was already used. Open the newest email, or request a new link."
            }
            Self::SetupLinkInvalid => {
                "This link has expired or was replaced, or the server has an admin. Run `vestibule operator link` on the server."
            }
            Self::MailOff => "This server sends no email. Ask its operator for help.",
            Self::ReadOnly => "This token is read-only. Use a token that can read and change, or log in.",
            Self::SessionRequired => "A personal access token can't do this. Log in and use the session's token.",
            Self::Forbidden => "Your role doesn't allow this.",
            Self::Outranked => "Only an admin can change an operator's account.",
            Self::OwnAccount => "This is your own account. Change it in your account view.",
            Self::GroupNotEmpty => "This group has members. To delete it, confirm that they leave it.",
            Self::LastAdmin => "There must be at least one admin. Make another account an admin first.",
            Self::RateLimited { retry_after } => {
                return write!(f, "Too many attempts. Try again in {}.", Wait(*retry_after));
            }
            Self::Unavailable { retry_after } => {
                return write!(f, "The server is busy right now. Try again in {}.", Wait(*retry_after));
            }
            Self::BadRequest => "Send a JSON object with the fields, or the parameters, that this endpoint expects.",
            Self::CrossSite => {
                "Requests from pages of another site are not allowed. Call this endpoint from your server."
            }
            Self::NotFound => "There's nothing here. Check the address.",
            Self::MethodNotAllowed => "This endpoint doesn't support that method. See the Allow header.",
            Self::RequestTimeout => "The request took too long to arrive. Send it again.",
            Self::TooLarge => "The request is too large. Send at most 16 KiB.",
            Self::UnsupportedMediaType => "Send the body as JSON, with Content-Type: application/json.",
            Self::BadHost => "Send exactly one Host header that names this server.",
            Self::UnknownHost => "This server doesn't serve that host name. Add it to server.hosts.",
            Self::Internal => "Something went wrong. Try again; if it keeps happening, contact support.",
            Self::Unreachable => "The server can't be reached. Check your connection and try again.",
        };
        f.write_str(text)
    }
}

impl std::error::Error for AppError {}

impl FromServerFnError for AppError {
    type Encoder = JsonEncoding;

    /// Converts an error of the framework. On the server, the cause is usually a body of the wrong shape. In the
    /// browser, it is a response that is missing or not from this server. The framework's text is dropped, because it
    /// may quote the sender.
    fn from_server_fn_error(error: ServerFnErrorErr) -> Self {
        match error {
            _ if cfg!(feature = "browser") => Self::Unreachable,
            ServerFnErrorErr::Args(_) | ServerFnErrorErr::MissingArg(_) | ServerFnErrorErr::Deserialization(_) => {
                Self::BadRequest
            }
            _ => Self::Internal,
        }
    }

    fn ser(&self) -> Bytes {
        <JsonEncoding as server_fn::Encodes<Self>>::encode(self).unwrap_or_default()
    }
}

/// A lazily loaded part of the page that could not be loaded.
#[cfg(feature = "split")]
impl From<leptos::wasm_split::SplitLoaderError> for AppError {
    fn from(_: leptos::wasm_split::SplitLoaderError) -> Self {
        Self::Unreachable
    }
}

/// Formats a waiting time, given in seconds.
struct Wait(u32);

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 | 1 => f.write_str("a second"),
            seconds @ 2..=90 => write!(f, "{seconds} seconds"),
            seconds => write!(f, "{} minutes", seconds.div_ceil(60)),
        }
    }
}

/// Formats alternatives as "a, b or c".
pub struct Choice<'a>(pub &'a [String]);

impl fmt::Display for Choice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, word) in self.0.iter().enumerate() {
            let before = match at {
                0 => "",
                _ if at + 1 == self.0.len() => " or ",
                _ => ", ",
            };
            write!(f, "{before}{word}")?;
        }
        Ok(())
    }
}

/// A field and its validation error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct FieldProblem {
    pub field: Field,
    pub problem: Problem,
}

/// A form field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Field {
    Email,
    /// The public name.
    Username,
    Password,
    /// The current password in a form that also asks for a new one.
    CurrentPassword,
    NewPassword,
    NewEmail,
    /// The name of a personal access token or a group.
    Name,
    /// The permissions of a personal access token.
    TokenScope,
    /// The lifetime of a personal access token, in days.
    Days,
}

impl Field {
    /// Every field, in the order of the variants.
    pub const ALL: [Self; 9] = [
        Self::Email,
        Self::Username,
        Self::Password,
        Self::CurrentPassword,
        Self::NewPassword,
        Self::NewEmail,
        Self::Name,
        Self::TokenScope,
        Self::Days,
    ];

    /// The field's name in JSON and in the page's forms.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Username => "username",
            Self::Password => "password",
            Self::CurrentPassword => "current_password",
            Self::NewPassword => "new_password",
            Self::NewEmail => "new_email",
            Self::Name => "name",
            Self::TokenScope => "scope",
            Self::Days => "days",
        }
    }

    /// Whether the field holds a password, in which whitespace is significant.
    #[must_use]
    pub const fn is_password(self) -> bool {
        matches!(self, Self::Password | Self::CurrentPassword | Self::NewPassword)
    }
}

/// Why a field is invalid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// Missing, empty or not a string.
    Missing,
    /// Not of the form `name@domain`.
    EmailShape,
    /// Longer than 254 bytes (RFC 5321, section 4.5.3.1.3).
    EmailTooLong,
    /// Contains a character that this service does not allow in email addresses.
    EmailCharacter,
    /// The part behind the `@` is not a domain name.
    EmailDomain,
    /// The domain is not in the list of allowed domains.
    EmailDomainNotAllowed {
        /// Some of the allowed domains.
        allowed: Vec<String>,
    },
    /// The domain is denied.
    EmailDomainDenied,
    /// The invitation is for another email.
    EmailNotInvited,
    /// The new email is the current one.
    EmailSame,
    /// Not 3 to 32 characters.
    UsernameLength,
    /// Contains a character other than letters, digits, dot, underscore and hyphen.
    UsernameCharacter,
    /// Doesn't start with a letter or a digit.
    UsernameStart,
    /// The name is reserved for the service.
    UsernameReserved,
    /// Another account has this username.
    UsernameTaken,
    /// Not the account's username, which must be typed as a confirmation.
    UsernameMismatch,
    /// A name with more than 64 characters.
    NameTooLong,
    /// Contains an invisible character.
    TokenNameCharacter,
    /// Contains a character that the name of a group must not have, or several spaces in a row.
    GroupNameCharacter,
    /// Another group has this name.
    GroupNameTaken,
    /// The account has reached the maximum number of personal access tokens.
    TooManyTokens,
    /// Neither `read` nor `full`.
    UnknownScope,
    /// Not a whole number from 1 to 366.
    TokenDays,
    /// Fewer code points than the configured minimum.
    PasswordTooShort {
        /// The minimum number of code points.
        min_length: u32,
    },
    /// More than 256 code points or 1,024 bytes.
    PasswordTooLong,
    /// Not the account's password, while the new password in the same form is invalid, too. Without another problem the
    /// error is [`AppError::WrongPassword`], which the page converts into this.
    PasswordWrong,
    /// The new password is the current one.
    PasswordSame,
    /// Too easy to guess, with advice from the strength estimator.
    PasswordGuessable(Vec<Advice>),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Missing => "Please fill in this field.",
            Self::EmailShape => "Enter a full email address, such as name@example.org.",
            Self::EmailTooLong => "This email address is too long. Use one of at most 254 characters.",
            Self::EmailCharacter => {
                "This email address has a character that can't be used here. Check it for typing errors."
            }
            Self::EmailDomain => "The part behind the @ is not a domain name. Check it for typing errors.",
            Self::EmailDomainNotAllowed { allowed } => {
                return write!(f, "Use an email address of {}.", Choice(allowed));
            }
            Self::EmailDomainDenied => "This email provider can't be used here. Use another email address.",
            Self::EmailNotInvited => "Use the email address that was invited.",
            Self::EmailSame => "This is already your email. Enter a different one.",
            Self::UsernameLength => "Use 3 to 32 characters.",
            Self::UsernameCharacter => "Use only the letters a to z, digits, dots, underscores and hyphens.",
            Self::UsernameStart => "Start with a letter or a digit.",
            Self::UsernameReserved => "This name is reserved. Choose another.",
            Self::UsernameTaken => "This name is taken. Choose another.",
            Self::UsernameMismatch => "This is not the username. Type it exactly as shown.",
            Self::NameTooLong => "Use at most 64 characters.",
            Self::GroupNameCharacter => "Use letters, digits, single spaces and . _ - : / @ +",
            Self::GroupNameTaken => "There is already a group with this name. Choose another.",
            Self::TokenNameCharacter => "Use only visible characters and spaces.",
            Self::TooManyTokens => "You have reached the limit of 50 tokens. Revoke one first.",
            Self::UnknownScope => "Choose read or full.",
            Self::TokenDays => "Choose 1 to 366 days.",
            Self::PasswordTooShort { min_length } => return write!(f, "Use at least {min_length} characters."),
            Self::PasswordTooLong => "Use at most 256 characters.",
            Self::PasswordSame => "This is already your password. Choose a different one.",
            Self::PasswordWrong => "That is not your password. Check it and try again.",
            Self::PasswordGuessable(advice) => {
                f.write_str("This password is too easy to guess.")?;
                return advice.iter().try_for_each(|a| write!(f, " {a}"));
            }
        };
        f.write_str(text)
    }
}

/// Why a password is easy to guess, or how to choose a better one. These are the messages of zxcvbn, reworded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Advice {
    /// A straight row of keys.
    KeyRow,
    /// A short pattern on the keyboard.
    KeyPattern,
    /// Repeated characters or words.
    Repeats,
    /// It is in a list of the most commonly used passwords.
    Common,
    /// It is similar to a common password.
    NearCommon,
    /// A sequence such as `abc` or `6543`.
    Sequence,
    /// A recent year.
    Year,
    /// A single word.
    SingleWord,
    /// A date.
    Date,
    /// A name.
    Name,
    /// It contains the email, the username or the service's name.
    Personal,
    /// Use several words.
    UseWords,
    /// Add words.
    AddWords,
    /// Symbols are not needed.
    NoSymbolsNeeded,
    /// Capitals help little.
    Capitals,
    /// Reversing helps little.
    Reversed,
    /// Replacing letters by look-alikes helps little.
    Substitutions,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeyRow => "It follows a row of keys.",
            Self::KeyPattern => "It follows a short pattern on the keyboard.",
            Self::Repeats => "It repeats the same characters or words.",
            Self::Common => "It is one of the most commonly used passwords.",
            Self::NearCommon => "It is close to a common password.",
            Self::Sequence => "It contains a sequence such as abc or 6543.",
            Self::Year => "It contains a recent year.",
            Self::SingleWord => "A single word is easy to guess.",
            Self::Date => "Dates are easy to guess.",
            Self::Name => "Names are easy to guess.",
            Self::Personal => "It contains your email, your username or this service's name.",
            Self::UseWords => "Use three or four random words.",
            Self::AddWords => "Add another word or two, the less common the better.",
            Self::NoSymbolsNeeded => "Symbols, digits and capitals are not needed.",
            Self::Capitals => "Capitals help very little.",
            Self::Reversed => "Words written backwards help very little.",
            Self::Substitutions => "Swapping letters for look-alikes, such as @ for a, helps very little.",
        })
    }
}
