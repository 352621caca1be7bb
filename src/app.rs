//! The page: its document, its frame and its routes.

#[cfg(feature = "ssr")]
mod shell;
#[cfg(feature = "browser")]
mod start;

use leptos::{
    either::{Either, EitherOf10},
    prelude::*,
};

#[cfg(feature = "ssr")]
pub use self::shell::shell;
#[cfg(feature = "browser")]
pub use self::start::start;
use crate::{
    browser::settings,
    browser::{dom, location::Address, typed},
    components::{
        elsewhere::Elsewhere,
        icon::Mark,
        notice::NoticeLine,
        switcher::{self, ViewSwitcher},
    },
    pages::{
        account::Account, confirm_email::ConfirmEmailPage, forgot::Forgot, login::Login, logout::Logout,
        not_found::NotFound, register::Register, reset::Reset, undo_email::UndoEmailPage, verify::Verify,
    },
    route::View,
    session::{AuthState, Phase},
};

/// The id of the element that holds the page.
const PAGE: &str = "page";

/// The page. The server renders it as for a stranger, and the browser draws it anew in the same place (`app/start.rs`).
#[component]
pub fn App() -> impl IntoView {
    let address = Address::provide();
    let session = AuthState::provide(address);
    let spoken = RwSignal::new("");
    // The account view stays while one goes from part to part.
    let view = Memo::new(move |_| address.view().whole());
    Effect::new(move |last| update_focus(session, address.view(), spoken, last));
    let elsewhere = Memo::new(move |_| session.elsewhere());
    // The home view and the account have the name themselves.
    let who = Memo::new(move |_| {
        let identity = session.identity().filter(|_| !matches!(address.view(), View::LogIn | View::Account(_)));
        identity.map(|me| me.account.username)
    });
    view! {
        <a class="skip" href="#content">"Skip to content"</a>
        <div class="frame">
            <header class="bar">
                <a class="brand" href="/login" translate="no"><Mark />{settings::SERVICE.get()}</a>
                <ViewSwitcher address />
                <p class="who">{move || who.get().map(|username| view! { <Who username /> })}</p>
            </header>
            <main id="content" tabindex="-1">
                <p class="visually-hidden" role="status" prop:textContent=spoken></p>
                <NoticeLine />
                <div class="waiting" role="status">
                    <span class="spinner"></span>
                    "Checking your session…"
                </div>
                <div class="view">
                    {move || match elsewhere.get() {
                        Some(username) => Either::Left(view! { <Elsewhere username /> }),
                        None => Either::Right(move || view_at(view.get())),
                    }}
                </div>
            </main>
        </div>
    }
}

/// The name in the bar. It is an element of its own, which comes and goes as a whole.
#[component]
fn Who(username: String) -> impl IntoView {
    view! {
        <span>
            "Logged in as " <strong translate="no">{username}</strong>
        </span>
    }
}

fn view_at(view: View) -> impl IntoView {
    match view {
        View::LogIn => EitherOf10::A(view! { <Login /> }),
        View::Register => EitherOf10::B(view! { <Register /> }),
        View::Account(_) => EitherOf10::C(view! { <Account /> }),
        View::LogOut => EitherOf10::D(view! { <Logout /> }),
        View::Forgot => EitherOf10::E(view! { <Forgot /> }),
        View::Reset => EitherOf10::F(view! { <Reset /> }),
        View::Verify => EitherOf10::G(view! { <Verify /> }),
        View::ConfirmEmail => EitherOf10::H(view! { <ConfirmEmailPage /> }),
        View::UndoEmail => EitherOf10::I(view! { <UndoEmailPage /> }),
        View::NotFound => EitherOf10::J(view! { <NotFound /> }),
    }
}

/// Sets the title, and moves the focus to what has changed. Who chose a view in the select box keeps the focus there
/// and hears the view's name.
fn update_focus(
    session: AuthState,
    view: View,
    spoken: RwSignal<&'static str>,
    last: Option<(View, Phase)>,
) -> (View, Phase) {
    let phase = session.phase();
    let signed_in = phase == Phase::SignedIn;
    document().set_title(&title(view, signed_in));
    let known = |phase| phase != Phase::Checking;
    match last {
        Some((shown, _)) if shown != view => {
            typed::put_back();
            if dom::has_focus(switcher::ID) {
                spoken.set(view.name(signed_in));
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
