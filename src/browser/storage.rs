//! The copy of the token in `sessionStorage`. If the browser denies storage, the token is only in memory.

use std::cell::RefCell;

use js_sys::JSON;
use leptos::{prelude::window, wasm_bindgen::JsValue, web_sys::Storage};

/// The storage key of the token. The shell's first script uses it, too.
pub const KEY: &str = "vestibule.session";

thread_local! {
    /// The token that the storage of this tab should contain.
    static EXPECTED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The stored token, as JSON. A value that can't be sent in a header is not a token and is ignored.
pub fn read() -> Option<String> {
    let stored = storage().and_then(|storage| JSON::parse(&storage.get(KEY).ok()??).ok()?.as_string());
    let token = stored.filter(|token| token.bytes().all(|byte| byte.is_ascii_graphic()));
    EXPECTED.set(token.clone());
    token
}

/// Stores the token.
pub fn write(token: &str) {
    EXPECTED.set(Some(token.to_owned()));
    if let (Some(storage), Ok(json)) = (storage(), JSON::stringify(&JsValue::from_str(token))) {
        // If the storage is full or denied, a reload logs out. Nothing else is affected.
        drop(storage.set(KEY, &String::from(json)));
    }
}

/// Stores the expected token again. The response to a logout makes the browser clear the storage of every tab
/// (`Clear-Site-Data`), and a new login may have happened before it arrived.
pub fn restore() {
    if let Some(token) = EXPECTED.take() {
        write(&token);
    }
}

/// Whether the storage should contain a token.
pub fn is_expected() -> bool {
    EXPECTED.with_borrow(Option::is_some)
}

/// Removes the token.
pub fn clear() {
    EXPECTED.set(None);
    if let Some(storage) = storage() {
        drop(storage.delete(KEY));
    }
}

/// The storage. Browsers that block all site data throw an exception on access.
fn storage() -> Option<Storage> {
    window().session_storage().ok()?
}
