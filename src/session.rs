//! Who is logged in, as the page knows it.
//!
//! One reactive signal holds the token and what is known of its account. `sessionStorage` mirrors the token, and
//! nothing else does: a reload keeps it, another tab doesn't see it, closing the tab ends it. The server renders
//! every page as for a stranger, so the mirror is read in an effect, once the page is live.

mod client;
mod mirror;

use std::cell::Cell;

use leptos::{ev, prelude::*, task::spawn_local, web_sys::PageTransitionEvent};
use server_fn::codec::Json;

pub use self::{client::SessionClient, mirror::KEY as STORAGE_KEY};
use crate::{
    app::Address,
    components::dom,
    domain::account::{Account, Identity, SignIn},
    error::AppError,
    pages::{View, logout::log_out},
};

/// Tells who is behind the token that is sent along.
///
/// # Errors
/// [`AppError::SessionEnded`] without a living session, [`AppError::Unavailable`].
#[server(name = Me, prefix = "/fn", endpoint = "me", input = Json, output = Json, client = SessionClient)]
pub async fn me() -> Result<Identity, AppError> {
    crate::server::door::Door::open()?.identity().await
}

/// What the views tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nobody is logged in, or the page can't know yet.
    Stranger,
    /// There is a token, but the server hasn't told yet whose it is.
    Checking,
    /// Somebody is logged in.
    SignedIn,
}

/// What the page says once, above a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A registration has succeeded.
    Registered,
    /// Something else has, which this tells.
    Done(&'static str),
    /// The session was over when the page used it.
    Ended,
    /// A logout has succeeded.
    LoggedOut,
    /// A logout that the server could not be told of.
    LoggedOutHere {
        /// When the session ends at the latest, RFC 3339, if it is known.
        until: Option<String>,
    },
}

#[derive(Clone)]
enum State {
    Unread,
    SignedOut,
    Checking { token: String, trouble: Option<AppError> },
    SignedIn { token: String, identity: Identity },
}

impl State {
    fn token(&self) -> Option<&str> {
        match self {
            Self::Unread | Self::SignedOut => None,
            Self::Checking { token, .. } | Self::SignedIn { token, .. } => Some(token),
        }
    }
}

thread_local! {
    /// The browser's one session, for the client, which runs outside of every reactive owner.
    static LIVE: Cell<Option<Session>> = const { Cell::new(None) };
}

/// The session of this tab. Cheap to copy; every view finds it in the context.
#[derive(Clone, Copy)]
pub struct Session {
    state: RwSignal<State>,
    notice: RwSignal<Option<(View, Notice)>>,
    draft: RwSignal<String>,
    address: Address,
}

impl Session {
    /// Makes the session and puts it into the context. In the browser it reads its mirror as soon as the page is live.
    pub fn provide(address: Address) -> Self {
        let session = Self {
            state: RwSignal::new(State::Unread),
            notice: RwSignal::new(None),
            draft: RwSignal::new(String::new()),
            address,
        };
        provide_context(session);
        Effect::new(move |_| session.come_alive());
        Effect::new(move |last: Option<View>| session.follow(last));
        Effect::new(move |_| session.veil());
        session
    }

    /// The session from the context.
    #[must_use]
    pub fn current() -> Self {
        expect_context()
    }

    /// Whether the page is live: before that, nothing on it works.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.state.with(|state| !matches!(state, State::Unread))
    }

    /// What the views tell apart.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.state.with(|state| match state {
            State::Unread | State::SignedOut => Phase::Stranger,
            State::Checking { .. } => Phase::Checking,
            State::SignedIn { .. } => Phase::SignedIn,
        })
    }

    /// Who is logged in.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        self.state.with(|state| match state {
            State::SignedIn { identity, .. } => Some(identity.clone()),
            _ => None,
        })
    }

    /// Why the server can't tell whose the token is.
    #[must_use]
    pub fn trouble(&self) -> Option<AppError> {
        self.state.with(|state| match state {
            State::Checking { trouble, .. } => trouble.clone(),
            _ => None,
        })
    }

    /// The notice that belongs above the current view.
    #[must_use]
    pub fn notice(&self) -> Option<Notice> {
        let view = self.address.view();
        self.notice.with(|notice| notice.as_ref().filter(|(at, _)| *at == view).map(|(_, notice)| notice.clone()))
    }

    /// Shows a notice above a view, until that view is left.
    pub fn announce(&self, view: View, notice: Notice) {
        self.notice.set(Some((view, notice)));
    }

    /// Takes the notice away.
    pub fn hush(&self) {
        self.notice.set(None);
    }

    /// The email that a login form begins with.
    #[must_use]
    pub fn draft(&self) -> String {
        self.draft.get_untracked()
    }

    /// Keeps an email for the next form that asks for one.
    pub fn set_draft(&self, email: String) {
        self.draft.set(email);
    }

    /// Begins a session after a login.
    pub fn begin(&self, sign_in: SignIn) {
        let SignIn { token, identity } = sign_in;
        mirror::write(&token);
        self.set_draft(String::new());
        self.hush();
        self.state.set(State::SignedIn { token, identity });
    }

    /// Goes on under another token, which the server has given for the one before.
    pub fn renew(&self, token: String) {
        if let Some(identity) = self.identity() {
            mirror::write(&token);
            self.state.set(State::SignedIn { token, identity });
        }
    }

    /// Takes over what the server tells of the account by now.
    pub fn set_account(&self, account: Account) {
        self.state.update(|state| {
            if let State::SignedIn { identity, .. } = state {
                identity.account = account;
            }
        });
    }

    /// The account is gone, and with it every session.
    pub fn leave(&self) {
        self.forget();
        self.announce(View::LogIn, Notice::Done("Your account was deleted."));
        self.address.go(View::LogIn);
    }

    /// Logs out, on the server and here. Here it always succeeds.
    pub async fn log_out(&self) {
        mirror::clear();
        let until = self.identity().map(|identity| identity.expires_at);
        let told = log_out().await;
        self.forget();
        match told {
            Ok(()) | Err(AppError::SessionEnded) if self.address.view_now() == View::LogOut => self.hush(),
            Ok(()) | Err(AppError::SessionEnded) => self.announce(self.address.view_now(), Notice::LoggedOut),
            Err(_) => self.announce(self.address.view_now(), Notice::LoggedOutHere { until }),
        }
    }

    /// Asks the server whose the token is. Trouble on the way changes nothing about who is logged in.
    pub async fn check(&self) {
        let Some(token) = self.token() else { return };
        let answer = me().await;
        if self.token().as_ref() != Some(&token) {
            return;
        }
        match answer {
            Ok(identity) => self.state.set(State::SignedIn { token, identity }),
            Err(trouble) if self.phase() == Phase::Checking => {
                self.state.set(State::Checking { token, trouble: Some(trouble) });
            }
            Err(_) => {}
        }
    }

    /// Asks again after trouble.
    pub fn retry(&self) {
        if let Some(token) = self.token() {
            self.state.set(State::Checking { token, trouble: None });
            let session = *self;
            spawn_local(async move { session.check().await });
        }
    }

    fn token(&self) -> Option<String> {
        self.state.with_untracked(|state| state.token().map(str::to_owned))
    }

    fn forget(&self) {
        mirror::clear();
        self.state.set(State::SignedOut);
    }

    /// The server has refused this token. A newer one stays, and a logout under way tells by itself how it ended.
    fn ended(&self, token: &str) {
        if self.token().as_deref() == Some(token) && mirror::is_kept() {
            self.forget();
            self.announce(self.address.view_now(), Notice::Ended);
        }
    }

    fn come_alive(&self) {
        let session = *self;
        LIVE.set(Some(session));
        session.read_mirror();
        // The browser may keep a page that was left and show it again as it was. What it keeps is veiled, and what
        // it shows again follows the mirror, which another page of this tab may have changed.
        let transition = ev::Custom::<PageTransitionEvent>::new;
        let kept = window_event_listener(transition("pagehide"), |_| {
            mirror::restore();
            dom::set_veil(true);
        });
        let shown = window_event_listener(transition("pageshow"), move |event| {
            if event.persisted() {
                session.read_mirror();
            }
        });
        let seen = window_event_listener(ev::visibilitychange, move |_| {
            if !document().hidden() && session.phase() == Phase::SignedIn {
                spawn_local(async move { session.check().await });
            }
        });
        on_cleanup(move || {
            kept.remove();
            shown.remove();
            seen.remove();
        });
    }

    fn read_mirror(&self) {
        match mirror::read() {
            Some(token) => {
                self.state.set(State::Checking { token, trouble: None });
                let session = *self;
                spawn_local(async move { session.check().await });
            }
            None => self.state.set(State::SignedOut),
        }
    }

    /// After a change of the view: its notice goes, and the server is asked whether the session still lives, unless it is to
    /// end anyway.
    fn follow(&self, last: Option<View>) -> View {
        let view = self.address.view();
        if last.is_some_and(|last| last != view) {
            if self.notice.with_untracked(|notice| notice.as_ref().is_some_and(|(at, _)| *at != view)) {
                self.hush();
            }
            if view != View::LogOut {
                let session = *self;
                spawn_local(async move { session.check().await });
            }
        }
        view
    }

    /// Hides the views while it isn't known what they should show.
    fn veil(&self) {
        if self.is_live() {
            dom::set_veil(self.phase() == Phase::Checking && self.trouble().is_none());
        }
    }
}
