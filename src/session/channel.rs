//! Messages about the session between the tabs of a browser (`BroadcastChannel`). Only pages of the same origin receive
//! them. The first script of the page uses the same messages (`app/shell/ask.js`).

use std::cell::RefCell;

use js_sys::Array;
use leptos::{
    wasm_bindgen::{JsCast, JsValue, closure::Closure},
    web_sys::{BroadcastChannel, MessageEvent},
};

use crate::browser::storage;

/// A message from one tab to the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A tab without a session asks for one.
    Ask,
    /// The response to [`Self::Ask`], with the session's token.
    Have(String),
    /// A session began with a login.
    Began {
        /// The token of the session.
        token: String,
        /// The account's identifier.
        account: String,
        /// The account's username.
        username: String,
    },
    /// The session's token was replaced.
    Renewed {
        /// The old token.
        old: String,
        /// The new token.
        new: String,
    },
    /// The user has logged out of the session with this token.
    LoggedOut(String),
    /// The session with this token has ended.
    Ended(String),
}

thread_local! {
    /// The channel, if the browser supports it. Without it, each tab requires its own login.
    static CHANNEL: RefCell<Option<BroadcastChannel>> = const { RefCell::new(None) };
}

/// Opens the channel and receives the messages of other tabs.
pub fn listen(receive: impl Fn(Message) + 'static) {
    let Ok(channel) = BroadcastChannel::new(storage::KEY) else { return };
    let listener = Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
        if let Some(message) = Message::read(&event.data()) {
            receive(message);
        }
    });
    channel.set_onmessage(Some(listener.as_ref().unchecked_ref()));
    // The channel exists as long as the page.
    listener.forget();
    CHANNEL.set(Some(channel));
}

/// Sends a message to the other tabs.
pub fn broadcast(message: &Message) {
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

    /// Ignores unknown messages, because another tab may run another version of the page.
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
    fn every_message_round_trips() {
        let texts = ["ask", "have|t", "began|t|id|ann", "renewed|old|new", "logged out|t", "ended|t"];
        for text in texts {
            let message = Message::of(words(text)).expect(text);
            assert_eq!(message.words().join("|"), text);
        }
    }

    #[test]
    fn an_invalid_message_is_ignored() {
        for text in ["", "have", "began|t|id", "renewed|old", "nonsense|t"] {
            assert_eq!(Message::of(words(text)), None, "{text}");
        }
    }
}
