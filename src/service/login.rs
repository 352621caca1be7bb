//! Logging in and starting sessions.

use super::{
    Caller, Error, Service,
    entropy::{new_id, new_token},
    passwords::{Attempt, Verdict},
    uncancelled,
};
use crate::{
    domain::{
        account::{CurrentSession, LoginResult},
        event::{Actor, Credential, EventName},
        identifier::Identifier,
        time::{CLOCK_TOLERANCE, Timestamp},
        token::TokenKind,
        user_agent,
    },
    error::AppError,
    store::{LoginRecord, NewSession, SessionCap, User},
};

impl Service {
    /// Checks a password and starts a session.
    ///
    /// An unknown account, a wrong password, a disabled account and a password that is too long take the same work
    /// and get the same response. Only a client that knows the password learns that the email must be confirmed, or the
    /// account approved.
    pub async fn log_in(&self, caller: &Caller, identifier: &str, password: &str) -> Result<LoginResult, Error> {
        let login = self.try_log_in(caller, identifier, password).await;
        self.counts.logins.count((&login).into());
        login
    }

    async fn try_log_in(&self, caller: &Caller, identifier: &str, password: &str) -> Result<LoginResult, Error> {
        let parsed = Identifier::parse(identifier);
        let of = self.rate_limits.login_of(caller, parsed.clone(), identifier);
        let by = (EventName::LoginFail, caller.acting_anonymously());
        let attempt = self.passwords.attempt(caller, of, password, by).await?;
        let Attempt { slot, mut reserved, password, user, mut stored, network_seen_at } = attempt;
        while let Verdict::Right { renewed } = self.passwords.verify(&slot, password.clone(), stored.clone()).await?
            && let (Some(user), Some(hash)) = (&user, stored.take())
        {
            if self.policy.require_verified_email && user.email_verified_at.is_none() {
                reserved.right().await?;
                return Err(AppError::EmailUnverified.into());
            }
            if user.pending_since.is_some() {
                reserved.right().await?;
                return Err(AppError::ApprovalPending.into());
            }
            let login = reserved.login_record(caller, &user.id, network_seen_at);
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
            if let Some(login) = begun {
                return Ok(login);
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

    /// Starts a session. Returns `None` if the account is disabled or waits for approval, or its password hash has
    /// changed since the comparison.
    pub(super) async fn begin_session(
        &self,
        caller: &Caller,
        user: &User,
        hash: &str,
        renewed: Option<String>,
        login: LoginRecord,
    ) -> Result<Option<LoginResult>, Error> {
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
            name: caller.name(),
            created_at: now,
            expires_at: now.plus(self.policy.session_max_lifetime),
            network: user_agent::network(caller.address),
        };
        let expires_at = session.expires_at.to_rfc3339();
        let cap = SessionCap {
            most: self.policy.sessions_per_user,
            unused_since: now.minus(self.policy.session_idle),
            created_until: now.plus(CLOCK_TOLERANCE),
        };
        let credential = Some(Credential::Session(session.id.clone()));
        let actor = Actor::Account { id: user.id.clone(), credential };
        let stamp = self.stamp(caller.acting_as(actor));
        let Some(begun) = self.store.begin_session(session, hash, cap, login, stamp).await? else { return Ok(None) };
        tracing::info!(user = %user.id, "logged in");
        let previous_login_at = begun.previous_login_at.map(Timestamp::to_rfc3339);
        let session = CurrentSession { account: user.clone().into(), expires_at, previous_login_at };
        Ok(Some(LoginResult { token: token.expose().to_owned(), session }))
    }
}
