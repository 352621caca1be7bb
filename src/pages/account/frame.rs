//! The frame of the account view: the account header and the navigation between the parts.

use leptos::prelude::*;

use crate::{components::breakable::breakable, route::Part, session::AuthState};

/// The header with the username, the email and a logout link.
#[component]
pub fn AccountHeader() -> impl IntoView {
    let auth = AuthState::current();
    let username = move || auth.session().map(|session| session.account.username).unwrap_or_default();
    let initial = move || username().chars().next().map(|first| first.to_uppercase().to_string());
    view! {
        <header class="account-who">
            <span class="initial" aria-hidden="true">{initial}</span>
            <div>
                <p class="account-name" translate="no"><bdi>{username}</bdi></p>
                <p class="hint" translate="no">
                    <bdi>{move || auth.session().map(|session| breakable(&session.account.email))}</bdi>
                </p>
            </div>
            <a class="button button-quiet button-small" href="/logout">"Log out"</a>
        </header>
    }
}

/// The navigation between the parts: at the side on wide screens, above the part on narrow ones.
#[component]
pub fn Parts(
    /// The part that is shown.
    part: Memo<Part>,
) -> impl IntoView {
    let link = move |to: Part| {
        view! {
            <li>
                <a href=to.path() aria-current=move || (part.get() == to).then_some("page")>
                    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
                        <path d=icon(to) />
                    </svg>
                    {to.name()}
                </a>
            </li>
        }
    };
    view! {
        <nav class="account-parts" aria-label="Your account">
            <ul>{Part::all().map(link).collect_view()}</ul>
        </nav>
    }
}

/// The part's decorative icon, as the data of an SVG path.
const fn icon(part: Part) -> &'static str {
    match part {
        Part::Profile => "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20c.8-3.6 3.8-5.5 7.5-5.5s6.7 1.9 7.5 5.5",
        Part::Security => "M12 3l7.5 2.8v5.4c0 4.6-3 8.1-7.5 9.8-4.5-1.7-7.5-5.2-7.5-9.8V5.8zM9 12l2.2 2.2L15.2 10",
        Part::Sessions => "M3.5 5h17v11h-17zM8.5 20h7M12 16v4",
        Part::Tokens => "M8 19a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM11 12l8.5-8.5M16 7l3 3",
        Part::History => "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 8v4l3 2",
        Part::Data => "M12 4v11M7.5 10.5L12 15l4.5-4.5M4.5 19.5h15",
    }
}
