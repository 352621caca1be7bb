//! The page's files: its style, script and WebAssembly, and the public ones such as the favicon.
//!
//! A program built by `make` carries them inside. One that was built without a page reads them from the disk, which
//! is what `cargo leptos watch` needs.

mod disk;
mod embedded;

use axum::Router;

/// URL paths of what the document loads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageFiles {
    /// The style sheet.
    pub style: String,
    /// The style sheet itself, which spares a first visit a round trip. Not under `cargo leptos watch`, which replaces its link.
    pub inlined: Option<&'static str>,
    /// The script that loads the WebAssembly.
    pub script: String,
    /// The scripts that it imports.
    pub imported: Vec<String>,
    /// The page itself, compiled.
    pub wasm: String,
    /// Whether the page should reload itself after a change: only under `cargo leptos watch`.
    pub reload: bool,
}

/// The paths of the page's files.
#[must_use]
pub fn page_files() -> PageFiles {
    if is_embedded() { embedded::page_files() } else { disk::page_files() }
}

/// Whether the program carries its page.
#[must_use]
pub fn is_embedded() -> bool {
    embedded::is_there()
}

/// The routes of the page's files.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    if is_embedded() { embedded::router() } else { disk::router() }
}
