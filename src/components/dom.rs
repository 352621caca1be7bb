//! The few things that the page does to the document by hand. All of it runs in the browser only.

use js_sys::{Date, JSON};
use leptos::{
    prelude::{document, request_animation_frame},
    wasm_bindgen::{JsCast, JsValue},
    web_sys::{HtmlElement, HtmlInputElement},
};

/// The attribute of `<html>` that hides the views; the shell's first script sets it too.
const VEIL: &str = "data-session";

/// Hides the views behind a calm placeholder, or shows them.
pub fn set_veil(veiled: bool) {
    if let Some(root) = document().document_element() {
        if veiled {
            drop(root.set_attribute(VEIL, "checking"));
        } else {
            drop(root.remove_attribute(VEIL));
        }
    }
}

/// An attribute of `<html>`; empty if it isn't there.
#[must_use]
pub fn root_attribute(name: &str) -> String {
    document().document_element().and_then(|root| root.get_attribute(name)).unwrap_or_default()
}

/// The text in an input.
#[must_use]
pub fn value_of(id: &str) -> String {
    let input = document().get_element_by_id(id).and_then(|found| found.dyn_into::<HtmlInputElement>().ok());
    input.map(|input| input.value()).unwrap_or_default()
}

/// Moves the focus to the first element that a selector finds, once the browser has drawn what has changed.
pub fn focus(selector: &'static str) {
    request_animation_frame(move || {
        let found = document().query_selector(selector).ok().flatten();
        if let Some(element) = found.and_then(|found| found.dyn_into::<HtmlElement>().ok()) {
            drop(element.focus());
        }
    });
}

/// Whether the element with this id has the focus.
#[must_use]
pub fn has_focus(id: &str) -> bool {
    document().active_element().is_some_and(|element| element.id() == id)
}

/// A day in the reader's own time zone, from RFC 3339.
#[must_use]
pub fn local_date(time: &str) -> String {
    tell(time, r#"{"day":"numeric","month":"long","year":"numeric"}"#)
}

/// A day and a time in the reader's own time zone, from RFC 3339.
#[must_use]
pub fn local_time(time: &str) -> String {
    tell(
        time,
        r#"{"day":"numeric","month":"long","year":"numeric","hour":"2-digit","minute":"2-digit","timeZoneName":"short"}"#,
    )
}

fn tell(time: &str, options: &str) -> String {
    let options = JSON::parse(options).unwrap_or(JsValue::UNDEFINED);
    Date::new(&JsValue::from_str(time)).to_locale_string("en-GB", &options).into()
}
