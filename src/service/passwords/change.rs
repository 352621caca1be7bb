//! Changing passwords.

use super::{KnownBy, Slot};
use crate::{
    domain::{
        password::Password,
        requests::PasswordChange,
        token::{Token, TokenKind},
    },
    error::{AppError, Field, Problem},
    service::{Caller, Error, Service, entropy::new_token, events::actor_in, reauth::checked_token},
    store::{LimitedAction, MailKind, PasswordUpdate, Session},
};

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
        session: &Session,
        change: PasswordChange,
    ) -> Result<PasswordChanged, Error> {
        let user = &session.user;
        let revoke_access_tokens = change.revoke_access_tokens;
        let (old, new, slot) = self.compare_and_judge(caller, session, change).await?;
        let new = self.passwords.hash_in(&slot, new).await?;
        // Counted only now, so that attempts with weak passwords are not limited.
        self.rate_limits.take_action(LimitedAction::Passwords, &user.id).await?;
        let renewed = new_token(&*self.entropy, TokenKind::Session);
        let notice = if revoke_access_tokens { MailKind::PasswordReset } else { MailKind::PasswordChanged };
        let update = PasswordUpdate {
            old_hash: old,
            new_hash: new,
            token_hash: renewed.hash(),
            network: self.rate_limits.known_network(caller, &user.id),
            notice: self.outbox.notice(notice),
            revoke_access_tokens,
        };
        let stamp = self.stamp(caller.acting_as(actor_in(session)));
        let changed = self.store.change_password(checked_token(session), update, stamp).await?;
        let Some(sessions_ended) = changed else { return Err(self.conflict_reason(session).await) };
        self.outbox.notify_worker();
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
            Ok(new) => {
                self.passwords.judge(Some(caller), &new, [&user.email, &user.username]).await?.map_or(Ok(new), Err)
            }
            refused => refused,
        };
        let both = |current, new| {
            Err(AppError::invalid_fields([(Field::CurrentPassword, Some(current)), (Field::NewPassword, new)]).into())
        };
        let current = match current {
            Ok(current) => current,
            Err(problem) => return both(problem, new.err()),
        };
        let (old, slot) =
            match (self.passwords.verify_current(caller, user, KnownBy::Session(session), &current).await, &new) {
                (Ok(compared), _) => compared,
                (Err(Error::Refused(AppError::WrongPassword)), Err(problem)) => {
                    return both(Problem::PasswordWrong, Some(problem.clone()));
                }
                (Err(error), _) => return Err(error),
            };
        let new = new.map_err(|problem| Error::invalid(Field::NewPassword, problem))?;
        if Password::parse(&current).is_ok_and(|current| current == new) {
            return Err(Error::invalid(Field::NewPassword, Problem::PasswordSame));
        }
        Ok((old, new, slot))
    }
}
