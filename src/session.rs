//! The login state of the page.
//!
//! One reactive signal holds the token, its account and its session. The token is stored only in `sessionStorage`: it
//! survives a reload, and is gone when the last tab is closed. The tabs of a browser share one session. A new tab
//! copies it from an open tab, and a change in one tab applies to all. The server renders every page logged out, so an
//! effect reads the stored token once the page has started.

mod channel;
mod log_out;
mod transport;

use std::{cell::Cell, future::Future, pin::Pin, time::Duration};

use leptos::{ev, prelude::*, task::spawn_local, web_sys::PageTransitionEvent};

pub use self::transport::BearerTransport;
use self::{channel::Message, log_out::log_out};
use crate::{
    browser::{dom, location::Address, storage, typed},
    domain::account::{Account, CurrentSession, LoginResult},
    error::AppError,
    json::Json,
    route::View,
};

/// Returns the account and the session of the request's token.
#[server(name = Me, prefix = "/fn", endpoint = "me", input = Json, output = Json, client = BearerTransport)]
pub async fn me() -> Result<CurrentSession, AppError> {
    use crate::http::{context::PageContext, extract::Session};

    let mut context = PageContext::from_request()?;
    let session: Session = context.extract().await?;
    Ok(session.current().clone())
}

/// A request that replaces the session's token and returns the new one.
pub type Renewal = Pin<Box<dyn Future<Output = Result<String, AppError>>>>;

/// The login state as the views distinguish it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nobody is logged in, or the stored token has not been read yet.
    SignedOut,
    /// There is a token, but the server has not confirmed it yet.
    Checking,
    /// An account is logged in.
    SignedIn,
    /// Another account has logged in in another tab. This tab must not send requests for either account.
    OtherAccount,
}

/// A message that the page shows once, above a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The registration succeeded.
    Registered,
    /// The account was created, and waits for an operator's approval.
    Pending,
    /// Another operation succeeded. Contains the message.
    Done(&'static str),
    /// The session had ended when the page used it.
    Ended,
    /// The logout succeeded.
    LoggedOut,
    /// The logout succeeded in this browser, but the server could not be reached.
    LoggedOutHere {
        /// The latest time at which the session expires (RFC 3339), if it is known.
        until: Option<String>,
    },
}

#[derive(Clone)]
enum State {
    Unread,
    SignedOut,
    Checking { token: String, error: Option<AppError> },
    SignedIn { token: String, session: CurrentSession },
    OtherAccount { username: String },
}

impl State {
    fn token(&self) -> Option<&str> {
        match self {
            Self::Unread | Self::SignedOut | Self::OtherAccount { .. } => None,
            Self::Checking { token, .. } | Self::SignedIn { token, .. } => Some(token),
        }
    }
}

thread_local! {
    /// The login state for the transport, which runs outside of every reactive owner.
    static LIVE: Cell<Option<AuthState>> = const { Cell::new(None) };
}

/// The login state of this tab. Cheap to copy. Views get it from the context.
#[derive(Clone, Copy)]
pub struct AuthState {
    state: RwSignal<State>,
    notice: RwSignal<Option<(View, Notice)>>,
    draft: RwSignal<String>,
    /// Whether this tab is waiting for a session from the other tabs.
    requesting: RwSignal<bool>,
    /// Whether a token renewal is pending. The server may reject the old token for that reason.
    renewing: StoredValue<bool>,
    /// The last token if the server rejected it, which logged this tab out. A logout clears it.
    refused: StoredValue<Option<String>>,
    /// The token that the current one has replaced. Another tab may log out with it before it receives the new one.
    replaced: StoredValue<Option<String>>,
    address: Address,
}

impl AuthState {
    /// Creates the state and provides it as context. In the browser it reads the stored token once the page has
    /// started.
    pub fn provide(address: Address) -> Self {
        let auth = Self {
            state: RwSignal::new(State::Unread),
            notice: RwSignal::new(None),
            draft: RwSignal::new(String::new()),
            requesting: RwSignal::new(false),
            renewing: StoredValue::new(false),
            refused: StoredValue::new(None),
            replaced: StoredValue::new(None),
            address,
        };
        provide_context(auth);
        Effect::new(move |_| auth.start());
        Effect::new(move |last: Option<View>| auth.follow(last));
        Effect::new(move |_| auth.hide_until_checked());
        auth
    }

    /// The state from the context.
    #[must_use]
    pub fn current() -> Self {
        expect_context()
    }

    /// The login state as the views distinguish it.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.state.with(|state| match state {
            State::Unread | State::SignedOut => Phase::SignedOut,
            State::Checking { .. } => Phase::Checking,
            State::SignedIn { .. } => Phase::SignedIn,
            State::OtherAccount { .. } => Phase::OtherAccount,
        })
    }

    /// The account that is logged in, and its session.
    #[must_use]
    pub fn session(&self) -> Option<CurrentSession> {
        self.state.with(|state| match state {
            State::SignedIn { session, .. } => Some(session.clone()),
            _ => None,
        })
    }

    /// The username of the account that has logged in in another tab, if this tab belonged to a different account.
    #[must_use]
    pub fn other_account(&self) -> Option<String> {
        self.state.with(|state| match state {
            State::OtherAccount { username } => Some(username.clone()),
            _ => None,
        })
    }

    /// Why the token could not be checked.
    #[must_use]
    pub fn check_error(&self) -> Option<AppError> {
        self.state.with(|state| match state {
            State::Checking { error, .. } => error.clone(),
            _ => None,
        })
    }

    /// The notice for the current view.
    #[must_use]
    pub fn notice(&self) -> Option<Notice> {
        let view = self.address.view();
        self.notice.with(|notice| notice.as_ref().filter(|(at, _)| *at == view).map(|(_, notice)| notice.clone()))
    }

    /// Shows a notice above a view until another view is opened.
    pub fn announce(&self, view: View, notice: Notice) {
        self.notice.set(Some((view, notice)));
    }

    /// Removes the notice.
    pub fn clear_notice(&self) {
        self.notice.set(None);
    }

    /// The initial email of a login form.
    #[must_use]
    pub fn draft(&self) -> String {
        self.draft.get_untracked()
    }

    /// Stores an email for the next form that asks for one.
    pub fn set_draft(&self, email: String) {
        self.draft.set(email);
    }

    /// Begins a session after a login.
    pub fn begin(&self, login: LoginResult) {
        let LoginResult { token, session } = login;
        storage::write(&token);
        self.set_draft(String::new());
        typed::forget();
        self.clear_notice();
        channel::broadcast(&Message::Began {
            token: token.clone(),
            account: session.account.id.clone(),
            username: session.account.username.clone(),
        });
        self.state.set(State::SignedIn { token, session });
    }

    /// Sends a request that renews the session's token, and switches to the new token in all tabs. If there was a
    /// logout meanwhile, in this tab or another, the renewed session is ended on the server.
    pub async fn renew(&self, call: Renewal) -> Result<(), AppError> {
        let old = self.token();
        self.renewing.set_value(true);
        let result = call.await;
        self.renewing.set_value(false);
        if let (Err(AppError::SessionEnded), Some(old)) = (&result, &old) {
            self.ended(old);
        }
        let new = result?;
        match old {
            Some(old) if self.token().as_ref() == Some(&old) && storage::is_expected() => {
                channel::broadcast(&Message::Renewed { old: old.clone(), new: new.clone() });
                self.replace_token(&old, new);
            }
            _ => transport::end(&new),
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

    /// Updates the account from the server's response.
    pub fn set_account(&self, account: Account) {
        self.state.update(|state| {
            if let State::SignedIn { session, .. } = state {
                session.account = account;
            }
        });
    }

    /// Logs out all tabs after the account was deleted, which has ended every session.
    pub fn account_deleted(&self) {
        self.broadcast(Message::Ended);
        self.forget();
        self.announce(View::LogIn, Notice::Done("Your account was deleted."));
        self.address.navigate(View::LogIn);
    }

    /// Logs out on the server and in this browser. In the browser it always succeeds.
    pub async fn log_out(&self) {
        storage::clear();
        self.broadcast(Message::LoggedOut);
        let until = self.session().map(|session| session.expires_at);
        let result = log_out().await;
        self.forget();
        match result {
            Ok(()) | Err(AppError::SessionEnded) => self.announce_logout(),
            Err(_) => self.announce(self.address.view_now(), Notice::LoggedOutHere { until }),
        }
    }

    /// Checks the token with the server. A failed request does not change the login state.
    pub async fn check(&self) {
        let Some(token) = self.token() else { return };
        let result = me().await;
        if self.token().as_ref() != Some(&token) {
            return;
        }
        match result {
            Ok(session) => self.state.set(State::SignedIn { token, session }),
            Err(error) if self.phase() == Phase::Checking => {
                self.state.set(State::Checking { token, error: Some(error) });
            }
            Err(_) => {}
        }
    }

    /// Checks the token again after an error.
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
        self.requesting.set(false);
        self.state.set(State::SignedOut);
    }

    fn broadcast(&self, message: fn(String) -> Message) {
        if let Some(token) = self.token() {
            channel::broadcast(&message(token));
        }
    }

    fn announce_logout(&self) {
        match self.address.view_now() {
            // This view shows the logout itself.
            View::LogOut => self.clear_notice(),
            view => self.announce(view, Notice::LoggedOut),
        }
    }

    /// Handles a token that the server has rejected. Ignores an outdated token. A pending logout or renewal handles its
    /// own result.
    fn ended(&self, token: &str) {
        if !self.renewing.get_value() && self.token().as_deref() == Some(token) && storage::is_expected() {
            self.broadcast(Message::Ended);
            self.forget();
            self.refused.set_value(Some(token.to_owned()));
            self.announce(self.address.view_now(), Notice::Ended);
        }
    }

    fn start(&self) {
        let auth = *self;
        LIVE.set(Some(auth));
        channel::listen(move |message| auth.receive(message));
        auth.find_session();
        // The browser may cache this page when another is opened, and show it again later (back/forward cache). So the
        // page hides its views before that. It reads the stored token again afterwards, because another page of this
        // tab may have changed it.
        let transition = ev::Custom::<PageTransitionEvent>::new;
        let hidden = window_event_listener(transition("pagehide"), |_| {
            storage::restore();
            dom::set_hidden_until_checked(true);
        });
        let shown = window_event_listener(transition("pageshow"), move |event| {
            if event.persisted() {
                auth.find_session();
            }
        });
        let visible = window_event_listener(ev::visibilitychange, move |_| {
            if !document().hidden() && auth.phase() == Phase::SignedIn {
                spawn_local(async move { auth.check().await });
            }
        });
        on_cleanup(move || {
            hidden.remove();
            shown.remove();
            visible.remove();
        });
    }

    /// Reads the stored token. Without one, asks the other tabs for theirs. Responses after three seconds are ignored,
    /// because the user may have begun to log in with another account.
    fn find_session(&self) {
        if let Some(token) = storage::read() {
            return self.try_token(token);
        }
        let requesting = self.requesting;
        self.state.set(State::SignedOut);
        requesting.set(true);
        set_timeout(move || requesting.set(false), Duration::from_secs(3));
        channel::broadcast(&Message::Ask);
    }

    /// Uses a token that has not been checked yet, and checks it.
    fn try_token(&self, token: String) {
        self.state.set(State::Checking { token, error: None });
        let auth = *self;
        spawn_local(async move { auth.check().await });
    }

    fn adopt(&self, token: String) {
        storage::write(&token);
        self.clear_notice();
        self.try_token(token);
    }

    /// Handles a message from another tab.
    fn receive(&self, message: Message) {
        let current = self.token();
        match message {
            // During a logout the session is no longer shared.
            Message::Ask if storage::is_expected() => self.broadcast(Message::Have),
            Message::Have(token) if current.is_none() && self.requesting.get_untracked() => self.adopt(token),
            Message::Ask | Message::Have(_) => {}
            Message::Began { token, account, username } => self.receive_login(token, &account, username),
            Message::Renewed { old, new } => match self.phase_now() {
                // The server rejected the old token before this tab received the new one.
                Phase::SignedOut if self.refused.get_value().as_ref() == Some(&old) => self.adopt(new),
                Phase::SignedOut => {}
                Phase::Checking if current.as_ref() == Some(&old) => self.adopt(new),
                _ => self.replace_token(&old, new),
            },
            Message::LoggedOut(token) => {
                let replaced = self.replaced.get_value().as_ref() == Some(&token);
                if let Some(current) = current.as_ref().filter(|_| replaced) {
                    transport::end(current);
                }
                self.receive_end(replaced || current.as_ref() == Some(&token), AuthState::announce_logout);
            }
            Message::Ended(token) => {
                let is_own = current.as_ref() == Some(&token);
                self.receive_end(is_own, |auth| auth.announce(auth.address.view_now(), Notice::Ended));
                if is_own {
                    self.refused.set_value(Some(token));
                }
            }
        }
    }

    /// Handles a login in another tab. The same account switches to the newer session. Another account never takes over
    /// this tab.
    fn receive_login(&self, new: String, account: &str, username: String) {
        let known = self.state.with_untracked(|state| match state {
            State::SignedIn { token, session } => Some((token.clone(), session.account.id == account)),
            _ => None,
        });
        match (known, self.phase_now()) {
            (Some((old, true)), _) => self.replace_token(&old, new),
            (Some((_, false)), _) | (_, Phase::OtherAccount) => {
                storage::clear();
                self.clear_notice();
                self.state.set(State::OtherAccount { username });
            }
            _ => self.adopt(new),
        }
    }

    /// Handles the end of a session in another tab. It is this tab's session or the one that had replaced it.
    fn receive_end(&self, is_own: bool, announce: fn(&Self)) {
        if is_own || self.phase_now() == Phase::OtherAccount {
            self.forget();
            announce(self);
        }
    }

    fn phase_now(&self) -> Phase {
        untrack(|| self.phase())
    }

    /// Reloads the page, which then copies the session from another tab.
    pub fn reload_page() {
        drop(location().reload());
    }

    /// Handles a change of the view: removes its notice and checks the session with the server. The logout view needs
    /// no check.
    fn follow(&self, last: Option<View>) -> View {
        let view = self.address.view();
        if last.is_some_and(|last| last != view) {
            if self.notice.with_untracked(|notice| notice.as_ref().is_some_and(|(at, _)| *at != view)) {
                self.clear_notice();
            }
            if view != View::LogOut {
                let auth = *self;
                spawn_local(async move { auth.check().await });
            }
        }
        view
    }

    /// Hides the views while the token is being checked.
    fn hide_until_checked(&self) {
        if self.state.with(|state| !matches!(state, State::Unread)) {
            dom::set_hidden_until_checked(self.phase() == Phase::Checking && self.check_error().is_none());
        }
    }
}
