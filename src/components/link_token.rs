//! The token of a link that was opened from a mail.

use leptos::{ev, prelude::*};

use super::dom;

/// The token. It travels behind the `#` of the address, which no server and no log ever sees, and is taken out of the address
/// bar and the history at once. Cheap to copy.
#[derive(Clone, Copy)]
pub struct LinkToken {
    token: RwSignal<Option<String>>,
    missing: RwSignal<bool>,
}

impl LinkToken {
    /// Takes it from the address as soon as the page is live, and again when another link is opened in this tab.
    #[must_use]
    pub fn take() -> Self {
        let link = Self { token: RwSignal::new(None), missing: RwSignal::new(false) };
        Effect::new(move |_| {
            link.token.set(dom::take_fragment());
            link.missing.set(link.token.with_untracked(Option::is_none));
            let opened = window_event_listener(ev::hashchange, move |_| {
                if let Some(another) = dom::take_fragment() {
                    link.token.set(Some(another));
                    link.missing.set(false);
                }
            });
            on_cleanup(move || opened.remove());
        });
        link
    }

    /// Whether the page is live and its address had no token: it was typed, or the page was loaded again.
    #[must_use]
    pub fn is_missing(self) -> bool {
        self.missing.get()
    }

    /// The token, once the page is live and its address had one; and again with each that is opened in its place.
    #[must_use]
    pub fn opened(self) -> Option<String> {
        self.token.get()
    }

    /// The token; empty if the address had none, which the server refuses like any that doesn't work.
    #[must_use]
    pub fn get(self) -> String {
        self.token.try_get_untracked().flatten().unwrap_or_default()
    }
}
