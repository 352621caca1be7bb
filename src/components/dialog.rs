//! A dialog that must be answered before anything else.

use leptos::{html, prelude::*};

/// The dialog. It is open as long as it is there.
#[component]
pub fn Dialog<F: Fn() + 'static>(
    /// Its element, for [`close`].
    dialog: NodeRef<html::Dialog>,
    /// The id of its heading.
    heading: &'static str,
    /// Its heading.
    title: &'static str,
    /// Hears that it was closed, by whatever means.
    closed: F,
    /// What it says and asks.
    children: Children,
) -> impl IntoView {
    Effect::new(move |_| {
        if let Some(dialog) = dialog.get() {
            drop(dialog.show_modal());
        }
    });
    view! {
        <dialog node_ref=dialog class="dialog" aria-labelledby=heading on:close=move |_| closed()>
            <h2 id=heading>{title}</h2>
            {children()}
        </dialog>
    }
}

/// Closes a dialog; the browser gives the focus back to where it was.
pub fn close(dialog: NodeRef<html::Dialog>) {
    if let Some(dialog) = dialog.try_get_untracked().flatten() {
        dialog.close();
    }
}
