//! Invitations to register.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Caller, Error, Service,
    email::INVALID_LINKS,
    entropy::{new_id, new_token},
    permit::{Operator, ProvenOperator},
};
use crate::{
    domain::{
        act::Duty,
        email::Email,
        event::Initiator,
        group_name::GroupName,
        invitation::{Days, InvitationRequest},
        time::Timestamp,
        token::{Token, TokenKind},
    },
    error::{AppError, Field, Problem},
    store::{Invitation, InviteOutcome, MailKind, Mandate, NewInvitation, NewInvitationLink, SendOutcome},
};

/// A created invitation.
#[derive(Debug)]
pub struct Created {
    /// A UUID, version 7.
    pub id: String,
    /// The link's token, unless the link is sent.
    pub token: Option<Token>,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// Whether an invitation can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InvitationState {
    /// Somebody can register with it.
    Valid,
    /// All its uses were taken.
    Used,
    /// It has expired.
    Expired,
    /// An operator revoked it.
    Revoked,
}

impl InvitationState {
    /// The name in lists.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Used => "used",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// An invitation in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InvitationLine {
    /// A UUID, version 7.
    #[schema(format = Uuid)]
    pub id: String,
    /// Whether it can be used.
    pub state: InvitationState,
    /// The only email that can register with it; null if any can.
    #[schema(required)]
    pub email: Option<String>,
    /// Whether the link was sent to the email, instead of shown.
    pub sent: bool,
    /// How many accounts can register with it.
    #[schema(minimum = 1)]
    pub uses: i64,
    /// How many still can.
    #[schema(minimum = 0)]
    pub uses_left: i64,
    /// The names of the groups that a new account joins.
    pub groups: Vec<String>,
    /// A remark for operators.
    pub note: String,
    /// When it was created, RFC 3339 in UTC.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it expires, RFC 3339 in UTC.
    #[schema(format = DateTime)]
    pub expires_at: String,
}

impl Service {
    /// Creates an invitation.
    ///
    /// Returns `None` for a group that doesn't exist, [`AppError::MailOff`] if the link can't be sent, and
    /// [`AppError::Taken`] for an email that has an account.
    pub(super) async fn invite(
        &self,
        mandate: Mandate,
        by: Initiator,
        request: InvitationRequest,
    ) -> Result<Option<Created>, Error> {
        let InvitationRequest { email, uses, days, groups, note, send } = request;
        let email = email.map(|email| self.invitable(&email)).transpose()?;
        let groups = groups.iter().map(|name| GroupName::parse(name)).collect::<Result<Vec<_>, _>>();
        let mut groups = groups.map_err(|problem| Error::invalid(Field::Name, problem))?;
        // In one order, so that two invitations can't wait for each other's groups.
        groups.sort_by(|one, other| one.key().cmp(other.key()));
        if send {
            self.outbox.require_enabled()?;
            if email.is_none() {
                return Err(Error::invalid(Field::Email, Problem::Missing));
            }
        }
        let stamp = self.stamp(by);
        let now = stamp.at;
        let (id, token) = (new_id(&*self.entropy, now), new_token(&*self.entropy, TokenKind::Invitation));
        let expires_at = now.plus(Duration::from_hours(24) * days.get());
        let new = NewInvitation {
            id: id.clone(),
            // A mail gets a token of its own.
            token_hash: token.hash(),
            uses: if email.is_some() { 1 } else { uses.get() },
            email,
            mail: if send { self.outbox.notice_at(MailKind::Invitation, now) } else { None },
            note: note.into_inner(),
            groups,
            expires_at,
        };
        match self.store.add_invitation(mandate, new, stamp).await? {
            InviteOutcome::Done => {}
            InviteOutcome::EmailTaken => return Err(AppError::Taken.into()),
            InviteOutcome::NoSuchGroup => return Ok(None),
        }
        self.outbox.notify_worker();
        tracing::info!(invitation = id, send, "invitation created by operator");
        Ok(Some(Created { id, token: (!send).then_some(token), expires_at }))
    }

    /// Parses an email that may be invited.
    fn invitable(&self, email: &str) -> Result<Email, Error> {
        let email =
            Email::parse(email).and_then(|email| self.policy.registration.domains.check(&email).map(|()| email));
        email.map_err(|problem| Error::invalid(Field::Email, problem))
    }

    /// Invitations in the order of their creation, starting after the invitation `after`.
    pub(super) async fn list_invitations(&self, after: &str, limit: u32) -> Result<Vec<InvitationLine>, Error> {
        let now = self.clock.now();
        let invitations = self.store.list_invitations(after, limit).await?;
        Ok(invitations.into_iter().map(|invitation| line(invitation, now)).collect())
    }

    /// Revokes an invitation. Returns `false` if there is no such invitation, or it was revoked before.
    pub(super) async fn revoke_invitation(&self, mandate: &Mandate, by: Initiator, id: &str) -> Result<bool, Error> {
        let revoked = self.store.revoke_invitation(mandate, id, &self.stamp(by)).await?;
        if revoked {
            tracing::info!(invitation = id, "invitation revoked by operator");
        }
        Ok(revoked)
    }

    /// Sends an invitation for one email again, with a new link that is valid for `days`. The old link is no longer valid.
    /// Returns when it expires, or `None` if there is no such invitation for an email that can still be used.
    ///
    /// Returns [`AppError::MailOff`] if the link can't be sent, and [`AppError::Taken`] for an email that has an account.
    pub(super) async fn send_invitation(
        &self,
        mandate: Mandate,
        by: Initiator,
        id: &str,
        days: Days,
    ) -> Result<Option<Timestamp>, Error> {
        self.outbox.require_enabled()?;
        let stamp = self.stamp(by);
        let expires_at = stamp.at.plus(Duration::from_hours(24) * days.get());
        let link = NewInvitationLink {
            // The mail gets a token of its own.
            token_hash: new_token(&*self.entropy, TokenKind::Invitation).hash(),
            mail: self.outbox.new_mail_at(MailKind::Invitation, stamp.at),
            expires_at,
        };
        match self.store.send_invitation(mandate, id, link, stamp).await? {
            SendOutcome::Done => {}
            SendOutcome::EmailTaken => return Err(AppError::Taken.into()),
            SendOutcome::Missing => return Ok(None),
        }
        self.outbox.notify_worker();
        tracing::info!(invitation = id, "invitation sent again by operator");
        Ok(Some(expires_at))
    }

    /// At most `limit` invitations in the order of their creation, starting after an invitation. Also returns the `after`
    /// of the next page, if there is one.
    pub async fn invitations(
        &self,
        _operator: &Operator,
        after: &str,
        limit: u32,
    ) -> Result<(Vec<InvitationLine>, Option<String>), Error> {
        let mut lines = self.list_invitations(after, limit.saturating_add(1)).await?;
        let has_more = lines.len() > limit as usize;
        lines.truncate(limit as usize);
        let next = lines.last().filter(|_| has_more).map(|line| line.id.clone());
        Ok((lines, next))
    }

    /// Creates an invitation. Returns [`AppError::NotFound`] for a group that doesn't exist.
    pub async fn create_invitation(
        &self,
        caller: &Caller,
        operator: &ProvenOperator,
        request: InvitationRequest,
    ) -> Result<Created, Error> {
        let permit = self.permit_duty(caller, operator, Duty::Invite).await?;
        Ok(self.invite(permit.mandate(), permit.by(), request).await?.ok_or(AppError::NotFound)?)
    }

    /// Revokes an invitation. Returns [`AppError::NotFound`] if there is none that can be revoked.
    pub async fn withdraw_invitation(&self, caller: &Caller, operator: &ProvenOperator, id: &str) -> Result<(), Error> {
        let permit = self.permit_duty(caller, operator, Duty::Invite).await?;
        let revoked = self.revoke_invitation(&permit.mandate(), permit.by(), id).await?;
        if revoked { Ok(()) } else { Err(AppError::NotFound.into()) }
    }

    /// Sends an invitation again. Returns when it expires, or [`AppError::NotFound`] if there is none that can be sent.
    pub async fn resend_invitation(
        &self,
        caller: &Caller,
        operator: &ProvenOperator,
        id: &str,
        days: Days,
    ) -> Result<Timestamp, Error> {
        let permit = self.permit_duty(caller, operator, Duty::Invite).await?;
        Ok(self.send_invitation(permit.mandate(), permit.by(), id, days).await?.ok_or(AppError::NotFound)?)
    }

    /// Returns a valid invitation. Invalid ones are rate-limited per address.
    pub async fn require_invitation(&self, caller: &Caller, token: &Token) -> Result<Invitation, Error> {
        // Checked first, so that a rate-limited address causes no database query.
        self.rate_limits.check(INVALID_LINKS, caller)?;
        let now = self.clock.now();
        let found = self.store.find_invitation(&token.hash()).await?.filter(|invitation| invitation.is_valid(now));
        let Some(invitation) = found else {
            self.rate_limits.take(INVALID_LINKS, caller).await?;
            return Err(AppError::InvitationInvalid.into());
        };
        Ok(invitation)
    }
}

fn line(invitation: Invitation, now: Timestamp) -> InvitationLine {
    let state = match &invitation {
        Invitation { revoked_at: Some(_), .. } => InvitationState::Revoked,
        Invitation { uses_left: ..=0, .. } => InvitationState::Used,
        valid if valid.is_valid(now) => InvitationState::Valid,
        _ => InvitationState::Expired,
    };
    let Invitation { id, email, mailed, note, uses, uses_left, created_at, expires_at, groups, .. } = invitation;
    let (created_at, expires_at) = (created_at.to_rfc3339(), expires_at.to_rfc3339());
    InvitationLine { id, state, email, sent: mailed, uses, uses_left, groups, note, created_at, expires_at }
}
