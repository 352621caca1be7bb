//! The page: its document, its frame and its routes.

#[cfg(feature = "ssr")]
mod shell;

use leptos::prelude::*;
use leptos_router::{
    components::{FlatRoutes, Route, Router},
    hooks::use_location,
    path,
};

#[cfg(feature = "ssr")]
pub use self::shell::shell;
use crate::{
    components::{
        dom,
        icon::Mark,
        notice::NoticeLine,
        switcher::{self, ViewSwitcher},
    },
    pages::{View, login::Login, logout::Logout, not_found::NotFound, register::Register},
    session::{Phase, Session},
};

/// The page. It is rendered on the server as for a stranger, and taken over by the browser.
#[component]
pub fn App() -> impl IntoView {
    view! {
        <Router>
            <Frame />
        </Router>
    }
}

/// What stands round every view.
#[component]
fn Frame() -> impl IntoView {
    let path = use_location().pathname;
    let view = Memo::new(move |_| path.with(|path| View::at(path)));
    let session = Session::provide(view);
    let spoken = RwSignal::new("");
    Effect::new(move |last| lead_the_reader(session, view.get(), spoken, last));
    let who = move || session.identity().map(|me| me.account.username);
    view! {
        <a class="skip" href="#content" rel="external">"Skip to content"</a>
        <div class="frame">
            <header class="bar">
                <a class="brand" href="/login"><Mark />"Vestibule"</a>
                <ViewSwitcher view />
                <p class="who">
                    {move || who().map(|name| view! { "Logged in as " <strong>{name}</strong> })}
                </p>
            </header>
            <main id="content" tabindex="-1">
                <p class="visually-hidden" role="status">{spoken}</p>
                <NoticeLine />
                <div class="waiting" role="status">
                    <span class="spinner"></span>
                    "Checking your session…"
                </div>
                <div class="view">
                    <FlatRoutes fallback=NotFound>
                        <Route path=path!("/") view=Login />
                        <Route path=path!("/login") view=Login />
                        <Route path=path!("/register") view=Register />
                        <Route path=path!("/logout") view=Logout />
                    </FlatRoutes>
                </div>
            </main>
        </div>
    }
}

/// Sets the title, and moves the focus to what has changed. Who chose a view in the select box keeps the focus there
/// and hears the view's name.
fn lead_the_reader(
    session: Session,
    view: View,
    spoken: RwSignal<&'static str>,
    last: Option<(View, Phase)>,
) -> (View, Phase) {
    let phase = session.phase();
    let known = |phase| phase != Phase::Checking;
    match last {
        Some((shown, _)) if shown != view => {
            document().set_title(view.title());
            if dom::has_focus(switcher::ID) {
                spoken.set(view.name());
            } else {
                dom::focus("main h1");
            }
        }
        Some((_, before)) if before != phase && known(before) && known(phase) => dom::focus("main h1"),
        _ => {}
    }
    (view, phase)
}
