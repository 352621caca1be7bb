//! The page: document, frame and routes.

#[cfg(feature = "ssr")]
mod shell;
#[cfg(feature = "browser")]
mod start;

use leptos::{
    either::{Either, either},
    prelude::*,
};

#[cfg(feature = "ssr")]
pub use self::shell::shell;
#[cfg(feature = "browser")]
pub use self::start::start;
use crate::{
    browser::{dom, location::Address, settings, typed},
    components::{
        icon::Mark,
        notice::NoticeLine,
        other_account_notice::OtherAccountNotice,
        switcher::{self, ViewSwitcher},
    },
    pages::{login::Login, logout::Logout, private::Private, secondary::Secondary},
    route::View,
    session::{AuthState, Phase},
};

/// The id of the element that holds the page.
const PAGE: &str = "page";

/// The page. The server renders it logged out, and the browser draws it again in the same place (`app/start.rs`).
#[component]
pub fn App() -> impl IntoView {
    let address = Address::provide();
    let auth = AuthState::provide(address);
    let announced = RwSignal::new("");
    // The account view is not replaced when its part changes.
    let view = Memo::new(move |_| address.view().whole());
    Effect::new(move |last| update_focus(auth, address.view(), announced, last));
    let other_account = Memo::new(move |_| auth.other_account());
    // The home view and the account view show the name themselves.
    let current_user = Memo::new(move |_| {
        let session = auth.session().filter(|_| !matches!(address.view(), View::LogIn | View::Account(_)));
        session.map(|session| session.account.username)
    });
    view! {
        <a class="skip" href="#content">"Skip to content"</a>
        <div class="frame">
            <header class="bar">
                <a class="brand" href="/login" translate="no"><Mark />{settings::SERVICE.get()}</a>
                <ViewSwitcher address />
                <p class="who">{move || current_user.get().map(|username| view! { <CurrentUser username /> })}</p>
            </header>
            <main id="content" tabindex="-1">
                <p class="visually-hidden" role="status" prop:textContent=announced></p>
                <NoticeLine />
                <div class="waiting" role="status">
                    <span class="spinner"></span>
                    "Checking your session…"
                </div>
                <div class="view">
                    {move || match other_account.get() {
                        Some(username) => Either::Left(view! { <OtherAccountNotice username /> }),
                        None => Either::Right(move || view_at(view.get())),
                    }}
                </div>
            </main>
        </div>
    }
}

/// The username in the bar. It is a separate element, so that it is added and removed as a whole.
#[component]
fn CurrentUser(username: String) -> impl IntoView {
    view! {
        <span>
            "Logged in as " <strong translate="no">{username}</strong>
        </span>
    }
}

fn view_at(view: View) -> impl IntoView {
    either!(view,
        View::LogIn => view! { <Login /> },
        View::LogOut => view! { <Logout /> },
        view @ (View::Account(_) | View::Operators) => view! { <Private view /> },
        view => view! { <Secondary view /> },
    )
}

/// Sets the title and moves the focus to the heading of a new view. If the view was chosen in the select box, the focus
/// stays there, and a screen reader announces the view's name.
fn update_focus(
    auth: AuthState,
    view: View,
    announced: RwSignal<&'static str>,
    last: Option<(View, Phase)>,
) -> (View, Phase) {
    let phase = auth.phase();
    let signed_in = phase == Phase::SignedIn;
    document().set_title(&title(view, signed_in));
    let known = |phase| phase != Phase::Checking;
    match last {
        Some((shown, _)) if shown != view => {
            typed::restore();
            if dom::has_focus(switcher::ID) {
                announced.set(view.name(signed_in));
            } else {
                dom::focus_heading();
            }
        }
        Some((_, before)) if before != phase && known(before) && known(phase) => dom::focus_heading(),
        _ => {}
    }
    (view, phase)
}

/// The document's title while a view is shown.
fn title(view: View, signed_in: bool) -> String {
    [view.name(signed_in), " · ", &settings::SERVICE.get()].concat()
}
