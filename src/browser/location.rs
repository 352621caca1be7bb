//! The current view and the path in the address bar.
//!
//! A few views with fixed paths need only this module. A full router would take a fifth of the size limit for the first
//! visit. No path is ever read from a parameter, so open redirects are not possible.

use leptos::{
    ev,
    prelude::*,
    wasm_bindgen::{JsCast, JsValue},
    web_sys::{Element, History, MouseEvent},
};

use crate::{browser::typed, route::View};

/// The view at the current path. Cheap to copy.
#[derive(Clone, Copy)]
pub struct Address(RwSignal<View>);

impl Address {
    /// Reads the path of the request or of the browser, and provides itself as context. In the browser it then handles
    /// links within the page and the back button.
    pub fn provide() -> Self {
        let address = Self(RwSignal::new(requested_view()));
        provide_context(address);
        Effect::new(move |_| address.follow());
        address
    }

    /// The address from the context.
    #[must_use]
    pub fn current() -> Self {
        expect_context()
    }

    /// The current view, with reactive tracking.
    #[must_use]
    pub fn view(self) -> View {
        self.0.get()
    }

    /// The current view, without reactive tracking.
    #[must_use]
    pub fn view_now(self) -> View {
        self.0.get_untracked()
    }

    /// Goes to a view after a completed operation. Text that was typed in the old view is not stored.
    pub fn navigate(self, view: View) {
        if view != self.view_now() {
            self.turn(view, History::push_state_with_url);
        }
    }

    /// Goes to a view that the user has chosen. Text that was typed in the old view is stored and restored on return.
    pub fn choose(self, view: View) {
        typed::store();
        self.navigate(view);
    }

    /// Like [`Self::choose`], but without a new history entry.
    pub fn replace(self, view: View) {
        if view != self.view_now() {
            typed::store();
            self.turn(view, History::replace_state_with_url);
        }
    }

    fn turn(self, view: View, write: fn(&History, &JsValue, &str, Option<&str>) -> Result<(), JsValue>) {
        let written = window().history().and_then(|history| write(&history, &JsValue::NULL, "", Some(view.path())));
        if written.is_ok() {
            window().scroll_to_with_x_and_y(0.0, 0.0);
            self.0.set(view);
        }
    }

    fn follow(self) {
        let back = window_event_listener(ev::popstate, move |_| {
            let view = requested_view();
            if view != self.view_now() {
                typed::store();
                self.0.set(view);
            }
        });
        let click = window_event_listener(ev::click, move |event| {
            if let Some(view) = view_of_link(&event).filter(|_| !event.default_prevented()) {
                event.prevent_default();
                self.choose(view);
            }
        });
        on_cleanup(move || {
            back.remove();
            click.remove();
        });
    }
}

/// The view of the current request, or of the browser's address bar.
#[must_use]
pub fn requested_view() -> View {
    View::at(&path())
}

/// The path of the current request or of the browser's address bar.
fn path() -> String {
    #[cfg(feature = "ssr")]
    return use_context::<axum::http::request::Parts>().map(|parts| parts.uri.path().to_owned()).unwrap_or_default();
    #[cfg(not(feature = "ssr"))]
    location().pathname().unwrap_or_default()
}

/// The view that a plain click on a link of the page opens.
fn view_of_link(event: &MouseEvent) -> Option<View> {
    let href = clicked_link(event)?;
    View::all().find(|view| view.path() == href)
}

/// The target of the link on which this is a plain click. The browser handles other clicks.
#[must_use]
pub fn clicked_link(event: &MouseEvent) -> Option<String> {
    let modified = event.meta_key() || event.ctrl_key() || event.shift_key() || event.alt_key();
    if modified || event.button() != 0 {
        return None;
    }
    let link = event.target()?.dyn_into::<Element>().ok()?.closest("a").ok()??;
    link.get_attribute("href")
}
