//! What the tabs of one browser tell each other about their session (`BroadcastChannel`). Only pages of the same origin hear it.
//! The first script of the page asks in the same words (`app/shell/ask.js`).

use std::cell::RefCell;

use js_sys::Array;
use leptos::{
    wasm_bindgen::{JsCast, JsValue, closure::Closure},
    web_sys::{BroadcastChannel, MessageEvent},
};

use crate::browser::storage;

/// What a tab tells the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// It has no session. Has another tab one?
    Ask,
    /// The answer: the token.
    Have(String),
    /// Somebody has logged in.
    Began {
        /// The session's token.
        token: String,
        /// The account's identifier.
        account: String,
        /// The account's username.
        username: String,
    },
    /// The session goes on under another token.
    Renewed {
        /// The token until now.
        old: String,
        /// The token from now on.
        new: String,
    },
    /// Its owner has logged out of the session of this token.
    LoggedOut(String),
    /// The session of this token has ended.
    Ended(String),
}

thread_local! {
    /// The channel, in browsers that have it. Without it each tab logs in by itself.
    static CHANNEL: RefCell<Option<BroadcastChannel>> = const { RefCell::new(None) };
}

/// Opens the channel, and hears what other tabs tell.
pub fn listen(hear: impl Fn(Message) + 'static) {
    let Ok(channel) = BroadcastChannel::new(storage::KEY) else { return };
    let heard = Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
        if let Some(message) = Message::read(&event.data()) {
            hear(message);
        }
    });
    channel.set_onmessage(Some(heard.as_ref().unchecked_ref()));
    // The page has one channel, as long as it lives.
    heard.forget();
    CHANNEL.set(Some(channel));
}

/// Tells the other tabs.
pub fn tell(message: &Message) {
    CHANNEL.with_borrow(|channel| {
        if let Some(channel) = channel {
            drop(channel.post_message(&message.write()));
        }
    });
}

impl Message {
    fn words(&self) -> Vec<&str> {
        match self {
            Self::Ask => vec!["ask"],
            Self::Have(token) => vec!["have", token],
            Self::Began { token, account, username } => vec!["began", token, account, username],
            Self::Renewed { old, new } => vec!["renewed", old, new],
            Self::LoggedOut(token) => vec!["logged out", token],
            Self::Ended(token) => vec!["ended", token],
        }
    }

    fn of(words: Vec<String>) -> Option<Self> {
        let mut words = words.into_iter();
        let kind = words.next()?;
        let mut word = || words.next();
        Some(match kind.as_str() {
            "ask" => Self::Ask,
            "have" => Self::Have(word()?),
            "began" => Self::Began { token: word()?, account: word()?, username: word()? },
            "renewed" => Self::Renewed { old: word()?, new: word()? },
            "logged out" => Self::LoggedOut(word()?),
            "ended" => Self::Ended(word()?),
            _ => return None,
        })
    }

    fn write(&self) -> JsValue {
        self.words().into_iter().map(JsValue::from_str).collect::<Array>().into()
    }

    /// A tab with another version of the page may tell what this one doesn't understand.
    fn read(data: &JsValue) -> Option<Self> {
        Self::of(data.dyn_ref::<Array>()?.iter().filter_map(|word| word.as_string()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::Message;

    fn words(text: &str) -> Vec<String> {
        text.split('|').map(str::to_owned).collect()
    }

    #[test]
    fn every_message_is_read_as_it_was_written() {
        let texts = ["ask", "have|t", "began|t|id|ann", "renewed|old|new", "logged out|t", "ended|t"];
        for text in texts {
            let message = Message::of(words(text)).expect(text);
            assert_eq!(message.words().join("|"), text);
        }
    }

    #[test]
    fn what_is_no_message_is_dropped() {
        for text in ["", "have", "began|t|id", "renewed|old", "nonsense|t"] {
            assert_eq!(Message::of(words(text)), None, "{text}");
        }
    }
}
