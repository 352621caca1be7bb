//! Which view is shown, and how it follows the address.
//!
//! A few views with fixed paths need no more than this. A router that can do everything is a fifth of what the first
//! visit may weigh. No address is ever taken from a parameter, so nothing can lead a reader elsewhere.

use leptos::{
    ev,
    prelude::*,
    wasm_bindgen::{JsCast, JsValue},
    web_sys::{Element, History, MouseEvent},
};

use crate::{browser::typed, route::View};

/// The view that the address names. Cheap to copy.
#[derive(Clone, Copy)]
pub struct Address(RwSignal<View>);

impl Address {
    /// Reads the address, of the request or of the browser, and puts itself into the context. In the browser it then
    /// follows links within the page and the back button.
    pub fn provide() -> Self {
        let address = Self(RwSignal::new(View::at(&path())));
        provide_context(address);
        Effect::new(move |_| address.follow());
        address
    }

    /// The address from the context.
    #[must_use]
    pub fn current() -> Self {
        expect_context()
    }

    /// The view, followed by whatever reads it.
    #[must_use]
    pub fn view(self) -> View {
        self.0.get()
    }

    /// The view as it is now.
    #[must_use]
    pub fn view_now(self) -> View {
        self.0.get_untracked()
    }

    /// Goes to a view after something was done: what was typed for it is needed no more.
    pub fn go(self, view: View) {
        if view != self.view_now() {
            self.turn(view, History::push_state_with_url);
        }
    }

    /// Goes to a view that somebody has chosen. What they have typed is there again when they come back.
    pub fn choose(self, view: View) {
        typed::keep();
        self.go(view);
    }

    /// The same without a step in the history.
    pub fn replace(self, view: View) {
        if view != self.view_now() {
            typed::keep();
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
            let view = View::at(&path());
            if view != self.view_now() {
                typed::keep();
                self.0.set(view);
            }
        });
        let click = window_event_listener(ev::click, move |event| {
            if let Some(view) = view_of_link(&event) {
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

/// The path of the request that is being answered, or of the browser's address bar.
fn path() -> String {
    #[cfg(feature = "ssr")]
    return use_context::<axum::http::request::Parts>().map(|parts| parts.uri.path().to_owned()).unwrap_or_default();
    #[cfg(not(feature = "ssr"))]
    location().pathname().unwrap_or_default()
}

/// The view to which a plain click on one of the page's links leads. Other clicks are the browser's.
fn view_of_link(event: &MouseEvent) -> Option<View> {
    let modified = event.meta_key() || event.ctrl_key() || event.shift_key() || event.alt_key();
    if modified || event.button() != 0 || event.default_prevented() {
        return None;
    }
    let link = event.target()?.dyn_into::<Element>().ok()?.closest("a").ok()??;
    let href = link.get_attribute("href")?;
    View::ALL.into_iter().find(|view| view.path() == href)
}
