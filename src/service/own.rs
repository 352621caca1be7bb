//! What people do with accounts of their own. What matters most wants the password to have been proven lately (ASVS 7.5.1).

use std::sync::Arc;

use super::{CLOCK_TOLERANCE, Caller, Error, Service, hasher::Place, registration::invalid, strength};
use crate::{
    domain::{
        account::{Account, Export, ExportedSession, SessionLine},
        client,
        email::Email,
        password::Password,
        time::Timestamp,
        token::Token,
        username::Username,
    },
    error::{AppError, Field, FieldProblem, Problem},
    store::{KeptSession, Session, User},
};

/// A session in which the password was proven lately. Only [`Service::proven`] makes one, and what matters takes nothing
/// else, so that no door and no later change can leave the question out.
#[derive(Debug)]
struct Proven(Arc<Session>);

/// A change of one's password, each field checked.
#[derive(Debug)]
pub struct PasswordChange {
    current: String,
    new: Password,
}

impl PasswordChange {
    /// Reads the two fields; a missing one is `None`. The current password is only compared, whatever it is.
    ///
    /// # Errors
    /// [`AppError::Invalid`] with what is wrong with either field.
    pub fn parse(current: Option<&str>, new: Option<&str>) -> Result<Self, AppError> {
        let current = current.filter(|text| !text.is_empty()).ok_or(Problem::Missing);
        let new = new.filter(|text| !text.is_empty()).ok_or(Problem::Missing).and_then(Password::parse);
        match (current, new) {
            (Ok(current), Ok(new)) => Ok(Self { current: current.to_owned(), new }),
            (current, new) => {
                let problems = [(Field::CurrentPassword, current.err()), (Field::NewPassword, new.err())];
                let problems =
                    problems.into_iter().filter_map(|(field, p)| p.map(|problem| FieldProblem { field, problem }));
                Err(AppError::Invalid(problems.collect()))
            }
        }
    }
}

impl Service {
    /// The session behind a token, if its user has proven the password lately.
    ///
    /// # Errors
    /// [`AppError::ReauthRequired`] if not, and as [`Service::authenticate`].
    async fn proven(&self, token: &Token) -> Result<Proven, Error> {
        let session = self.authenticate(token).await?;
        let now = self.clock.now();
        // A proof from a clock's future would count for too long.
        if now.since(session.proven_at) >= self.policy.proof_lasts || session.proven_at > now.plus(CLOCK_TOLERANCE) {
            return Err(AppError::ReauthRequired.into());
        }
        Ok(Proven(session))
    }

    /// Proves the password again in the session behind a token. Returns until when that counts.
    ///
    /// # Errors
    /// [`AppError::WrongPassword`], [`AppError::Throttled`], [`AppError::Unavailable`], and as
    /// [`Service::authenticate`].
    pub async fn confirm_password(&self, caller: &Caller, token: &Token, password: &str) -> Result<Timestamp, Error> {
        let session = self.authenticate(token).await?;
        let (hash, _place) = self.compare_own(caller, &session.user, password).await?;
        let now = self.clock.now();
        if !self.store.note_proof(&token.hash(), &hash, now).await? {
            return Err(self.overtaken(token).await);
        }
        tracing::info!(user = %session.user.id, "password confirmed");
        Ok(now.plus(self.policy.proof_lasts))
    }

    /// Changes the password of whoever is logged in, and ends every session but theirs. Returns how many ended.
    ///
    /// # Errors
    /// [`AppError::WrongPassword`], [`AppError::Invalid`] for a new password that is too weak, [`AppError::Throttled`],
    /// [`AppError::Unavailable`], and as [`Service::authenticate`].
    pub async fn change_password(
        &self,
        caller: &Caller,
        token: &Token,
        PasswordChange { current, new }: PasswordChange,
    ) -> Result<u64, Error> {
        let session = self.authenticate(token).await?;
        let user = &session.user;
        let (old, place) = self.compare_own(caller, user, &current).await?;
        let new = self.hash_new(&place, user, Field::NewPassword, new).await?;
        let changed = self.store.change_password(&user.id, (&old, &new), &session.id, self.clock.now()).await?;
        let Some(sessions) = changed else { return Err(self.overtaken(token).await) };
        tracing::info!(user = %user.id, sessions, "password changed");
        Ok(sessions)
    }

    /// The sessions of whoever is logged in, the last used first.
    ///
    /// # Errors
    /// As [`Service::authenticate`].
    pub async fn list_sessions(&self, token: &Token) -> Result<Vec<SessionLine>, Error> {
        let asking = self.authenticate(token).await?;
        let now = self.clock.now();
        let kept = self.store.list_sessions(&asking.user.id, now.minus(self.policy.session_idle), now).await?;
        Ok(kept.into_iter().map(|session| session_line(session, &asking)).collect())
    }

    /// Ends one session of whoever is logged in. When this returns, no server lets its token in any more.
    ///
    /// # Errors
    /// [`AppError::NotFound`] if they have none of that name, whoever else has; and as [`Service::proven`].
    pub async fn end_session(&self, token: &Token, session: &str) -> Result<(), Error> {
        let Proven(asking) = self.proven(token).await?;
        if !self.store.end_session_of(&asking.user.id, session).await? {
            return Err(AppError::NotFound.into());
        }
        tracing::info!(user = %asking.user.id, "a session was ended");
        Ok(())
    }

    /// Ends every session of whoever is logged in but theirs. Returns how many ended.
    ///
    /// # Errors
    /// As [`Service::proven`].
    pub async fn end_other_sessions(&self, token: &Token) -> Result<u64, Error> {
        let Proven(asking) = self.proven(token).await?;
        let sessions = self.store.end_other_sessions(&asking.user.id, &asking.id).await?;
        tracing::info!(user = %asking.user.id, sessions, "all other sessions were ended");
        Ok(sessions)
    }

    /// Gives the account of whoever is logged in another username. Returns the account.
    ///
    /// # Errors
    /// [`AppError::Invalid`] if somebody has it, and as [`Service::proven`].
    pub async fn change_username(&self, token: &Token, username: &Username) -> Result<Account, Error> {
        let Proven(asking) = self.proven(token).await?;
        if !self.store.rename_user(&asking.user.id, username).await? {
            return Err(invalid(Field::Username, Problem::UsernameTaken));
        }
        tracing::info!(user = %asking.user.id, "username changed");
        Ok(User { username: username.as_str().to_owned(), ..asking.user.clone() }.into())
    }

    /// Everything that is kept about whoever is logged in.
    ///
    /// # Errors
    /// As [`Service::proven`].
    pub async fn export(&self, token: &Token) -> Result<Export, Error> {
        let Proven(asking) = self.proven(token).await?;
        let user = &asking.user;
        let ever = Timestamp::from_millis(i64::MIN);
        let kept = self.store.list_sessions(&user.id, ever, ever).await?;
        let time = |millis| Timestamp::from_millis(millis).to_rfc3339();
        let sessions = kept.into_iter().map(|session| ExportedSession {
            client_name: session.name.clone(),
            previous_login_at: session.previous_login_at.map(time),
            proven_at: time(session.proven_at),
            line: session_line(session, &asking),
        });
        let last_login_at = self.store.last_login(&user.id).await?.map(Timestamp::to_rfc3339);
        tracing::info!(user = %user.id, "data taken along");
        Ok(Export { account: user.clone().into(), last_login_at, sessions: sessions.collect() })
    }

    /// Removes the account of whoever is logged in, with everything that is kept about them. `typed` is their username, so
    /// that nobody does it by mistake.
    ///
    /// # Errors
    /// [`AppError::Invalid`] if it is another, and as [`Service::proven`].
    pub async fn delete_account(&self, token: &Token, typed: &str) -> Result<(), Error> {
        let Proven(asking) = self.proven(token).await?;
        let same = |typed: Username| Username::parse(&asking.user.username).is_ok_and(|own| own.key() == typed.key());
        if !Username::parse(typed).is_ok_and(same) {
            return Err(invalid(Field::Username, Problem::UsernameNotYours));
        }
        self.store.delete_user(&asking.user.id).await?;
        tracing::info!(user = %asking.user.id, "account deleted");
        Ok(())
    }

    /// Judges a new password for an account, and hashes it.
    pub(super) async fn hash_new(
        &self,
        place: &Place<'_>,
        user: &User,
        field: Field,
        password: Password,
    ) -> Result<String, Error> {
        let stored = |_| Error::Fault(format!("the stored names of account {} can't be read", user.id));
        let (email, username) = (Email::parse(&user.email), Username::parse(&user.username));
        let (email, username) = (email.map_err(stored)?, username.map_err(stored)?);
        let least = self.policy.password_least;
        let judged = place.compute(move || strength::check(&password, &email, &username, least).map(|()| password));
        let password = judged.await?.map_err(|problem| invalid(field, problem))?;
        place.hash(password, self.new_salt()).await
    }

    /// Why a password that was right a moment ago isn't any more: the session has ended, or a login beside this has renewed
    /// the password's hash.
    async fn overtaken(&self, token: &Token) -> Error {
        match self.authenticate(token).await {
            Ok(_) => AppError::Unavailable { retry_after: 1 }.into(),
            Err(error) => error,
        }
    }
}

fn session_line(session: KeptSession, asking: &Session) -> SessionLine {
    let time = |millis| Timestamp::from_millis(millis).to_rfc3339();
    SessionLine {
        current: session.id == asking.id,
        id: session.id,
        client: client::in_words(&session.name),
        network: session.network,
        created_at: time(session.created_at),
        last_seen_at: time(session.last_seen_at),
        expires_at: time(session.expires_at),
    }
}
