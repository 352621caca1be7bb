//! Operations of users on their accounts.

use std::{fmt, time::Duration};

use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    Caller, Error, Principal, Service,
    entropy::new_token,
    hasher::Slot,
    login::Prover,
    reauth::{Proven, asking},
    registration::{collected, invalid},
};
use crate::{
    domain::{
        account::{
            Account, Export, ExportedLink, ExportedMail, ExportedSession, FailedLogins, KnownNetwork, SessionLine,
        },
        password::Password,
        time::{CLOCK_TOLERANCE, Timestamp},
        token::{Token, TokenKind},
        user_agent,
        username::Username,
    },
    error::{AppError, Field, Problem},
    store::{
        ActiveSessions, Authority, LimitedAction, LinkRecord, MailKind, MailRecord, RateLimit, RenameOutcome, Session,
        SessionRecord, User,
    },
};

/// Limit on username changes per address, because each attempt reveals whether a name is taken.
const RENAMES: RateLimit = RateLimit { burst: 10, interval: Duration::from_mins(6) };

/// A request to change the password. Each field is a valid value or its problem.
pub struct PasswordChange {
    /// It is only compared, so any text is accepted.
    current: Result<Zeroizing<String>, Problem>,
    new: Result<Password, Problem>,
    revoke_access_tokens: bool,
}

impl fmt::Debug for PasswordChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordChange")
    }
}

impl PasswordChange {
    /// Parses the two fields; a missing one is `None`.
    #[must_use]
    pub fn read(current: Option<&str>, new: Option<&str>) -> Self {
        let current = current.filter(|text| !text.is_empty()).ok_or(Problem::Missing);
        let new = new.filter(|text| !text.is_empty()).ok_or(Problem::Missing).and_then(Password::parse);
        Self { current: current.map(|text| Zeroizing::new(text.to_owned())), new, revoke_access_tokens: false }
    }

    /// Sets whether to revoke all personal access tokens as well.
    #[must_use]
    pub fn revoking_access_tokens(self, revoke: bool) -> Self {
        Self { revoke_access_tokens: revoke, ..self }
    }
}

/// The result of a password change.
#[derive(Debug)]
pub struct PasswordChanged {
    /// The new token of the current session.
    pub token: Token,
    /// How many other sessions ended.
    pub sessions_ended: u64,
}

impl Service {
    /// Changes the user's password and notifies the owner by mail.
    ///
    /// All other sessions end, and the current one gets a new token. The account forgets all known networks except
    /// the caller's. On request, personal access tokens are revoked in the same transaction. Returns
    /// [`AppError::Invalid`] if the new password is too weak or if both passwords are rejected.
    pub async fn change_password(
        &self,
        caller: &Caller,
        token: &Token,
        change: PasswordChange,
    ) -> Result<PasswordChanged, Error> {
        let session = self.authenticate(token).await?;
        let user = &session.user;
        let revoke_access_tokens = change.revoke_access_tokens;
        let (old, new, slot) = self.compare_and_judge(caller, &session, change).await?;
        let new = slot.hash(new, self.new_salt()).await?;
        // Counted only now, so that attempts with weak passwords are not limited.
        self.check_action_limit(LimitedAction::Passwords, &user.id).await?;
        let renewed = new_token(&*self.entropy, TokenKind::Session);
        let notice =
            self.mail_of(if revoke_access_tokens { MailKind::PasswordReset } else { MailKind::PasswordChanged });
        let passwords = (old.as_str(), new.as_str());
        let (asking, new_hash, now) = (asking(&session), renewed.hash(), self.clock.now());
        let network = self.known_network(caller, &user.id);
        let renewal = (&new_hash, network.as_str());
        let change = self.store.change_password(asking, renewal, passwords, now, notice.as_ref(), revoke_access_tokens);
        let changed = change.await?;
        let Some(sessions_ended) = changed else { return Err(self.conflict_reason(token).await) };
        self.notify_worker();
        tracing::info!(user = %user.id, sessions_ended, revoke_access_tokens, "password changed");
        Ok(PasswordChanged { token: renewed, sessions_ended })
    }

    /// Verifies the current password and judges the new one, so that one response contains the problems of both.
    /// Returns the hash of the current password, the new password, and a slot in the queue for hashing it.
    async fn compare_and_judge(
        &self,
        caller: &Caller,
        session: &Session,
        PasswordChange { current, new, .. }: PasswordChange,
    ) -> Result<(String, Password, Slot<'_>), Error> {
        let user = &session.user;
        let new = match new {
            Ok(new) => self.judge_for(Some(caller), user, &new).await?.map_or(Ok(new), Err),
            refused => refused,
        };
        let both =
            |current, new| Err(collected([(Field::CurrentPassword, Some(current)), (Field::NewPassword, new)]).into());
        let current = match current {
            Ok(current) => current,
            Err(problem) => return both(problem, new.err()),
        };
        let (old, slot) =
            match (self.verify_current_password(caller, (user, Prover::Session(&session.id)), &current).await, &new) {
                (Ok(compared), _) => compared,
                (Err(Error::Refused(AppError::WrongPassword)), Err(problem)) => {
                    return both(Problem::PasswordWrong, Some(problem.clone()));
                }
                (Err(error), _) => return Err(error),
            };
        let new = new.map_err(|problem| invalid(Field::NewPassword, problem))?;
        if Password::parse(&current).is_ok_and(|current| current == new) {
            return Err(invalid(Field::NewPassword, Problem::PasswordSame));
        }
        Ok((old, new, slot))
    }

    /// Lists the user's sessions: the current one, then the others by their last use, the latest first.
    pub async fn list_sessions(&self, token: &Token) -> Result<Vec<SessionLine>, Error> {
        let asking = self.authenticate_any(token).await?;
        let now = self.clock.now();
        let unused_since = now.minus(self.policy.session_idle);
        let active = ActiveSessions { unused_since, now, begun_until: now.plus(CLOCK_TOLERANCE) };
        let records = self.store.list_sessions(&asking.user().id, active).await?;
        let own = match &asking {
            Principal::Session(session) => Some(session.id.as_str()),
            Principal::Access(_) => None,
        };
        let mut lines: Vec<SessionLine> = records.into_iter().map(|session| session_line(session, own)).collect();
        lines.sort_by_key(|line| !line.current);
        Ok(lines)
    }

    /// Ends one of the user's sessions. When this returns, no server accepts its token any more.
    ///
    /// Returns [`AppError::NotFound`] if the user has no such session, even if another user has it.
    pub async fn end_session(&self, asking: &Proven, session: &str) -> Result<(), Error> {
        let id = Uuid::parse_str(session).map_err(|_| AppError::NotFound)?.to_string();
        let user = &asking.session().user;
        // A request that changes nothing must not take the database writer: the wait would reveal other users'
        // activity.
        if !self.store.has_session(&user.id, &id).await? {
            self.require_active(asking).await?;
            return Err(AppError::NotFound.into());
        }
        if !self.store.end_session_of(asking.asking(), &id).await?.ok_or(AppError::SessionEnded)? {
            return Err(AppError::NotFound.into());
        }
        tracing::info!(user = %user.id, "session ended");
        Ok(())
    }

    async fn require_active(&self, asking: &Proven) -> Result<(), Error> {
        if self.store.still_asks(&asking.asking()).await? { Ok(()) } else { Err(AppError::SessionEnded.into()) }
    }

    /// Ends all of the user's sessions except the current one. Returns how many ended.
    pub async fn end_other_sessions(&self, asking: &Proven) -> Result<u64, Error> {
        let Session { user, id, .. } = asking.session();
        if !self.store.has_other_sessions(&user.id, id).await? {
            self.require_active(asking).await?;
            return Ok(0);
        }
        let sessions = self.store.end_other_sessions(asking.asking()).await?.ok_or(AppError::SessionEnded)?;
        tracing::info!(user = %user.id, sessions, "all other sessions ended");
        Ok(sessions)
    }

    /// Changes the account's username and returns the account. Returns [`AppError::Invalid`] if the username is taken.
    pub async fn change_username(
        &self,
        caller: &Caller,
        asking: &Proven,
        username: &Username,
    ) -> Result<Account, Error> {
        self.check_rate_limit("rename", RENAMES, caller).await?;
        let user = &asking.session().user;
        let counts = (self.inherit(username.as_str(), &user.email), self.leave_username(user));
        match self.store.rename_user(Authority::Asking(asking.asking()), username, counts).await? {
            RenameOutcome::Done => {}
            RenameOutcome::Taken => return Err(invalid(Field::Username, Problem::UsernameTaken)),
            RenameOutcome::SessionEnded => return Err(AppError::SessionEnded.into()),
        }
        tracing::info!(user = %user.id, "username changed");
        Ok(User { username: username.as_str().to_owned(), ..user.clone() }.into())
    }

    /// Exports all data stored about the user.
    pub async fn export(&self, asking: &Proven) -> Result<Export, Error> {
        let user = &asking.session().user;
        let records = self.store.list_sessions(&user.id, ActiveSessions::ALL).await?;
        let sessions = records.into_iter().map(|session| ExportedSession {
            client_name: session.name.clone(),
            previous_login_at: session.previous_login_at.map(rfc3339),
            proven_at: rfc3339(session.proven_at),
            session: session_line(session, Some(&asking.session().id)),
        });
        let (last_login_at, failed) = self.store.attempts_of(&user.id, &self.strangers_key(&user.email)).await?;
        let known_networks = self.store.known_networks_of(&user.id).await?;
        let including_expired = Timestamp::from_millis(i64::MIN);
        let access_tokens = self.store.list_access_tokens(&user.id, including_expired).await?;
        let (mails, links) = (self.store.mails_of(&user.id).await?, self.store.links_of(&user.id).await?);
        tracing::info!(user = %user.id, "data exported");
        Ok(Export {
            account: user.clone().into(),
            last_login_at: last_login_at.map(rfc3339),
            email_verified_at: user.email_verified_at.map(Timestamp::to_rfc3339),
            failed_logins: failed.map(|(count, last)| FailedLogins { count, last_at: rfc3339(last) }),
            known_networks: known_networks
                .into_iter()
                .map(|seen| KnownNetwork { last_login_at: rfc3339(seen) })
                .collect(),
            sessions: sessions.collect(),
            access_tokens: access_tokens.into_iter().map(Into::into).collect(),
            mails: mails.into_iter().map(Into::into).collect(),
            links: links.into_iter().map(Into::into).collect(),
        })
    }

    /// Deletes the account with all its data. `typed` must be its username, to prevent a deletion by mistake. Otherwise
    /// [`AppError::Invalid`] is returned.
    pub async fn delete_account(&self, asking: &Proven, typed: &str) -> Result<(), Error> {
        let user = &asking.session().user;
        let own = Username::parse(&user.username);
        if !Username::parse(typed).is_ok_and(|typed| own.is_ok_and(|own| own.key() == typed.key())) {
            return Err(invalid(Field::Username, Problem::UsernameNotYours));
        }
        let inherit = self.leave_username(user);
        self.store.delete_user(Authority::Asking(asking.asking()), inherit).await?.ok_or(AppError::SessionEnded)?;
        tracing::info!(user = %user.id, "account deleted");
        Ok(())
    }
}

impl From<MailRecord> for ExportedMail {
    fn from(MailRecord { kind, address, created_at, due_at, attempts }: MailRecord) -> Self {
        Self { kind, address, created_at: rfc3339(created_at), due_at: rfc3339(due_at), attempts }
    }
}

impl From<LinkRecord> for ExportedLink {
    fn from(LinkRecord { kind, address, created_at, expires_at }: LinkRecord) -> Self {
        Self { kind, address, created_at: rfc3339(created_at), expires_at: rfc3339(expires_at) }
    }
}

fn rfc3339(millis: i64) -> String {
    Timestamp::from_millis(millis).to_rfc3339()
}

fn session_line(session: SessionRecord, own: Option<&str>) -> SessionLine {
    SessionLine {
        current: own == Some(session.id.as_str()),
        id: session.id,
        client: user_agent::describe(&session.name),
        network: session.network,
        created_at: rfc3339(session.created_at),
        last_seen_at: rfc3339(session.last_seen_at),
        expires_at: rfc3339(session.expires_at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_a_password_never_prints_it_r29() {
        let change = PasswordChange::read(Some("first secret"), Some("second secret"));
        assert_eq!(format!("{change:?}"), "PasswordChange");
    }
}
