//! Who is logged in, as the page knows it.
//!
//! One reactive signal holds the token and what is known of its account. `sessionStorage` mirrors the token, and
//! nothing else does: a reload keeps it, and closing the last tab ends it. The tabs of a browser share one session: a new tab
//! takes it over from one that lives, and what happens to it in one tab happens in all. The server renders every page as for a
//! stranger, so the mirror is read in an effect, once the page is live.

mod channel;
mod client;
mod log_out;

use std::{cell::Cell, future::Future, pin::Pin, time::Duration};

use leptos::{ev, prelude::*, task::spawn_local, web_sys::PageTransitionEvent};
use server_fn::codec::Json;

pub use self::client::SessionClient;
use self::{channel::Message, log_out::log_out};
use crate::{
    browser::{dom, location::Address, storage, typed},
    domain::account::{Account, Identity, SignIn},
    error::AppError,
    route::View,
};

/// Tells who is behind the token that is sent along.
///
/// # Errors
/// [`AppError::SessionEnded`] without a living session, [`AppError::Unavailable`].
#[server(name = Me, prefix = "/fn", endpoint = "me", input = Json, output = Json, client = SessionClient)]
pub async fn me() -> Result<Identity, AppError> {
    crate::http::context::PageContext::from_request()?.identity().await
}

/// A call that gives the session another token.
pub type Renewal = Pin<Box<dyn Future<Output = Result<String, AppError>>>>;

/// What the views tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nobody is logged in, or the page can't know yet.
    Stranger,
    /// There is a token, but the server hasn't told yet whose it is.
    Checking,
    /// Somebody is logged in.
    SignedIn,
    /// Somebody else has logged in in another tab. This one may act for nobody.
    Elsewhere,
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
    Elsewhere { username: String },
}

impl State {
    fn token(&self) -> Option<&str> {
        match self {
            Self::Unread | Self::SignedOut | Self::Elsewhere { .. } => None,
            Self::Checking { token, .. } | Self::SignedIn { token, .. } => Some(token),
        }
    }
}

thread_local! {
    /// The browser's one session, for the client, which runs outside of every reactive owner.
    static LIVE: Cell<Option<AuthState>> = const { Cell::new(None) };
}

/// The session of this tab. Cheap to copy; every view finds it in the context.
#[derive(Clone, Copy)]
pub struct AuthState {
    state: RwSignal<State>,
    notice: RwSignal<Option<(View, Notice)>>,
    draft: RwSignal<String>,
    /// Whether the other tabs are being asked for their session.
    asking: RwSignal<bool>,
    /// Whether another token is on its way. The server may have refused the old one for that reason.
    renewing: StoredValue<bool>,
    /// The token by which nobody is logged in here any more, since the server refused it. A logout leaves none.
    refused: StoredValue<Option<String>>,
    /// The token that the present one has replaced. Another tab may log out with it before it knows of the new one.
    replaced: StoredValue<Option<String>>,
    address: Address,
}

impl AuthState {
    /// Makes the session and puts it into the context. In the browser it reads its mirror as soon as the page is live.
    pub fn provide(address: Address) -> Self {
        let session = Self {
            state: RwSignal::new(State::Unread),
            notice: RwSignal::new(None),
            draft: RwSignal::new(String::new()),
            asking: RwSignal::new(false),
            renewing: StoredValue::new(false),
            refused: StoredValue::new(None),
            replaced: StoredValue::new(None),
            address,
        };
        provide_context(session);
        Effect::new(move |_| session.start());
        Effect::new(move |last: Option<View>| session.follow(last));
        Effect::new(move |_| session.hide_until_checked());
        session
    }

    /// The session from the context.
    #[must_use]
    pub fn current() -> Self {
        expect_context()
    }

    /// What the views tell apart.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.state.with(|state| match state {
            State::Unread | State::SignedOut => Phase::Stranger,
            State::Checking { .. } => Phase::Checking,
            State::SignedIn { .. } => Phase::SignedIn,
            State::Elsewhere { .. } => Phase::Elsewhere,
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

    /// Who has logged in in another tab, if this tab was somebody else's.
    #[must_use]
    pub fn elsewhere(&self) -> Option<String> {
        self.state.with(|state| match state {
            State::Elsewhere { username } => Some(username.clone()),
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
    pub fn clear_notice(&self) {
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
        storage::write(&token);
        self.set_draft(String::new());
        typed::forget();
        self.clear_notice();
        channel::tell(&Message::Began {
            token: token.clone(),
            account: identity.account.id.clone(),
            username: identity.account.username.clone(),
        });
        self.state.set(State::SignedIn { token, identity });
    }

    /// Sends what gives the session another token, and goes on under that one, here and in the other tabs. If there was a logout by
    /// then, here or in another tab, the session ends on the server.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn renew(&self, call: Renewal) -> Result<(), AppError> {
        let old = self.token();
        self.renewing.set_value(true);
        let answer = call.await;
        self.renewing.set_value(false);
        if let (Err(AppError::SessionEnded), Some(old)) = (&answer, &old) {
            self.ended(old);
        }
        let new = answer?;
        match old {
            Some(old) if self.token().as_ref() == Some(&old) && storage::is_kept() => {
                channel::tell(&Message::Renewed { old: old.clone(), new: new.clone() });
                self.replace_token(&old, new);
            }
            _ => client::end(&new),
        }
        Ok(())
    }

    fn replace_token(&self, old: &str, new: String) {
        self.state.update(|state| {
            if let State::SignedIn { token, .. } = state
                && token == old
            {
                storage::write(&new);
                self.replaced.set_value(Some(std::mem::replace(token, new)));
            }
        });
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
        self.tell_others(Message::Ended);
        self.forget();
        self.announce(View::LogIn, Notice::Done("Your account was deleted."));
        self.address.go(View::LogIn);
    }

    /// Logs out, on the server and here. Here it always succeeds.
    pub async fn log_out(&self) {
        storage::clear();
        self.tell_others(Message::LoggedOut);
        let until = self.identity().map(|identity| identity.expires_at);
        let told = log_out().await;
        self.forget();
        match told {
            Ok(()) | Err(AppError::SessionEnded) => self.announce_logout(),
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
            self.try_token(token);
        }
    }

    fn token(&self) -> Option<String> {
        self.state.with_untracked(|state| state.token().map(str::to_owned))
    }

    fn forget(&self) {
        storage::clear();
        typed::forget();
        self.refused.set_value(None);
        self.replaced.set_value(None);
        self.state.set(State::SignedOut);
    }

    fn tell_others(&self, message: fn(String) -> Message) {
        if let Some(token) = self.token() {
            channel::tell(&message(token));
        }
    }

    fn announce_logout(&self) {
        match self.address.view_now() {
            // It says so itself.
            View::LogOut => self.clear_notice(),
            view => self.announce(view, Notice::LoggedOut),
        }
    }

    /// The server has refused this token. A newer one stays, and a logout or a renewal under way tells by itself how it ended.
    fn ended(&self, token: &str) {
        if !self.renewing.get_value() && self.token().as_deref() == Some(token) && storage::is_kept() {
            self.tell_others(Message::Ended);
            self.forget();
            self.refused.set_value(Some(token.to_owned()));
            self.announce(self.address.view_now(), Notice::Ended);
        }
    }

    fn start(&self) {
        let session = *self;
        LIVE.set(Some(session));
        channel::listen(move |message| session.hear(message));
        session.read_mirror();
        // The browser may keep a page that was left and show it again as it was. What it keeps is veiled, and what
        // it shows again follows the mirror, which another page of this tab may have changed.
        let transition = ev::Custom::<PageTransitionEvent>::new;
        let kept = window_event_listener(transition("pagehide"), |_| {
            storage::restore();
            dom::set_hidden_until_checked(true);
        });
        let shown = window_event_listener(transition("pageshow"), move |event| {
            if event.persisted() {
                session.read_mirror();
                session.ask();
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
        match storage::read() {
            Some(token) => self.try_token(token),
            None => self.state.set(State::SignedOut),
        }
    }

    /// Takes a token of which it is yet to be known whose it is.
    fn try_token(&self, token: String) {
        self.state.set(State::Checking { token, trouble: None });
        let session = *self;
        spawn_local(async move { session.check().await });
    }

    fn take_over(&self, token: String) {
        storage::write(&token);
        self.clear_notice();
        self.try_token(token);
    }

    /// Asks the other tabs, if nobody is logged in here. A later answer than this comes too late.
    fn ask(&self) {
        if self.token().is_none() {
            let session = *self;
            session.asking.set(true);
            set_timeout(move || session.asking.set(false), Duration::from_millis(100));
            channel::tell(&Message::Ask);
        }
    }

    /// Follows what another tab tells.
    fn hear(&self, message: Message) {
        let own = self.token();
        match message {
            // A logout under way has given the session up.
            Message::Ask if storage::is_kept() => self.tell_others(Message::Have),
            Message::Have(token) if own.is_none() && self.asking.get_untracked() => self.take_over(token),
            Message::Ask | Message::Have(_) => {}
            Message::Began { token, account, username } => self.hear_login(token, &account, username),
            Message::Renewed { old, new } => match self.phase_now() {
                // The server refused the old token before this tab knew of the new one.
                Phase::Stranger if self.refused.get_value().as_ref() == Some(&old) => self.take_over(new),
                Phase::Stranger => {}
                Phase::Checking if own.as_ref() == Some(&old) => self.take_over(new),
                _ => self.replace_token(&old, new),
            },
            Message::LoggedOut(token) => {
                let replaced = self.replaced.get_value().as_ref() == Some(&token);
                if let Some(own) = own.as_ref().filter(|_| replaced) {
                    client::end(own);
                }
                self.hear_end(replaced || own.as_ref() == Some(&token), AuthState::announce_logout);
            }
            Message::Ended(token) => {
                let is_own = own.as_ref() == Some(&token);
                self.hear_end(is_own, |session| session.announce(session.address.view_now(), Notice::Ended));
                if is_own {
                    self.refused.set_value(Some(token));
                }
            }
        }
    }

    /// Somebody has logged in in another tab. The same person goes on with the newer session; another is never acted for.
    fn hear_login(&self, new: String, account: &str, username: String) {
        let known = self.state.with_untracked(|state| match state {
            State::SignedIn { token, identity } => Some((token.clone(), identity.account.id == account)),
            _ => None,
        });
        match (known, self.phase_now()) {
            (Some((old, true)), _) => self.replace_token(&old, new),
            (Some((_, false)), _) | (_, Phase::Elsewhere) => {
                storage::clear();
                self.clear_notice();
                self.state.set(State::Elsewhere { username });
            }
            _ => self.take_over(new),
        }
    }

    /// A session has ended in another tab: this tab's own, or the one for which it has given up its own.
    fn hear_end(&self, is_own: bool, announce: fn(&Self)) {
        if is_own || self.phase_now() == Phase::Elsewhere {
            self.forget();
            announce(self);
        }
    }

    fn phase_now(&self) -> Phase {
        untrack(|| self.phase())
    }

    /// Loads the page again, which then takes over what other tabs have.
    pub fn start_anew() {
        drop(location().reload());
    }

    /// After a change of the view: its notice goes, and the server is asked whether the session still lives, unless it is to
    /// end anyway.
    fn follow(&self, last: Option<View>) -> View {
        let view = self.address.view();
        if last.is_some_and(|last| last != view) {
            if self.notice.with_untracked(|notice| notice.as_ref().is_some_and(|(at, _)| *at != view)) {
                self.clear_notice();
            }
            if view != View::LogOut {
                let session = *self;
                spawn_local(async move { session.check().await });
            }
        }
        view
    }

    /// Hides the views while it isn't known what they should show.
    fn hide_until_checked(&self) {
        if self.state.with(|state| !matches!(state, State::Unread)) {
            dom::set_hidden_until_checked(self.phase() == Phase::Checking && self.trouble().is_none());
        }
    }
}
