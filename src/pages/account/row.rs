//! The rows of the account view: each sums something up, and opens the form that changes it.

use leptos::{either::Either, prelude::*};

use crate::{
    browser::dom,
    components::{
        action_status::{ActionStatus, ActionStatusLine},
        form::{FormState, SubmitButton},
    },
};

/// Which row of a part is open: one at a time. Cheap to copy.
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

    /// Closes a row if it is open, and moves the focus back to its button.
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
    /// Its name among them.
    row: &'static str,
    /// What it sums up.
    label: &'static str,
    /// What its button does, for whoever doesn't see where it stands: "Change" and what.
    change: &'static str,
    /// The id of the form's first field.
    first: &'static str,
    /// How the last change went.
    outcome: ActionStatus,
    /// The form.
    form: F,
    /// What it says while it is closed.
    children: ChildrenFn,
) -> impl IntoView {
    let open = Memo::new(move |_| rows.is_open(row));
    let begin = move |_| {
        outcome.clear_notice();
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
            <dd class="row-outcome"><ActionStatusLine outcome /></dd>
        </div>
    }
}

/// A row that only tells something.
#[component]
pub fn Fact(
    /// What it is about.
    label: &'static str,
    /// What it says.
    children: Children,
) -> impl IntoView {
    view! {
        <div class="row">
            <dt>{label}</dt>
            <dd class="row-value">{children()}</dd>
        </div>
    }
}

/// The buttons of an open row's form.
#[component]
pub fn RowButtons(
    /// Which row is open.
    rows: OpenRow,
    /// The row.
    row: &'static str,
    /// Its form.
    form: FormState,
    /// What the form does.
    label: &'static str,
    /// What it is doing.
    busy: &'static str,
) -> impl IntoView {
    view! {
        <div class="form-buttons">
            <SubmitButton form label busy />
            <button class="button button-quiet" type="button" on:click=move |_| rows.close(row)>
                "Cancel"
            </button>
        </div>
    }
}
