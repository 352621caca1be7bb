//! Verifying passwords: each attempt is counted before its hash.

use super::{Passwords, Slot, Verdict};
use crate::{
    domain::{
        event::{Actor, EventName, Initiator},
        identifier::Identifier,
        password::Password,
        time::Timestamp,
    },
    error::AppError,
    service::{
        Caller, Error,
        events::actor_in,
        rate_limits::{CountedLogin, FailedAttempt, ReservedLogin},
    },
    store::{LoginCounter, LoginTarget, Session, User},
};

/// A counted attempt with its slot in the hashing queue.
pub struct Attempt<'a> {
    pub slot: Slot<'a>,
    pub reserved: ReservedLogin,
    pub password: Password,
    pub user: Option<User>,
    /// The hash to compare with. `None` if no account can match.
    pub stored: Option<String>,
    pub network_seen_at: Option<Timestamp>,
}

/// How an account is known whose password is verified. Each way has its own count of failures.
#[derive(Clone, Copy)]
pub enum KnownBy<'a> {
    /// A session, by its identifier.
    Session(&'a Session),
    /// A link from a mail to the account's owner.
    Link,
}

impl Passwords {
    /// Counts an attempt and looks up the hash to compare with.
    ///
    /// A failure gets an event with the given name, caused by `by`.
    pub async fn attempt(
        &self,
        caller: &Caller,
        of: LoginTarget,
        password: &str,
        (name, by): (EventName, Initiator),
    ) -> Result<Attempt<'_>, Error> {
        // Checked first, so that a rate-limited address takes no slot in the queue.
        let addresses = self.rate_limits.login_addresses(caller)?;
        let slot = self.hasher.enqueue()?;
        let CountedLogin { known, network_seen_at, reserved } = self.rate_limits.count_login(of, addresses).await?;
        let (slot, mut reserved) = match reserved {
            Ok(reserved) => (slot, reserved),
            Err(counter) => {
                // A waiting login takes no slot in the hashing queue.
                drop(slot);
                Box::pin(self.rate_limits.await_turn(counter, || self.hasher.enqueue())).await?
            }
        };
        let user = known.as_ref().map_or_else(String::new, |known| known.user.id.clone());
        reserved.failure = Some(FailedAttempt { name, user, by });
        // A password that is too long can't be right. It takes the same comparison and time as any wrong one.
        let (password, possible) = match Password::parse(password) {
            Ok(password) => (password, true),
            Err(_) => (Password::parse("x").map_err(|_| AppError::BadCredentials)?, false),
        };
        // A disabled account is treated like an unknown one, so that not even an older hash reveals it.
        let open = known.as_ref().filter(|known| possible && known.user.disabled_at.is_none());
        let stored = open.map(|known| known.password_hash.clone());
        Ok(Attempt { slot, reserved, password, user: known.map(|known| known.user), stored, network_seen_at })
    }

    /// Verifies the current password of an account that is known by a session or a link. Returns the hash it was
    /// compared with, and the slot in the queue for further hashing.
    ///
    /// Failures have a separate counter. A stolen token therefore can't be used to guess the password, and strangers'
    /// failed logins don't prevent the owner from confirming it.
    pub async fn verify_current(
        &self,
        caller: &Caller,
        user: &User,
        known_by: KnownBy<'_>,
        password: &str,
    ) -> Result<(String, Slot<'_>), Error> {
        let (key, event) = match known_by {
            KnownBy::Session(Session { id, .. }) => (format!("session:{id}"), EventName::SessionReauth),
            KnownBy::Link => (format!("link:{}", user.id), EventName::LoginFail),
        };
        let actor = match known_by {
            KnownBy::Session(session) => actor_in(session),
            KnownBy::Link => Actor::Anonymous,
        };
        let counter = LoginCounter { key, owners: true };
        let of = LoginTarget::Owner { identifier: Identifier::parse(&user.email), counter };
        let by = (event, caller.acting_as(actor));
        let Attempt { slot, reserved, password, user: known, stored, .. } =
            self.attempt(caller, of, password, by).await?;
        let stored = stored.filter(|_| known.is_some_and(|known| known.id == user.id));
        let verdict = self.verify(&slot, password, stored.clone()).await?;
        if let (Verdict::Right { .. }, Some(stored)) = (verdict, stored) {
            // Settled immediately, so that retries with a stronger new password are not delayed.
            reserved.right().await?;
            return Ok((stored, slot));
        }
        reserved.failed().await;
        tracing::info!(user = %user.id, "password confirmation failed");
        Err(AppError::WrongPassword.into())
    }
}
