//! The mailbox of a test's server.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use vestibule::service::{BoxFuture, MailMessage, MailTransport, SendError};

use super::App;

/// A mail transport that stores its mails, unless it is broken.
#[derive(Debug, Default)]
pub struct Letterbox {
    letters: Mutex<Vec<MailMessage>>,
    pub broken: AtomicBool,
    /// Whether its failures are permanent.
    pub permanent: AtomicBool,
    /// Whether it panics at the next mail.
    pub panics: AtomicBool,
}

impl Letterbox {
    pub fn len(&self) -> usize {
        self.letters.lock().unwrap().len()
    }
}

impl MailTransport for Letterbox {
    fn send<'a>(&'a self, _id: &'a str, letter: &'a MailMessage) -> BoxFuture<'a> {
        Box::pin(async move {
            assert!(!self.panics.swap(false, Ordering::SeqCst), "an internal error");
            if self.broken.load(Ordering::SeqCst) {
                let permanent = self.permanent.load(Ordering::SeqCst);
                return Err(SendError { cause: "out of order".to_owned(), permanent });
            }
            self.letters.lock().unwrap().push(letter.clone());
            Ok("a letterbox".to_owned())
        })
    }
}

impl App {
    /// Sends every mail that is due, and returns the new arrivals.
    pub async fn deliver(&self) -> Vec<MailMessage> {
        while self.postman.deliver_next().await.unwrap() {}
        std::mem::take(&mut *self.letterbox.letters.lock().unwrap())
    }

    /// As [`App::deliver`], where exactly one mail arrives.
    pub async fn deliver_one(&self) -> MailMessage {
        let mut letters = self.deliver().await;
        assert_eq!(letters.len(), 1, "{letters:?}");
        letters.remove(0)
    }
}

/// The token in a mail's link.
pub fn token_of(letter: &MailMessage) -> String {
    let text = letter.to_text();
    let (_, token) = text.split_once('#').unwrap_or_else(|| panic!("there is no link in {text}"));
    token.split_whitespace().next().unwrap().to_owned()
}
