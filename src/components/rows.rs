//! Rows of facts. A row shows a value, and may open the form that changes it.

use leptos::{either::Either, prelude::*};

use crate::{
    browser::dom,
    components::action_status::{ActionStatus, ActionStatusLine},
};

/// The style of rows and of what they contain. Each view that uses them loads it with its code, because a first visit
/// doesn't need it.
pub const STYLE: &str = include_str!("../../style/rows.css");

/// Separates two facts on a line. A no-break space ties the dot to the second one, so no line ends with it.
pub const SEPARATOR: &str = " ·\u{a0}";

/// The open row of a part. At most one is open. Cheap to copy.
#[derive(Clone, Copy)]
pub struct OpenRow(RwSignal<Option<&'static str>>);

impl OpenRow {
    /// All rows are closed.
    #[must_use]
    pub fn none() -> Self {
        Self(RwSignal::new(None))
    }

    /// Opens a row, and moves the focus to its first field.
    pub fn open(self, row: &'static str, first: &str) {
        self.0.set(Some(row));
        dom::focus_id(first.into());
    }

    /// Closes a row if it is open, and returns the focus to its button.
    pub fn close(self, row: &'static str) {
        if self.0.try_get_untracked().flatten() == Some(row) {
            self.0.try_set(None);
            dom::focus_id(button_id(row));
        }
    }

    /// Whether a row is open.
    #[must_use]
    pub fn is_open(self, row: &'static str) -> bool {
        self.0.get() == Some(row)
    }
}

/// The id of the button that opens a row.
#[must_use]
pub fn button_id(row: &str) -> String {
    ["change-", row].concat()
}

/// A row that can be changed.
#[component]
pub fn Row<F: Fn() -> AnyView + Send + Sync + 'static>(
    /// Which row is open.
    rows: OpenRow,
    /// The row's identifier.
    row: &'static str,
    /// The row's label.
    label: &'static str,
    /// The accessible name of the button, such as "Change email".
    change: &'static str,
    /// The id of the form's first field.
    first: &'static str,
    /// The status of the last change.
    status: ActionStatus,
    /// The form.
    form: F,
    /// The content of the closed row.
    children: ChildrenFn,
) -> impl IntoView {
    let open = Memo::new(move |_| rows.is_open(row));
    let begin = move |_| {
        status.clear();
        rows.open(row, first);
    };
    view! {
        <div class="row" class:is-open=move || open.get()>
            <dt>{label}</dt>
            {move || {
                if open.get() {
                    Either::Left(view! { <dd class="row-form">{form()}</dd> })
                } else {
                    Either::Right(view! {
                        <dd class="row-value">{children()}</dd>
                        <dd class="row-change">
                            <button
                                id=button_id(row)
                                class="button button-quiet button-small"
                                type="button"
                                aria-label=change
                                on:click=begin
                            >
                                "Change"
                            </button>
                        </dd>
                    })
                }
            }}
            <dd class="row-outcome"><ActionStatusLine status /></dd>
        </div>
    }
}

/// A row that can't be changed.
#[component]
pub fn Fact(
    /// The row's label.
    label: &'static str,
    /// The content.
    children: Children,
) -> impl IntoView {
    view! {
        <div class="row">
            <dt>{label}</dt>
            <dd class="row-value">{children()}</dd>
        </div>
    }
}
