//! What delivers a mail: SMTP or a folder, in the module `mail`, or a test.

use std::{fmt::Debug, future::Future, pin::Pin};

use super::templates::MailMessage;

/// A delivery in progress. It returns where the mail went.
pub type BoxFuture<'a> = Pin<Box<dyn Future<Output = Result<String, SendError>> + Send + 'a>>;

/// Why a delivery failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendError {
    /// A single line for the log.
    pub cause: String,
    /// Whether a retry is expected to fail too (RFC 5321, section 4.2.1).
    pub permanent: bool,
}

/// Delivers mail to its recipients.
pub trait MailTransport: Debug + Send + Sync {
    /// Delivers one mail. `id` differs for every attempt, because every attempt creates a new link.
    fn send<'a>(&'a self, id: &'a str, message: &'a MailMessage) -> BoxFuture<'a>;
}
