//! What operators do with accounts: on the command line, and with a session.
//!
//! Each act has one function that takes an [`Authority`], for both. The public ones take the operator's session.

use super::{Caller, Error, Service, permit::ProvenOperator};
use crate::{
    domain::{act::Act, event::Initiator, group_name::GroupName, role::Role, username::Username},
    error::{AppError, Field, Problem},
    store::{Authority, DeleteOutcome, MailKind, RenameOutcome, RoleChange, RoleOutcome, User},
};

impl Service {
    pub(super) async fn disable(&self, authority: Authority, by: Initiator, force: bool) -> Result<u64, Error> {
        Ok(self.store.disable_user(authority, force, self.stamp(by)).await?.ok_or(AppError::LastAdmin)?)
    }

    pub(super) async fn enable(&self, authority: Authority, by: Initiator, user: &User) -> Result<(), Error> {
        self.store.enable_user(authority, &self.stamp(by)).await?;
        self.clear_failures(user).await
    }

    /// Deletes the failed logins of strangers, so that the owner can log in immediately.
    pub(super) async fn clear_failures(&self, user: &User) -> Result<(), Error> {
        Ok(self.store.forget_failures(&self.rate_limits.unknown_network_key(&user.email)).await?)
    }

    /// Changes an account's username. An operator may choose a reserved one.
    pub(super) async fn rename(
        &self,
        authority: Authority,
        by: Initiator,
        user: &User,
        username: Username,
    ) -> Result<(), Error> {
        let change = self.rate_limits.username_change(user, username);
        match self.store.rename_user(authority, change, self.stamp(by)).await? {
            RenameOutcome::Taken => Err(Error::invalid(Field::Username, Problem::UsernameTaken)),
            RenameOutcome::Done | RenameOutcome::SessionEnded => Ok(()),
        }
    }

    pub(super) async fn delete(
        &self,
        authority: Authority,
        by: Initiator,
        user: &User,
        force: bool,
    ) -> Result<(), Error> {
        let left = self.rate_limits.release_username(user);
        match self.store.delete_user(authority, force, left, self.stamp(by)).await? {
            DeleteOutcome::LastAdmin => Err(AppError::LastAdmin.into()),
            DeleteOutcome::Done | DeleteOutcome::SessionEnded => Ok(()),
        }
    }

    /// Changes an account's role, ends its sessions and revokes its access tokens. Notifies the owner, and all other
    /// admins of a new one. Returns how many sessions ended, or `None` if the account had the role already.
    ///
    /// Returns [`AppError::EmailUnverified`] for an account with an unconfirmed email. Without `force`, returns
    /// [`AppError::LastAdmin`] if the server would have no enabled admin any more.
    pub(super) async fn set_role(
        &self,
        authority: Authority,
        by: Initiator,
        role: Option<Role>,
        force: bool,
    ) -> Result<Option<u64>, Error> {
        let (user, stamp) = (authority.user().to_owned(), self.stamp(by));
        let (change, new_mail) = (RoleChange { authority, role, force }, self.role_mail(stamp.at));
        let sessions = match self.store.set_role(change, stamp, new_mail).await? {
            RoleOutcome::Changed(sessions) => sessions,
            RoleOutcome::Unchanged => return Ok(None),
            RoleOutcome::LastAdmin => return Err(AppError::LastAdmin.into()),
            RoleOutcome::Unconfirmed => return Err(AppError::EmailUnverified.into()),
            RoleOutcome::Missing => return Err(AppError::NotFound.into()),
        };
        self.outbox.notify_worker();
        tracing::info!(user, role = role.map_or("none", Role::name), force, "role changed by operator");
        Ok(Some(sessions))
    }

    /// Adds an account to a group, or removes it from one. Returns the group's name, or `None` if there is no such group.
    pub(super) async fn change_group(
        &self,
        authority: Authority,
        by: Initiator,
        name: &GroupName,
        joins: bool,
    ) -> Result<Option<String>, Error> {
        let (user, stamp) = (authority.user().to_owned(), self.stamp(by));
        let changed = if joins {
            self.store.join_group(name, authority, stamp).await?
        } else {
            self.store.leave_group(name, authority, stamp).await?
        };
        if let Some(group) = &changed {
            tracing::info!(user, group, joins, "group of an account changed by operator");
        }
        Ok(changed)
    }
}

impl Service {
    /// Disables an account and ends its sessions. Returns how many ended.
    pub async fn disable_account(&self, caller: &Caller, operator: &ProvenOperator, id: &str) -> Result<u64, Error> {
        let permit = self.permit(caller, operator, Act::Disable, id).await?;
        permit.logged(self.disable(permit.authority(), permit.by(), false).await)
    }

    /// Enables an account again.
    pub async fn enable_account(&self, caller: &Caller, operator: &ProvenOperator, id: &str) -> Result<(), Error> {
        let permit = self.permit(caller, operator, Act::Enable, id).await?;
        permit.logged(self.enable(permit.authority(), permit.by(), permit.target()).await)
    }

    /// Ends all sessions of an account and revokes its access tokens. Returns how many sessions ended.
    pub async fn end_sessions_of(&self, caller: &Caller, operator: &ProvenOperator, id: &str) -> Result<u64, Error> {
        let permit = self.permit(caller, operator, Act::EndSessions, id).await?;
        permit.logged(Ok(self.store.end_sessions_of(permit.authority(), self.stamp(permit.by())).await?))
    }

    /// Revokes all access tokens of an account. Returns how many were revoked.
    pub async fn revoke_tokens_of(&self, caller: &Caller, operator: &ProvenOperator, id: &str) -> Result<u64, Error> {
        let permit = self.permit(caller, operator, Act::RevokeTokens, id).await?;
        permit.logged(Ok(self.store.revoke_access_tokens_of(permit.authority(), &self.stamp(permit.by())).await?))
    }

    /// Mails an account's owner a link that sets a new password.
    pub async fn mail_password_link(&self, caller: &Caller, operator: &ProvenOperator, id: &str) -> Result<(), Error> {
        self.outbox.require_enabled()?;
        let permit = self.permit(caller, operator, Act::MailPasswordLink, id).await?;
        let stamp = self.stamp(permit.by());
        self.store.enqueue_mail_by(permit.authority(), self.outbox.new_mail(MailKind::Forgot), &stamp).await?;
        self.outbox.notify_worker();
        permit.logged(Ok(()))
    }

    /// Adds an account to a group, or removes it from one. Returns [`AppError::NotFound`] if there is no such group.
    pub async fn change_group_of(
        &self,
        caller: &Caller,
        operator: &ProvenOperator,
        id: &str,
        name: &GroupName,
        joins: bool,
    ) -> Result<(), Error> {
        let permit = self.permit(caller, operator, Act::ChangeGroups, id).await?;
        self.change_group(permit.authority(), permit.by(), name, joins).await?.ok_or(AppError::NotFound)?;
        permit.logged(Ok(()))
    }

    /// Changes an account's username.
    pub async fn rename_account(
        &self,
        caller: &Caller,
        operator: &ProvenOperator,
        id: &str,
        username: Username,
    ) -> Result<(), Error> {
        let permit = self.permit(caller, operator, Act::Rename, id).await?;
        permit.logged(self.rename(permit.authority(), permit.by(), permit.target(), username).await)
    }

    /// Deletes an account with all its data. `typed` must be its username, to prevent a deletion by mistake.
    pub async fn delete_account_of(
        &self,
        caller: &Caller,
        operator: &ProvenOperator,
        id: &str,
        typed: &str,
    ) -> Result<(), Error> {
        let permit = self.permit(caller, operator, Act::Delete, id).await?;
        if !super::accounts::is_username(permit.target(), typed) {
            return Err(Error::invalid(Field::Username, Problem::UsernameMismatch));
        }
        permit.logged(self.delete(permit.authority(), permit.by(), permit.target(), false).await)
    }

    /// Gives an account a role, or takes its role away. Returns how many sessions ended.
    pub async fn change_role(
        &self,
        caller: &Caller,
        operator: &ProvenOperator,
        id: &str,
        role: Option<Role>,
    ) -> Result<u64, Error> {
        let permit = self.permit(caller, operator, Act::ChangeRole, id).await?;
        let changed = self.set_role(permit.authority(), permit.by(), role, false).await?;
        permit.logged(Ok(changed.unwrap_or(0)))
    }
}
