//! Verifying passwords: each attempt is counted before its hash.

use super::{Passwords, Slot, Verdict};
use crate::{
    domain::{identifier::Identifier, password::Password, time::Timestamp},
    error::AppError,
    service::{
        Caller, Error,
        rate_limits::{CountedLogin, ReservedLogin},
    },
    store::{LoginCounter, LoginTarget, User},
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
    Session(&'a str),
    /// A link from a mail to the account's owner.
    Link,
}

impl Passwords {
    /// Counts an attempt and looks up the hash to compare with.
    pub async fn attempt(&self, caller: &Caller, of: LoginTarget, password: &str) -> Result<Attempt<'_>, Error> {
        // Checked first, so that a rate-limited address takes no slot in the queue.
        let addresses = self.rate_limits.login_addresses(caller)?;
        let slot = self.hasher.enqueue()?;
        let CountedLogin { known, network_seen_at, reserved } = self.rate_limits.count_login(of, addresses).await?;
        let (slot, reserved) = match reserved {
            Ok(reserved) => (slot, reserved),
            Err(counter) => {
                // A waiting login takes no slot in the hashing queue.
                drop(slot);
                Box::pin(self.rate_limits.await_turn(counter, || self.hasher.enqueue())).await?
            }
        };
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
        let key = match known_by {
            KnownBy::Session(id) => format!("session:{id}"),
            KnownBy::Link => format!("link:{}", user.id),
        };
        let counter = LoginCounter { key, owners: true };
        let of = LoginTarget::Owner { identifier: Identifier::parse(&user.email), counter };
        let Attempt { slot, reserved, password, user: known, stored, .. } = self.attempt(caller, of, password).await?;
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
