//! The page's files: style sheet, script and WebAssembly, and public files such as the favicon.
//!
//! A program built by `make` embeds them. A program built without the page reads them from disk, as `cargo leptos
//! watch` requires.

mod disk;
mod embedded;

use axum::Router;

/// URL paths of the files that the page loads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageFiles {
    /// The style sheet.
    pub style: String,
    /// The content of the style sheet, which saves a first visit a round trip. `None` under `cargo leptos watch`, which
    /// replaces the style sheet's link.
    pub inlined: Option<&'static str>,
    /// The script that loads the WebAssembly.
    pub script: String,
    /// The scripts that the script imports.
    pub imported: Vec<String>,
    /// The WebAssembly module.
    pub wasm: String,
    /// The further WebAssembly of the secondary views (`pages::secondary`).
    pub secondary: Vec<String>,
    /// Whether the page should reload itself after a change: only under `cargo leptos watch`.
    pub reload: bool,
}

/// Returns the paths of the page's files.
#[must_use]
pub fn page_files() -> PageFiles {
    if is_embedded() { embedded::page_files() } else { disk::page_files() }
}

/// Whether the program embeds the page.
#[must_use]
pub fn is_embedded() -> bool {
    embedded::is_there()
}

/// The routes of the page's files.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    if is_embedded() { embedded::router() } else { disk::router() }
}
