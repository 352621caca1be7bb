//! A modal dialog.

use leptos::{html, prelude::*};

/// The dialog. It is open as long as the component exists.
#[component]
pub fn Dialog<F: Fn() + 'static>(
    /// The element, for [`close`].
    dialog: NodeRef<html::Dialog>,
    /// The heading's id.
    heading: &'static str,
    /// The heading's text.
    title: &'static str,
    /// Runs when the dialog was closed, in any way.
    closed: F,
    /// The content below the heading.
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

/// Closes a dialog. The browser returns the focus to the element that had it before.
pub fn close(dialog: NodeRef<html::Dialog>) {
    if let Some(dialog) = dialog.try_get_untracked().flatten() {
        dialog.close();
    }
}
