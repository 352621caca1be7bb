//! The mailbox of a test's server.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use vestibule::service::{BoxFuture, MailMessage, MailTransport, SendError};

use super::App;

/// A mail transport that stores its mails, unless it is broken.
#[derive(Debug, Default)]
pub struct MailCapture {
    messages: Mutex<Vec<MailMessage>>,
    pub broken: AtomicBool,
    /// Whether its failures are permanent.
    pub permanent: AtomicBool,
    /// Whether it panics at the next mail.
    pub panics: AtomicBool,
}

impl MailCapture {
    pub fn len(&self) -> usize {
        self.messages.lock().unwrap().len()
    }
}

impl MailTransport for MailCapture {
    fn send<'a>(&'a self, _id: &'a str, message: &'a MailMessage) -> BoxFuture<'a> {
        Box::pin(async move {
            assert!(!self.panics.swap(false, Ordering::SeqCst), "an internal error");
            if self.broken.load(Ordering::SeqCst) {
                let permanent = self.permanent.load(Ordering::SeqCst);
                return Err(SendError { cause: "out of order".to_owned(), permanent });
            }
            self.messages.lock().unwrap().push(message.clone());
            Ok("captured".to_owned())
        })
    }
}

impl App {
    /// Sends every mail that is due, and returns the new arrivals.
    pub async fn deliver(&self) -> Vec<MailMessage> {
        while self.mail_worker.deliver_next().await.unwrap() {}
        std::mem::take(&mut *self.mail_capture.messages.lock().unwrap())
    }

    /// Calls [`App::deliver`] and returns the mail. Exactly one must arrive.
    pub async fn deliver_one(&self) -> MailMessage {
        let mut messages = self.deliver().await;
        assert_eq!(messages.len(), 1, "{messages:?}");
        messages.remove(0)
    }

    /// The link in the one mail that arrives.
    pub async fn deliver_link(&self) -> String {
        token_of(&self.deliver_one().await)
    }
}

/// The token in a mail's link.
pub fn token_of(message: &MailMessage) -> String {
    let text = message.to_text();
    let (_, token) = text.split_once('#').unwrap_or_else(|| panic!("there is no link in {text}"));
    token.split_whitespace().next().unwrap().to_owned()
}
