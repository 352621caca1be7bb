//! The copy of the token in `sessionStorage`. If the browser denies storage, the token is only in memory.

use std::cell::RefCell;

use gloo_storage::{SessionStorage, Storage};
use leptos::prelude::window;

/// The storage key of the token. The shell's first script uses it, too.
pub const KEY: &str = "vestibule.session";

thread_local! {
    /// The token that the storage of this tab should contain.
    static EXPECTED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The stored token. A value that can't be sent in a header is not a token and is ignored.
pub fn read() -> Option<String> {
    let stored = is_allowed().then(|| SessionStorage::get(KEY).ok()).flatten();
    let token = stored.filter(|token: &String| token.bytes().all(|byte| byte.is_ascii_graphic()));
    EXPECTED.set(token.clone());
    token
}

/// Stores the token.
pub fn write(token: &str) {
    EXPECTED.set(Some(token.to_owned()));
    if is_allowed() {
        // If the storage is full or denied, a reload logs out. Nothing else is affected.
        drop(SessionStorage::set(KEY, token));
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
    if is_allowed() {
        SessionStorage::delete(KEY);
    }
}

/// Whether the storage can be used. Browsers that block all site data throw an exception on access.
fn is_allowed() -> bool {
    window().session_storage().is_ok_and(|storage| storage.is_some())
}
