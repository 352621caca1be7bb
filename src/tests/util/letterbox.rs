//! Where the mail of a test arrives.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use vestibule::service::{BoxFuture, MailMessage, MailTransport, SendError};

use super::App;

/// A carrier that keeps what it is given, unless it is out of order.
#[derive(Debug, Default)]
pub struct Letterbox {
    letters: Mutex<Vec<MailMessage>>,
    pub broken: AtomicBool,
    /// Whether it says that no mail will ever be taken.
    pub permanent: AtomicBool,
    /// Whether it panics over the next mail.
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
            assert!(!self.panics.swap(false, Ordering::SeqCst), "a fault of ours");
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
    /// Sends every mail that is due, and returns what has arrived since the last time.
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

/// The token in a letter's link.
pub fn token_of(letter: &MailMessage) -> String {
    let text = letter.to_text();
    let (_, token) = text.split_once('#').unwrap_or_else(|| panic!("there is no link in {text}"));
    token.split_whitespace().next().unwrap().to_owned()
}
