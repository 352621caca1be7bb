//! The link from a mail that was opened, and what stands in the place of one that doesn't work.

use leptos::{either::Either, ev, prelude::*, task::spawn_local};
use server_fn::codec::Json;

use crate::{browser::dom, error::AppError, route::View, session::SessionClient};

/// Whether a link still works, so that nobody chooses a password for one that doesn't. Asking uses nothing up.
///
/// # Errors
/// [`AppError::RateLimited`], [`AppError::Unavailable`].
#[server(
    name = CheckLink, prefix = "/fn", endpoint = "check_link", input = Json, output = Json, client = SessionClient
)]
pub async fn check_link(
    /// The link's token.
    token: String,
) -> Result<bool, AppError> {
    crate::http::context::PageContext::from_request()?.check_link(&token).await
}

/// The link's token. It travels behind the `#` of the address, which no server and no log ever sees, and is taken out of the
/// address bar at once. Until it is used, the history's entry keeps it, so that the page can be reloaded. Cheap to copy.
#[derive(Clone, Copy)]
pub struct LinkToken(RwSignal<Link>);

#[derive(Clone, PartialEq, Eq)]
enum Link {
    /// The page isn't live yet.
    Unread,
    Opened(String),
    /// The address was typed, or the link was cut off.
    Missing,
    Dead,
}

impl LinkToken {
    /// Takes it from the address as soon as the page is live, and again when another link is opened in this tab. Then it asks
    /// the server whether the link works.
    #[must_use]
    pub fn take() -> Self {
        let link = Self(RwSignal::new(Link::Unread));
        Effect::new(move |_| {
            link.0.set(dom::take_fragment().or_else(dom::kept_link).map_or(Link::Missing, Link::Opened));
            let opened = window_event_listener(ev::hashchange, move |_| {
                if let Some(another) = dom::take_fragment() {
                    link.0.set(Link::Opened(another));
                }
            });
            on_cleanup(move || opened.remove());
        });
        Effect::new(move |_| {
            let Link::Opened(token) = link.0.get() else { return };
            spawn_local(async move {
                // If the server can't tell now, it does when the form is sent. Another link may have been opened meanwhile.
                if let Ok(false) = check_link(token.clone()).await
                    && link.get() == token
                {
                    link.die();
                }
            });
        });
        link
    }

    /// The token; empty if there is none.
    #[must_use]
    pub fn get(self) -> String {
        self.0
            .try_with_untracked(|link| if let Link::Opened(token) = link { token.clone() } else { String::new() })
            .unwrap_or_default()
    }

    /// The link was used. The history forgets it.
    pub fn used(self) {
        dom::forget_link();
    }

    /// The server has refused the link.
    pub fn die(self) {
        dom::forget_link();
        if self.0.try_set(Link::Dead).is_none() {
            dom::focus_heading();
        }
    }
}

/// Where to go on from a link that doesn't work.
#[derive(Clone, Copy)]
pub struct WayOut {
    /// Why it may not work.
    pub why: &'static str,
    /// The button.
    pub label: &'static str,
    /// Where the button leads.
    pub to: View,
}

impl WayOut {
    /// Another link.
    #[must_use]
    pub const fn new_link(to: View) -> Self {
        Self { why: "It has expired, was already used, or was replaced by a newer one.", label: "Send a new link", to }
    }
}

/// The view that a link leads to; or another one, if the link doesn't work.
pub fn followed<V: IntoView + 'static>(link: LinkToken, way_out: WayOut, view: fn(LinkToken) -> V) -> impl IntoView {
    let broken = Memo::new(move |_| {
        link.0.with(|link| match link {
            Link::Unread | Link::Opened(_) => None,
            Link::Missing => Some(("This link is incomplete", "Open the link in your email again.")),
            Link::Dead => Some(("This link no longer works", way_out.why)),
        })
    });
    move || match broken.get() {
        None => Either::Left(view(link)),
        Some((heading, why)) => Either::Right(view! {
            <h1 tabindex="-1">{heading}</h1>
            <p class="lead">{why}</p>
            <p class="actions">
                <a class="button" href=way_out.to.path()>
                    {way_out.label}
                </a>
            </p>
        }),
    }
}
