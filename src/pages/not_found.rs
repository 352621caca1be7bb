//! What stands at every address that has no view.

use leptos::prelude::*;

use crate::{app::settings, components::icon::Eyebrow};

/// The view. On the server it gives the answer the status 404.
#[component]
pub fn NotFound() -> impl IntoView {
    #[cfg(feature = "ssr")]
    if let Some(answer) = use_context::<leptos_axum::ResponseOptions>() {
        answer.set_status(axum::http::StatusCode::NOT_FOUND);
    }
    view! {
        <Eyebrow text="Error 404" />
        <h1 tabindex="-1">"Page not found"</h1>
        <p class="lead">"Nothing lives at this address. Check its spelling, or go on from one of these:"</p>
        <ul class="ways">
            <li><a href="/login">"Login"</a> <span>"to see your account"</span></li>
            {settings::registration_is_open()
                .then(|| view! { <li><a href="/register">"Register"</a> <span>"to make a new one"</span></li> })}
            <li><a href="/logout">"Log out"</a> <span>"to end your session"</span></li>
        </ul>
    }
}
