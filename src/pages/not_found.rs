//! The view for paths without a view.

use leptos::prelude::*;

use crate::browser::settings;

/// The view. On the server it also sets the status 404.
#[component]
pub fn NotFound() -> impl IntoView {
    #[cfg(feature = "ssr")]
    if let Some(response) = use_context::<leptos_axum::ResponseOptions>() {
        response.set_status(axum::http::StatusCode::NOT_FOUND);
    }
    view! {
        <h1 tabindex="-1">"Page not found"</h1>
        <p class="lead">"There's nothing here. Check the address, or go to:"</p>
        <ul class="ways">
            <li><a href="/login">"Log in"</a> <span>"to your account"</span></li>
            {settings::registration_is_open()
                .then(|| view! { <li><a href="/register">"Register"</a> <span>"for a new account"</span></li> })}
            <li><a href="/logout">"Log out"</a> <span>"of this browser"</span></li>
        </ul>
    }
}
