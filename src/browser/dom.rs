//! Direct access to the document. These functions run only in the browser.

use js_sys::{Date, JSON, Reflect, futures::JsFuture};
use leptos::{
    prelude::{document, request_animation_frame, window},
    wasm_bindgen::{JsCast, JsValue},
    web_sys::{Element, HtmlDocument, HtmlElement, HtmlInputElement, HtmlSelectElement},
};

/// The attribute of `<html>` that hides the views. The shell's first script sets it, too.
const HIDDEN_UNTIL_CHECKED: &str = "data-session";

/// Whether the server renders this HTML. Controls that need the page's code are disabled there.
pub const IS_RENDERED: bool = cfg!(feature = "ssr");

/// The initial text of an element that is updated through `textContent`, which only the server renders. Setting
/// `textContent` replaces the whole content, so the changes of a translator or an extension can't preserve an old text.
#[must_use]
pub fn rendered(text: &'static str) -> Option<&'static str> {
    IS_RENDERED.then_some(text)
}

/// Hides the views behind a placeholder, or shows them.
pub fn set_hidden_until_checked(hidden: bool) {
    if let Some(root) = document().document_element() {
        if hidden {
            drop(root.set_attribute(HIDDEN_UNTIL_CHECKED, "checking"));
        } else {
            drop(root.remove_attribute(HIDDEN_UNTIL_CHECKED));
        }
    }
}

/// An attribute of `<html>`. Empty if it is missing.
#[must_use]
pub fn root_attribute(name: &str) -> String {
    document().document_element().and_then(|root| root.get_attribute(name)).unwrap_or_default()
}

/// Takes the token of a link from the fragment of the URL, if there is one. The token is removed from the address bar
/// and stored in the state of the history entry. That state survives a reload and is sent to no server.
#[must_use]
pub fn take_fragment() -> Option<String> {
    let location = window().location();
    // Other fragments are anchors in the page.
    let fragment = location.hash().ok()?.strip_prefix('#').filter(|text| is_link(text))?.to_owned();
    let bare = location.pathname().ok()?;
    drop(window().history().ok()?.replace_state_with_url(&JsValue::from_str(&fragment), "", Some(&bare)));
    Some(fragment)
}

/// The token in the state of the history entry.
#[must_use]
pub fn stored_link() -> Option<String> {
    window().history().ok()?.state().ok()?.as_string().filter(|text| is_link(text))
}

/// Removes the token from the history entry.
pub fn forget_link() {
    if stored_link().is_some() {
        drop(window().history().map(|history| history.replace_state(&JsValue::NULL, "")));
    }
}

fn is_link(text: &str) -> bool {
    // The prefixes of links in mails and of invitations.
    text.starts_with("vsl_") || text.starts_with("vsi_")
}

/// The text of an input, or the value of a select.
#[must_use]
pub fn value_of(id: &str) -> String {
    let select = || document().get_element_by_id(id)?.dyn_into::<HtmlSelectElement>().ok();
    let text = input(id).map(|input| input.value()).or_else(|| select().map(|select| select.value()));
    text.unwrap_or_default()
}

/// The nonce of the document's styles, for a style that is added later. Browsers hide the attribute but expose the
/// property.
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

/// Saves a text as a file in the browser's download folder.
pub fn download(name: &str, kind: &str, text: &str) {
    let link = document().create_element("a").ok().and_then(|link| link.dyn_into::<HtmlElement>().ok());
    let Some(link) = link else { return };
    let url = ["data:", kind, ";charset=utf-8,", &String::from(js_sys::encode_uri_component(text))].concat();
    drop(link.set_attribute("href", &url));
    drop(link.set_attribute("download", name));
    link.click();
}

/// Copies a text to the clipboard and returns whether that worked. Browsers deny access to the clipboard on plain HTTP.
/// Then the text of the element with this id is selected and copied. If that fails, too, the user can copy the
/// selection.
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

/// Moves the focus to the view's heading after the browser has drawn the change.
pub fn focus_heading() {
    focus(|| document().query_selector("main h1").ok().flatten());
}

/// Moves the focus to the element with this id after the browser has drawn the change.
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

/// The current time in milliseconds since 1970.
#[must_use]
pub fn now() -> f64 {
    Date::now()
}

/// Whether the element with this id has the focus.
#[must_use]
pub fn has_focus(id: &str) -> bool {
    document().active_element().is_some_and(|element| element.id() == id)
}

/// Whether an element in the view has the focus.
#[must_use]
pub fn view_has_focus() -> bool {
    document().active_element().and_then(|element| element.closest(".view").ok().flatten()).is_some()
}

/// Formats an RFC 3339 time as a date in the browser's time zone.
#[must_use]
pub fn local_date(time: &str) -> String {
    format_date(time, r#"{"day":"numeric","month":"long","year":"numeric"}"#)
}

/// Formats an RFC 3339 time as a date and time in the browser's time zone.
#[must_use]
pub fn local_time(time: &str) -> String {
    format_date(
        time,
        r#"{"day":"numeric","month":"long","year":"numeric","hour":"2-digit","minute":"2-digit","timeZoneName":"short"}"#,
    )
}

/// Like [`local_time`], in the shortest form.
#[must_use]
pub fn short_time(time: &str) -> String {
    format_date(time, r#"{"day":"numeric","month":"short","year":"numeric","hour":"2-digit","minute":"2-digit"}"#)
}

/// Like [`local_date`], in the shortest form.
#[must_use]
pub fn short_date(time: &str) -> String {
    format_date(time, r#"{"day":"numeric","month":"short","year":"numeric"}"#)
}

fn format_date(time: &str, options: &str) -> String {
    let options = JSON::parse(options).unwrap_or(JsValue::UNDEFINED);
    Date::new(&JsValue::from_str(time)).to_locale_string("en-GB", &options).into()
}
