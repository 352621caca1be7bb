//! Line breaks in long words.

use leptos::prelude::*;

/// An email or host name that breaks after its `@` and its dots rather than within a word.
pub fn breakable(text: &str) -> impl IntoView + use<> {
    let pieces = text.split_inclusive(['@', '.']).map(str::to_owned);
    pieces.map(|piece| view! { {piece} <wbr /> }).collect_view()
}
