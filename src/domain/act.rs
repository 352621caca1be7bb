//! What operators may do.

use super::role::Role;
use crate::error::AppError;

/// What an operator does with another account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Disable it and end its sessions.
    Disable,
    /// Enable it again.
    Enable,
    /// Let its owner log in, after a registration that waits for it.
    Approve,
    /// Delete it instead.
    Decline,
    /// End its sessions and revoke its access tokens.
    EndSessions,
    /// Revoke its access tokens.
    RevokeTokens,
    /// Mail its owner a link that sets a new password.
    MailPasswordLink,
    /// Add it to a group or remove it from one.
    ChangeGroups,
    /// Change its username.
    Rename,
    /// Delete it.
    Delete,
    /// Give it a role, or take its role away.
    ChangeRole,
}

impl Act {
    /// All acts.
    pub const ALL: [Self; 11] = [
        Self::Disable,
        Self::Enable,
        Self::Approve,
        Self::Decline,
        Self::EndSessions,
        Self::RevokeTokens,
        Self::MailPasswordLink,
        Self::ChangeGroups,
        Self::Rename,
        Self::Delete,
        Self::ChangeRole,
    ];

    /// The name in the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::Approve => "approve",
            Self::Decline => "decline",
            Self::EndSessions => "end-sessions",
            Self::RevokeTokens => "revoke-tokens",
            Self::MailPasswordLink => "mail-password-link",
            Self::ChangeGroups => "change-groups",
            Self::Rename => "rename",
            Self::Delete => "delete",
            Self::ChangeRole => "change-role",
        }
    }

    /// Whether a role includes this act.
    const fn is_allowed_to(self, role: Role) -> bool {
        match role {
            Role::Admin => true,
            Role::Support => !matches!(self, Self::Rename | Self::Delete | Self::ChangeRole),
            Role::Auditor => false,
        }
    }

    /// Checks whether an account with the role `actor` may do this with an account with the role `target`. `own` is
    /// whether they are the same account: everybody changes their own one in its own view.
    ///
    /// # Errors
    /// [`AppError::Forbidden`], [`AppError::OwnAccount`] or [`AppError::Outranked`].
    pub fn check(self, actor: Option<Role>, target: Option<Role>, own: bool) -> Result<(), AppError> {
        let role = actor.filter(|role| self.is_allowed_to(*role)).ok_or(AppError::Forbidden)?;
        if own {
            return Err(AppError::OwnAccount);
        }
        if target.is_some() && role != Role::Admin {
            return Err(AppError::Outranked);
        }
        Ok(())
    }
}

/// What an operator does that changes no account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Create, rename and delete groups.
    ManageGroups,
    /// Create, send and revoke invitations.
    Invite,
}

impl Duty {
    /// All duties.
    pub const ALL: [Self; 2] = [Self::ManageGroups, Self::Invite];

    /// Checks whether an account with the role `actor` may do this.
    ///
    /// # Errors
    /// [`AppError::Forbidden`].
    pub fn check(self, actor: Option<Role>) -> Result<(), AppError> {
        match (actor, self) {
            (Some(Role::Admin), _) | (Some(Role::Support), Self::Invite) => Ok(()),
            _ => Err(AppError::Forbidden),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_admins_manage_groups_and_support_invites_r141() {
        let allowed = |actor| Duty::ALL.into_iter().filter(|duty| duty.check(actor).is_ok()).collect::<Vec<_>>();
        assert_eq!(allowed(Some(Role::Admin)), Duty::ALL);
        assert_eq!(allowed(Some(Role::Support)), [Duty::Invite]);
        assert_eq!(allowed(Some(Role::Auditor)), []);
        assert_eq!(allowed(None), []);
    }

    /// The acts that an account with a role may do with another account.
    fn allowed(actor: Option<Role>, target: Option<Role>) -> Vec<Act> {
        Act::ALL.into_iter().filter(|act| act.check(actor, target, false).is_ok()).collect()
    }

    #[test]
    fn a_role_decides_which_acts_are_allowed_r141() {
        use Act::{Approve, ChangeGroups, Decline, Disable, Enable, EndSessions, MailPasswordLink, RevokeTokens};
        let help = [Disable, Enable, Approve, Decline, EndSessions, RevokeTokens, MailPasswordLink, ChangeGroups];
        assert_eq!(allowed(Some(Role::Support), None), help);
        for target in Role::ALL.map(Some).into_iter().chain([None]) {
            assert_eq!(allowed(Some(Role::Admin), target), Act::ALL);
            assert_eq!(allowed(Some(Role::Auditor), target), []);
            assert_eq!(allowed(None, target), []);
        }
    }

    #[test]
    fn support_changes_no_operator_and_nobody_the_own_account_r141() {
        for act in Act::ALL {
            for role in Role::ALL {
                let outranked = act.check(Some(Role::Support), Some(role), false);
                let own = act.check(Some(role), Some(role), true);
                if act.is_allowed_to(Role::Support) {
                    assert_eq!(outranked, Err(AppError::Outranked), "{act:?}");
                } else {
                    assert_eq!(outranked, Err(AppError::Forbidden), "{act:?}");
                }
                let allowed = act.is_allowed_to(role);
                assert_eq!(own, Err(if allowed { AppError::OwnAccount } else { AppError::Forbidden }), "{act:?}");
            }
        }
    }
}
