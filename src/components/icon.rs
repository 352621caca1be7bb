//! Icons. They are decorative and hidden from screen readers.

use leptos::{either::Either, prelude::*};

use crate::browser::settings;

/// The logo: the configured one, or the default one, a doorway.
#[component]
pub fn Mark() -> impl IntoView {
    let logo = settings::LOGO.get();
    if logo.is_empty() {
        Either::Left(doorway())
    } else {
        Either::Right(view! { <img class="mark" src=logo alt="" /> })
    }
}

fn doorway() -> impl IntoView {
    view! {
        <svg class="mark" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
            <rect class="mark-wall" width="32" height="32" rx="8" />
            <path class="mark-door" d="M9 26V14a7 7 0 0 1 14 0v12h-4V14a3 3 0 0 0-6 0v12z" />
        </svg>
    }
}

/// The icon of an open eye.
#[component]
pub fn Eye() -> impl IntoView {
    view! {
        <svg class="icon eye" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
            <path d="M2 12s3.6-7 10-7 10 7 10 7-3.6 7-10 7-10-7-10-7z" />
            <circle cx="12" cy="12" r="3" />
        </svg>
    }
}

/// The icon of a crossed-out eye.
#[component]
pub fn EyeOff() -> impl IntoView {
    view! {
        <svg class="icon eye-off" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
            <path d="M2 12s3.6-7 10-7 10 7 10 7-3.6 7-10 7-10-7-10-7zM4 20 20 4" />
            <circle cx="12" cy="12" r="3" />
        </svg>
    }
}
