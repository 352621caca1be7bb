//! Logging in: the one verifier for every way in.

use super::{
    Caller, Error, Service,
    entropy::new_token,
    hasher::{Place, Verdict},
    name_key::NameKey,
};
use crate::{
    domain::{
        account::{Identity, SignIn},
        client,
        identifier::Identifier,
        password::Password,
        time::{CLOCK_TOLERANCE, Timestamp},
        token::Kind,
    },
    error::AppError,
    store::{Credential, LoginAttempt, LoginCount, NewSession, SessionCap, User},
};

/// An attempt that was counted, with its place in the queue for hashing.
struct Attempt<'a> {
    place: Place<'a>,
    password: Password,
    user: Option<User>,
    /// The hash to compare with, unless there is no account that could be meant.
    stored: Option<String>,
}

impl Service {
    /// Checks a password and begins a session. Every failing way takes the same work and ends in the same answer:
    /// unknown, wrong, disabled, too long.
    ///
    /// # Errors
    /// [`AppError::BadCredentials`], [`AppError::EmailUnverified`], [`AppError::Throttled`], [`AppError::Unavailable`].
    pub async fn log_in(&self, caller: &Caller, identifier: &str, password: &str) -> Result<SignIn, Error> {
        let Attempt { place, password, user, mut stored } = self.attempt(caller, identifier, password).await?;
        while let Verdict::Right { renewed } = place.verify(password.clone(), stored.clone(), self.new_salt()).await?
            && let (Some(user), Some(hash)) = (&user, stored.take())
        {
            // Who knows the password may know that this is what is missing.
            if self.policy.require_verified_email && user.email_verified_at.is_none() {
                self.store.forget_failures(&user.id).await?;
                return Err(AppError::EmailUnverified.into());
            }
            if let Some(sign_in) = self.begin_session(caller, user, &hash, renewed).await? {
                return Ok(sign_in);
            }
            // The hash is another by now: of a new password, or of the same one, renewed by a login beside this one.
            let known = self.store.find_credential(&Identifier::parse(identifier)).await?;
            stored = known.map(|known| known.password_hash).filter(|current| *current != hash);
        }
        let address = self.policy.log_addresses.then(|| caller.address.to_string());
        tracing::info!(user = user.map_or("unknown".to_owned(), |user| user.id), address, "login failed");
        Err(AppError::BadCredentials.into())
    }

    /// Counts an attempt and looks up what its password is to be compared with.
    async fn attempt(&self, caller: &Caller, identifier: &str, password: &str) -> Result<Attempt<'_>, Error> {
        // Before anything else, so that an address that is held back takes nobody's place.
        let address = self.free_address("login", caller)?;
        let place = self.hasher.enqueue()?;
        let credential = self.count_attempt(&address, identifier).await?;
        // A password that is too long can't be anybody's; it is compared like any wrong one, in the same time.
        let (password, possible) = match Password::parse(password) {
            Ok(password) => (password, true),
            Err(_) => (Password::parse("x").map_err(|_| AppError::BadCredentials)?, false),
        };
        // A closed account is compared like none at all, so that not even an older hash makes it stand out.
        let open = credential.as_ref().filter(|known| possible && known.user.disabled_at.is_none());
        let stored = open.map(|known| known.password_hash.clone());
        Ok(Attempt { place, password, user: credential.map(|known| known.user), stored })
    }

    /// Compares a password with that of whoever is logged in, under the throttles of a login: a stolen token must be no
    /// way to guess it. Returns the hash that it was compared with, and the place in the queue for what follows.
    ///
    /// # Errors
    /// [`AppError::WrongPassword`], [`AppError::Throttled`], [`AppError::Unavailable`].
    pub(super) async fn compare_own(
        &self,
        caller: &Caller,
        user: &User,
        password: &str,
    ) -> Result<(String, Place<'_>), Error> {
        let Attempt { place, password, user: known, stored } = self.attempt(caller, &user.email, password).await?;
        let stored = stored.filter(|_| known.is_some_and(|known| known.id == user.id));
        let verdict = place.verify(password, stored.clone(), self.new_salt()).await?;
        if let (Verdict::Right { .. }, Some(stored)) = (verdict, stored) {
            // At once, so that whoever then looks for a good enough new password doesn't have to wait.
            self.store.forget_failures(&user.id).await?;
            return Ok((stored, place));
        }
        tracing::info!(user = %user.id, "a password was not confirmed");
        Err(AppError::WrongPassword.into())
    }

    /// Looks the account up and counts the attempt, on the address and on the account, before any hash is spent on it.
    async fn count_attempt(&self, address: &str, identifier: &str) -> Result<Option<Credential>, Error> {
        let parsed = Identifier::parse(identifier);
        let ghost = ghost_key(&self.names, identifier, &parsed);
        let attempt = LoginAttempt { address, identifier: &parsed, ghost: &ghost };
        let (rules, now) = ((self.policy.login, self.policy.account), self.clock.now());
        match self.store.count_login(attempt, rules, now).await? {
            LoginCount::Counted(known) => Ok(known),
            LoginCount::AddressHeld(wait) => Err(self.hold(address, now, wait)),
            LoginCount::AccountHeld(wait) => {
                tracing::info!("login held back for its account");
                Err(Error::throttled(wait))
            }
        }
    }

    /// `None` if the account is closed by now, or its password's hash is no longer the one that was compared.
    async fn begin_session(
        &self,
        caller: &Caller,
        user: &User,
        hash: &str,
        renewed: Option<String>,
    ) -> Result<Option<SignIn>, Error> {
        let hash = match renewed {
            Some(renewed) if self.store.renew_hash(&user.id, hash, &renewed).await? => renewed,
            _ => hash.to_owned(),
        };
        let token = new_token(&*self.entropy, Kind::Session);
        let now = self.clock.now();
        let session = NewSession {
            id: self.new_id(),
            user_id: user.id.clone(),
            token_hash: token.hash(),
            name: session_name(&caller.agent),
            created_at: now,
            expires_at: now.plus(self.policy.session_absolute),
            network: client::network(caller.address),
        };
        let expires_at = session.expires_at.to_rfc3339();
        let cap = SessionCap {
            most: self.policy.sessions_per_user,
            unused_since: now.minus(self.policy.session_idle),
            begun_until: now.plus(CLOCK_TOLERANCE),
        };
        let Some(begun) = self.store.begin_session(session, hash, cap).await? else { return Ok(None) };
        tracing::info!(user = %user.id, "logged in");
        let previous_login_at = begun.previous_login_at.map(Timestamp::to_rfc3339);
        let identity = Identity { account: user.clone().into(), expires_at, previous_login_at };
        Ok(Some(SignIn { token: token.expose().to_owned(), identity }))
    }
}

/// What failed logins of a name without an account are counted under: not the name, for somebody may have typed a password there.
/// One spelling for all cases and forms, like those of real accounts.
fn ghost_key(names: &NameKey, typed: &str, parsed: &Identifier) -> String {
    let canonical = match parsed {
        Identifier::Email(email) => email.key().to_owned(),
        Identifier::Username(username) => username.key().to_owned(),
        Identifier::Nobody => typed.trim().to_lowercase(),
    };
    names.name("nobody:", &canonical)
}

/// A session is called by its client's own name for itself, without anything that could harm a terminal or a page. A client
/// without a name has an empty one.
fn session_name(agent: &str) -> String {
    let name: String = agent.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(200).collect();
    name.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ghost_key(typed: &str) -> String {
        super::ghost_key(&NameKey::new([7; NameKey::LENGTH]), typed, &Identifier::parse(typed))
    }

    #[test]
    fn spellings_of_a_ghost_share_one_count_r88() {
        assert_eq!(ghost_key("Ghost@Example.org"), ghost_key(" ghost@example.ORG"));
        assert_eq!(ghost_key("Ghost"), ghost_key("gHOST "));
        assert_eq!(ghost_key("not valid!"), ghost_key("Not Valid!"));
        assert_ne!(ghost_key("ghost"), ghost_key("ghost2"));
    }

    #[test]
    fn a_ghosts_name_is_not_kept_in_the_clear() {
        assert!(!ghost_key("correct horse battery").contains("horse"));
    }

    #[test]
    fn a_session_name_is_plain_text_r37() {
        assert_eq!(session_name("curl/8.5\u{1b}[2J\r\n"), "curl/8.5[2J");
        assert_eq!(session_name(" \t"), "");
        assert_eq!(session_name(&"a".repeat(1000)).len(), 200);
    }
}
