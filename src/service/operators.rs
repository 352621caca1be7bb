//! The roles of operators.

use super::{Error, Service};
use crate::{
    domain::{event::Initiator, role::Role},
    error::AppError,
    store::{RoleChange, RoleOutcome, User},
};

impl Service {
    /// Changes an account's role, ends its sessions and revokes its access tokens. Notifies the owner, and all other
    /// admins of a new one. Returns how many sessions ended, or `None` if the account had the role already.
    ///
    /// Returns [`AppError::EmailUnverified`] for an account with an unconfirmed email. Without `force`, returns
    /// [`AppError::LastAdmin`] if the server would have no enabled admin any more.
    pub(super) async fn set_role(
        &self,
        by: Initiator,
        user: &User,
        role: Option<Role>,
        force: bool,
    ) -> Result<Option<u64>, Error> {
        let change = RoleChange { user: user.id.clone(), role, force };
        let stamp = self.stamp(by);
        let new_mail = self.role_mail(stamp.at);
        let sessions = match self.store.set_role(change, stamp, new_mail).await? {
            RoleOutcome::Changed(sessions) => sessions,
            RoleOutcome::Unchanged => return Ok(None),
            RoleOutcome::LastAdmin => return Err(AppError::LastAdmin.into()),
            RoleOutcome::Unconfirmed => return Err(AppError::EmailUnverified.into()),
            RoleOutcome::Missing => return Err(AppError::NotFound.into()),
        };
        self.outbox.notify_worker();
        tracing::info!(user = %user.id, role = role.map_or("none", Role::name), force, "role changed by operator");
        Ok(Some(sessions))
    }
}
