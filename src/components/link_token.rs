//! The token of a link that was opened from a mail.

use leptos::{ev, prelude::*};

use super::dom;

/// The token. It travels behind the `#` of the address, which no server and no log ever sees, and is taken out of the address
/// bar and the history at once. Cheap to copy.
#[derive(Clone, Copy)]
pub struct LinkToken(RwSignal<Option<String>>);

impl LinkToken {
    /// Takes it from the address as soon as the page is live, and again when another link is opened in this tab.
    #[must_use]
    pub fn take() -> Self {
        let token = Self(RwSignal::new(None));
        Effect::new(move |_| {
            token.0.set(dom::take_fragment());
            let opened = window_event_listener(ev::hashchange, move |_| {
                if let Some(another) = dom::take_fragment() {
                    token.0.set(Some(another));
                }
            });
            on_cleanup(move || opened.remove());
        });
        token
    }

    /// The token; empty if the address had none, which the server refuses like any that doesn't work.
    #[must_use]
    pub fn get(self) -> String {
        self.0.get_untracked().unwrap_or_default()
    }
}
