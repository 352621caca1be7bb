//! The page: its document, its frame and its routes.

mod address;
pub mod settings;
#[cfg(feature = "ssr")]
mod shell;

use leptos::{either::EitherOf10, prelude::*};

pub use self::address::Address;
#[cfg(feature = "ssr")]
pub use self::shell::shell;
use crate::{
    components::{
        dom,
        icon::Mark,
        notice::NoticeLine,
        switcher::{self, ViewSwitcher},
    },
    pages::{
        View,
        account::Account,
        forgot::Forgot,
        login::Login,
        logout::Logout,
        moved::{EmailBack, NewEmail},
        not_found::NotFound,
        register::Register,
        reset::Reset,
        verify::Verify,
    },
    session::{Phase, Session},
};

/// The page. It is rendered on the server as for a stranger, and taken over by the browser.
#[component]
pub fn App() -> impl IntoView {
    let address = Address::provide();
    let session = Session::provide(address);
    let spoken = RwSignal::new("");
    // The account view stays while one goes from part to part.
    let view = Memo::new(move |_| address.view().whole());
    Effect::new(move |last| lead_the_reader(session, address.view(), spoken, last));
    view! {
        <a class="skip" href="#content">"Skip to content"</a>
        <div class="frame">
            <header class="bar">
                <a class="brand" href="/login"><Mark />"Vestibule"</a>
                <ViewSwitcher address />
                <p class="who">{move || session.identity().map(|me| ["Logged in as ", &me.account.username].concat())}</p>
            </header>
            <main id="content" tabindex="-1">
                <p class="visually-hidden" role="status">{spoken}</p>
                <NoticeLine />
                <div class="waiting" role="status">
                    <span class="spinner"></span>
                    "Checking your session…"
                </div>
                <div class="view">
                    {move || match view.get() {
                        View::LogIn => EitherOf10::A(view! { <Login /> }),
                        View::Register => EitherOf10::B(view! { <Register /> }),
                        View::Account(_) => EitherOf10::C(view! { <Account /> }),
                        View::LogOut => EitherOf10::D(view! { <Logout /> }),
                        View::Forgot => EitherOf10::E(view! { <Forgot /> }),
                        View::Reset => EitherOf10::F(view! { <Reset /> }),
                        View::Verify => EitherOf10::G(view! { <Verify /> }),
                        View::ConfirmEmail => EitherOf10::H(view! { <NewEmail /> }),
                        View::UndoEmail => EitherOf10::I(view! { <EmailBack /> }),
                        View::NotFound => EitherOf10::J(view! { <NotFound /> }),
                    }}
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
                dom::focus_heading();
            }
        }
        Some((_, before)) if before != phase && known(before) && known(phase) => dom::focus_heading(),
        _ => {}
    }
    (view, phase)
}
