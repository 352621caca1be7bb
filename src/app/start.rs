//! Starts the page in the browser.
//!
//! The browser draws the page itself and replaces the server's elements with it in one step. It does not reuse the
//! server's elements, because a translator, a password manager or another extension may have changed them by then.

use leptos::{
    mount::mount_to,
    prelude::document,
    wasm_bindgen::JsCast,
    web_sys::{Element, HtmlElement},
};

use super::{App, PAGE};
use crate::{
    browser::{location, typed::Typed},
    pages::secondary,
};

/// Draws the page once the code of its view is loaded. Preserves the focus and the text that was typed into the page
/// from the server.
pub async fn start() {
    if secondary::includes(location::requested_view()) {
        // If loading fails, the view says so.
        drop(secondary::load().await);
    }
    let Ok(fresh) = document().create_element("div").map(Element::unchecked_into::<HtmlElement>) else { return };
    fresh.set_id(PAGE);
    fresh.set_class_name(PAGE);
    mount_to(fresh.clone(), App).forget();
    match document().get_element_by_id(PAGE) {
        Some(rendered) => {
            let typed = Typed::read(&rendered);
            drop(rendered.replace_with_with_node_1(&fresh));
            typed.restore();
        }
        None => drop(document().body().map(|body| body.append_child(&fresh))),
    }
}
