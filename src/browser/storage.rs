//! The token's mirror in `sessionStorage`. Where the browser refuses storage, the token lives in memory alone.

use std::cell::RefCell;

use gloo_storage::{SessionStorage, Storage};
use leptos::prelude::window;

/// The key under which the token stands. The shell's first script looks for it too.
pub const KEY: &str = "vestibule.session";

thread_local! {
    /// What this tab's mirror should hold.
    static KEPT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The token that was stored. What can't be one is not believed: a header could not carry it.
pub fn read() -> Option<String> {
    let stored = is_allowed().then(|| SessionStorage::get(KEY).ok()).flatten();
    let token = stored.filter(|token: &String| token.bytes().all(|byte| byte.is_ascii_graphic()));
    KEPT.set(token.clone());
    token
}

/// Stores the token.
pub fn write(token: &str) {
    KEPT.set(Some(token.to_owned()));
    if is_allowed() {
        // A full or forbidden storage costs the reload its login, and nothing else.
        drop(SessionStorage::set(KEY, token));
    }
}

/// Stores again what should be there. The answer to a logout tells the browser to clear the storage of every tab
/// (`Clear-Site-Data`), and somebody may have logged in again before it came.
pub fn restore() {
    if let Some(token) = KEPT.take() {
        write(&token);
    }
}

/// Whether there should be a token.
pub fn is_kept() -> bool {
    KEPT.with_borrow(Option::is_some)
}

/// Removes the token.
pub fn clear() {
    KEPT.set(None);
    if is_allowed() {
        SessionStorage::delete(KEY);
    }
}

/// Browsers that block all site data throw at the first touch.
fn is_allowed() -> bool {
    window().session_storage().is_ok_and(|storage| storage.is_some())
}
