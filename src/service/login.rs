//! Logging in. Every entry point verifies passwords here.

use super::{
    Caller, Error, Service,
    entropy::{new_id, new_token},
    hasher::{Slot, Verdict},
    rate_limits::{CountedLogin, ReservedLogin},
    uncancelled,
};
use crate::{
    domain::{
        account::{CurrentSession, SignIn},
        identifier::Identifier,
        password::Password,
        time::{CLOCK_TOLERANCE, Timestamp},
        token::TokenKind,
        user_agent,
    },
    error::AppError,
    store::{LoginCounter, LoginMade, LoginOf, NewSession, SessionCap, User},
};

/// A counted attempt with its slot in the hashing queue.
struct Attempt<'a> {
    place: Slot<'a>,
    reserved: ReservedLogin,
    password: Password,
    user: Option<User>,
    /// The hash to compare with. `None` if no account can match.
    stored: Option<String>,
    network_seen_at: Option<Timestamp>,
}

/// The credential that accompanies a password.
#[derive(Clone, Copy)]
pub(super) enum Prover<'a> {
    /// A session, by its identifier.
    Session(&'a str),
    /// A link from a mail to the account's owner.
    Link,
}

impl Service {
    /// Checks a password and starts a session.
    ///
    /// An unknown account, a wrong password, a disabled account and a password that is too long take the same work
    /// and get the same response.
    pub async fn log_in(&self, caller: &Caller, identifier: &str, password: &str) -> Result<SignIn, Error> {
        let parsed = Identifier::parse(identifier);
        let of = self.rate_limits.login_of(caller, parsed.clone(), identifier);
        let attempt = self.attempt(caller, of, password).await?;
        let Attempt { place, mut reserved, password, user, mut stored, network_seen_at } = attempt;
        while let Verdict::Right { renewed } = place.verify(password.clone(), stored.clone(), self.new_salt()).await?
            && let (Some(user), Some(hash)) = (&user, stored.take())
        {
            // A client that knows the password may learn that the email is not confirmed.
            if self.policy.require_verified_email && user.email_verified_at.is_none() {
                reserved.right().await?;
                return Err(AppError::EmailUnverified.into());
            }
            let login = reserved.login_made(caller, &user.id, network_seen_at);
            let (service, caller, user, compared) = (self.clone(), caller.clone(), user.clone(), hash.clone());
            // Completed even if the client disconnects: starting a session settles the attempt, which must happen
            // only once.
            let beginning = uncancelled(async move {
                let begun = Box::pin(service.begin_session(&caller, &user, &compared, renewed, login)).await?;
                if begun.is_some() {
                    reserved.settled_elsewhere();
                }
                Ok((begun, reserved))
            });
            let (begun, unsettled) = beginning.await?;
            if let Some(sign_in) = begun {
                return Ok(sign_in);
            }
            reserved = unsettled;
            // The stored hash has changed: the password was changed, or a concurrent login rehashed the same one.
            let known = self.store.find_credential(&parsed).await?;
            stored = known.map(|known| known.password_hash).filter(|current| *current != hash);
        }
        reserved.failed().await;
        let address = self.policy.log_addresses.then(|| caller.address.to_string());
        tracing::info!(user = user.map_or("unknown".to_owned(), |user| user.id), address, "login failed");
        Err(AppError::BadCredentials.into())
    }

    /// Counts an attempt and looks up the hash to compare with.
    async fn attempt(&self, caller: &Caller, of: LoginOf, password: &str) -> Result<Attempt<'_>, Error> {
        // Checked first, so that a rate-limited address takes no slot in the queue.
        let addresses = self.rate_limits.login_addresses(caller)?;
        let place = self.hasher.enqueue()?;
        let CountedLogin { known, network_seen_at, reserved } = self.rate_limits.count_login(of, addresses).await?;
        let (place, reserved) = match reserved {
            Ok(reserved) => (place, reserved),
            Err(counter) => {
                // A waiting login takes no slot in the hashing queue.
                drop(place);
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
        Ok(Attempt { place, reserved, password, user: known.map(|known| known.user), stored, network_seen_at })
    }

    /// Verifies the current password of an account that is known by a session or a link. Returns the hash it was
    /// compared with, and the slot in the queue for further hashing.
    ///
    /// Failures have a separate counter. A stolen token therefore can't be used to guess the password, and strangers'
    /// failed logins don't prevent the owner from confirming it.
    pub(super) async fn verify_current_password(
        &self,
        caller: &Caller,
        (user, prover): (&User, Prover<'_>),
        password: &str,
    ) -> Result<(String, Slot<'_>), Error> {
        let key = match prover {
            Prover::Session(id) => format!("session:{id}"),
            Prover::Link => format!("link:{}", user.id),
        };
        let counter = LoginCounter { key, owners: true };
        let of = LoginOf::Owner { identifier: Identifier::parse(&user.email), counter };
        let Attempt { place, reserved, password, user: known, stored, .. } = self.attempt(caller, of, password).await?;
        let stored = stored.filter(|_| known.is_some_and(|known| known.id == user.id));
        let verdict = place.verify(password, stored.clone(), self.new_salt()).await?;
        if let (Verdict::Right { .. }, Some(stored)) = (verdict, stored) {
            // Settled immediately, so that retries with a stronger new password are not delayed.
            reserved.right().await?;
            return Ok((stored, place));
        }
        reserved.failed().await;
        tracing::info!(user = %user.id, "password confirmation failed");
        Err(AppError::WrongPassword.into())
    }

    /// Starts a session. Returns `None` if the account was disabled, or its password hash has changed since the
    /// comparison.
    pub(super) async fn begin_session(
        &self,
        caller: &Caller,
        user: &User,
        hash: &str,
        renewed: Option<String>,
        login: LoginMade,
    ) -> Result<Option<SignIn>, Error> {
        let hash = match renewed {
            Some(renewed) if self.store.renew_hash(&user.id, hash, &renewed).await? => renewed,
            _ => hash.to_owned(),
        };
        let token = new_token(&*self.entropy, TokenKind::Session);
        let now = self.clock.now();
        let session = NewSession {
            id: new_id(&*self.entropy, now),
            user_id: user.id.clone(),
            token_hash: token.hash(),
            name: session_name(&caller.agent),
            created_at: now,
            expires_at: now.plus(self.policy.session_max_lifetime),
            network: user_agent::network(caller.address),
        };
        let expires_at = session.expires_at.to_rfc3339();
        let cap = SessionCap {
            most: self.policy.sessions_per_user,
            unused_since: now.minus(self.policy.session_idle),
            begun_until: now.plus(CLOCK_TOLERANCE),
        };
        let Some(begun) = self.store.begin_session(session, hash, cap, login).await? else { return Ok(None) };
        tracing::info!(user = %user.id, "logged in");
        let previous_login_at = begun.previous_login_at.map(Timestamp::to_rfc3339);
        let session = CurrentSession { account: user.clone().into(), expires_at, previous_login_at };
        Ok(Some(SignIn { token: token.expose().to_owned(), session }))
    }
}

/// Derives a session's name from the `User-Agent`, without characters that could harm a terminal or a page. It is
/// empty for a client without a `User-Agent`.
fn session_name(agent: &str) -> String {
    let name: String = agent.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(200).collect();
    name.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_name_is_plain_text_r37() {
        assert_eq!(session_name("curl/8.5\u{1b}[2J\r\n"), "curl/8.5[2J");
        assert_eq!(session_name(" \t"), "");
        assert_eq!(session_name(&"a".repeat(1000)).len(), 200);
    }
}
