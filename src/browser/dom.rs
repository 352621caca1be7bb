//! The few things that the page does to the document by hand. All of it runs in the browser only.

use js_sys::{Date, JSON, Reflect, futures::JsFuture};
use leptos::{
    prelude::{document, request_animation_frame, window},
    wasm_bindgen::{JsCast, JsValue},
    web_sys::{Element, HtmlDocument, HtmlElement, HtmlInputElement, HtmlSelectElement},
};

/// The attribute of `<html>` that hides the views; the shell's first script sets it too.
const HIDDEN_UNTIL_CHECKED: &str = "data-session";

/// Whether this is the HTML that the server renders. A control that needs the page's code is disabled there.
pub const IS_RENDERED: bool = cfg!(feature = "ssr");

/// The first text of an element whose `textContent` is set whenever it changes. That replaces all that is in the element, so a
/// translator's or an extension's changes to it can't keep an old text there. The server writes the first text itself.
#[must_use]
pub fn rendered(text: &'static str) -> Option<&'static str> {
    IS_RENDERED.then_some(text)
}

/// Hides the views behind a calm placeholder, or shows them.
pub fn set_hidden_until_checked(veiled: bool) {
    if let Some(root) = document().document_element() {
        if veiled {
            drop(root.set_attribute(HIDDEN_UNTIL_CHECKED, "checking"));
        } else {
            drop(root.remove_attribute(HIDDEN_UNTIL_CHECKED));
        }
    }
}

/// An attribute of `<html>`; empty if it isn't there.
#[must_use]
pub fn root_attribute(name: &str) -> String {
    document().document_element().and_then(|root| root.get_attribute(name)).unwrap_or_default()
}

/// The token of a link behind the `#` of the address, if there is one. It is taken out of the address bar, and kept in the state
/// of the history's entry, which a reload keeps and no server sees.
#[must_use]
pub fn take_fragment() -> Option<String> {
    let location = window().location();
    // Other fragments name a place in the page.
    let fragment = location.hash().ok()?.strip_prefix('#').filter(|text| is_link(text))?.to_owned();
    let bare = location.pathname().ok()?;
    drop(window().history().ok()?.replace_state_with_url(&JsValue::from_str(&fragment), "", Some(&bare)));
    Some(fragment)
}

/// The token that the history's entry keeps.
#[must_use]
pub fn kept_link() -> Option<String> {
    window().history().ok()?.state().ok()?.as_string().filter(|text| is_link(text))
}

/// Takes the token out of the history's entry.
pub fn forget_link() {
    if kept_link().is_some() {
        drop(window().history().map(|history| history.replace_state(&JsValue::NULL, "")));
    }
}

fn is_link(text: &str) -> bool {
    text.starts_with("vsl_")
}

/// The text in an input, or what is chosen in a select.
#[must_use]
pub fn value_of(id: &str) -> String {
    let select = || document().get_element_by_id(id)?.dyn_into::<HtmlSelectElement>().ok();
    let text = input(id).map(|input| input.value()).or_else(|| select().map(|select| select.value()));
    text.unwrap_or_default()
}

/// The nonce of this page's own style, for one that comes later. Browsers hide it in the attribute, and tell it as a property.
pub fn nonce() -> Option<String> {
    let own = document().query_selector("[nonce]").ok()??;
    Reflect::get(&own, &"nonce".into()).ok()?.as_string()
}

/// Whether a checkbox is ticked.
pub fn is_checked(id: &str) -> bool {
    input(id).is_some_and(|input| input.checked())
}

/// Empties an input.
pub fn empty(id: &str) {
    if let Some(input) = input(id) {
        input.set_value("");
    }
}

/// Saves a text as a file, where the browser keeps such files.
pub fn download(name: &str, kind: &str, text: &str) {
    let link = document().create_element("a").ok().and_then(|link| link.dyn_into::<HtmlElement>().ok());
    let Some(link) = link else { return };
    let url = ["data:", kind, ";charset=utf-8,", &String::from(js_sys::encode_uri_component(text))].concat();
    drop(link.set_attribute("href", &url));
    drop(link.set_attribute("download", name));
    link.click();
}

/// Copies the text of an element. Where the browser lets no page write to its clipboard, as on plain HTTP, the text is
/// selected, so that its reader can copy it.
pub async fn copy(id: &str, text: &str) -> bool {
    let clipboard = window().navigator().clipboard();
    if !clipboard.is_undefined() && JsFuture::from(clipboard.write_text(text)).await.is_ok() {
        return true;
    }
    if let (Ok(Some(selection)), Some(element)) = (window().get_selection(), document().get_element_by_id(id)) {
        drop(selection.select_all_children(&element));
    }
    document().dyn_into::<HtmlDocument>().is_ok_and(|page| page.exec_command("copy").unwrap_or(false))
}

fn input(id: &str) -> Option<HtmlInputElement> {
    document().get_element_by_id(id)?.dyn_into().ok()
}

/// Moves the focus to the heading of the view, once the browser has drawn what has changed.
pub fn focus_heading() {
    focus(|| document().query_selector("main h1").ok().flatten());
}

/// Moves the focus to the element with this id, once the browser has drawn what has changed.
pub fn focus_id(id: String) {
    focus(move || document().get_element_by_id(&id));
}

fn focus(find: impl Fn() -> Option<Element> + 'static) {
    request_animation_frame(move || {
        if let Some(element) = find().and_then(|found| found.dyn_into::<HtmlElement>().ok()) {
            drop(element.focus());
        }
    });
}

/// Selects the text in the input with this id and moves the focus there, so that typing replaces the text.
pub fn select_id(id: String) {
    request_animation_frame(move || {
        if let Some(input) = input(&id) {
            drop(input.focus());
            input.select();
        }
    });
}

/// The time, in milliseconds.
#[must_use]
pub fn now() -> f64 {
    Date::now()
}

/// Whether the element with this id has the focus.
#[must_use]
pub fn has_focus(id: &str) -> bool {
    document().active_element().is_some_and(|element| element.id() == id)
}

/// Whether something in the view has the focus.
#[must_use]
pub fn view_has_focus() -> bool {
    document().active_element().and_then(|element| element.closest(".view").ok().flatten()).is_some()
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

/// As [`local_time`], as short as it can be.
#[must_use]
pub fn short_time(time: &str) -> String {
    tell(time, r#"{"day":"numeric","month":"short","year":"numeric","hour":"2-digit","minute":"2-digit"}"#)
}

fn tell(time: &str, options: &str) -> String {
    let options = JSON::parse(options).unwrap_or(JsValue::UNDEFINED);
    Date::new(&JsValue::from_str(time)).to_locale_string("en-GB", &options).into()
}
