//! The link from a mail, and the view that is shown if the link doesn't work.

use leptos::{either::Either, ev, prelude::*, task::spawn_local};
use serde::{Deserialize, Serialize};

use crate::{browser::dom, error::AppError, json::Json, route::View, session::BearerTransport};

/// A valid link.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ValidLink {
    /// The only email that can register with it, if it is an invitation for one.
    email: Option<String>,
}

/// Checks whether a link is still valid, before the user chooses a password for it. The check does not use the link up.
/// Returns `None` if it is invalid.
#[server(
    name = CheckLink, prefix = "/fn", endpoint = "check_link", input = Json, output = Json, client = BearerTransport
)]
pub async fn check_link(
    /// The link's token.
    token: String,
) -> Result<Option<ValidLink>, AppError> {
    use crate::{
        domain::token::{Token, TokenKind},
        http::context::PageContext,
    };

    let context = PageContext::from_request()?;
    let (service, caller) = (context.service(), &context.caller);
    if let Some(invitation) = Token::parse(TokenKind::Invitation, &token) {
        return match service.require_invitation(caller, &invitation).await.map_err(AppError::from) {
            Ok(invitation) => Ok(Some(ValidLink { email: invitation.email })),
            Err(AppError::InvitationInvalid) => Ok(None),
            Err(error) => Err(error),
        };
    }
    let Some(link) = Token::parse(TokenKind::Link, &token) else { return Ok(None) };
    let is_valid = service.check_link(caller, &link).await?;
    Ok(is_valid.then_some(ValidLink { email: None }))
}

/// The link's token. It arrives in the fragment of the URL, which reaches no server and no log, and is removed from the
/// address bar at once. Until it is used, it is stored in the history entry, so that the page can be reloaded. Cheap to
/// copy.
#[derive(Clone, Copy)]
pub struct LinkToken(RwSignal<Link>);

#[derive(Clone, PartialEq, Eq)]
enum Link {
    /// The page has not started yet.
    Unread,
    Opened(String),
    /// The server was asked about the link and has not rejected it. With the email of an invitation for one.
    Checked(String, Option<String>),
    /// The URL has no token: it was typed, or the link was truncated.
    Missing,
    Dead,
}

impl LinkToken {
    /// Reads the token from the URL once the page has started, and again when another link is opened in this tab. Then
    /// asks the server whether the link is valid.
    #[must_use]
    pub fn take() -> Self {
        let link = Self(RwSignal::new(Link::Unread));
        Effect::new(move |_| {
            link.0.set(dom::take_fragment().or_else(dom::stored_link).map_or(Link::Missing, Link::Opened));
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
                // If this check fails, the server checks again when the form is sent. Another link may have been opened
                // meanwhile.
                let checked = check_link(token.clone()).await;
                if link.get() == token {
                    match checked {
                        Ok(None) => link.invalidate(),
                        Ok(Some(ValidLink { email })) => drop(link.0.try_set(Link::Checked(token, email))),
                        Err(_) => drop(link.0.try_set(Link::Checked(token, None))),
                    }
                }
            });
        });
        link
    }

    /// The token; empty if there is none.
    #[must_use]
    pub fn get(self) -> String {
        self.0
            .try_with_untracked(|link| match link {
                Link::Opened(token) | Link::Checked(token, _) => token.clone(),
                Link::Unread | Link::Missing | Link::Dead => String::new(),
            })
            .unwrap_or_default()
    }

    /// The email for which the link is an invitation, if it is one for a certain email. `None` until the server was asked.
    #[must_use]
    pub fn checked(self) -> Option<Option<String>> {
        self.0.with(|link| if let Link::Checked(_, email) = link { Some(email.clone()) } else { None })
    }

    /// Removes the used link from the history entry.
    pub fn used(self) {
        dom::forget_link();
    }

    /// Marks the link as invalid after the server has rejected it.
    pub fn invalidate(self) {
        dom::forget_link();
        if self.0.try_set(Link::Dead).is_none() {
            dom::focus_heading();
        }
    }
}

/// What to do if the link of a mail is incomplete.
pub const INCOMPLETE: &str = "Open the link in your email again.";

/// What to show and offer if a link doesn't work.
#[derive(Clone, Copy)]
pub struct Fallback {
    /// What to do if the URL has no token.
    pub missing: &'static str,
    /// The possible reasons.
    pub why: &'static str,
    /// The button's label.
    pub label: &'static str,
    /// The view that the button opens.
    pub to: View,
}

impl Fallback {
    /// Offers to request a new link.
    #[must_use]
    pub const fn new_link(to: View) -> Self {
        Self {
            missing: INCOMPLETE,
            why: "It has expired, or was already used, cancelled or replaced by a newer one.",
            label: "Send a new link",
            to,
        }
    }
}

/// Shows the view that a link leads to, or the fallback if the link doesn't work.
pub fn followed<V: IntoView + 'static>(link: LinkToken, fallback: Fallback, view: fn(LinkToken) -> V) -> impl IntoView {
    let broken = Memo::new(move |_| {
        link.0.with(|link| match link {
            Link::Unread | Link::Opened(_) | Link::Checked(..) => None,
            Link::Missing => Some(("This link is incomplete", fallback.missing)),
            Link::Dead => Some(("This link no longer works", fallback.why)),
        })
    });
    move || match broken.get() {
        None => Either::Left(view(link)),
        Some((heading, why)) => Either::Right(view! {
            <h1 tabindex="-1">{heading}</h1>
            <p class="lead">{why}</p>
            <p class="actions">
                <a class="button" href=fallback.to.path()>
                    {fallback.label}
                </a>
            </p>
        }),
    }
}
