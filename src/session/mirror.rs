//! The token's mirror in `sessionStorage`. Where the browser refuses storage, the token lives in memory alone.

use gloo_storage::{SessionStorage, Storage};
use leptos::prelude::window;

/// The key under which the token stands. The shell's first script looks for it too.
pub const KEY: &str = "vestibule.session";

/// The token that was stored. What can't be one is not believed: a header could not carry it.
pub fn read() -> Option<String> {
    if !is_allowed() {
        return None;
    }
    SessionStorage::get(KEY).ok().filter(|token: &String| token.bytes().all(|byte| byte.is_ascii_graphic()))
}

/// Stores the token.
pub fn write(token: &str) {
    if is_allowed() {
        // A full or forbidden storage costs the reload its login, and nothing else.
        drop(SessionStorage::set(KEY, token));
    }
}

/// Removes the token.
pub fn clear() {
    if is_allowed() {
        SessionStorage::delete(KEY);
    }
}

/// Browsers that block all site data throw at the first touch.
fn is_allowed() -> bool {
    window().session_storage().is_ok_and(|storage| storage.is_some())
}
