//! The history of an account, for its owner.

use super::{Error, Principal, Service};
use crate::{
    domain::{
        account::{HistoryLine, HistoryPage},
        event::{EventLine, EventName},
        role::Role,
    },
    store::EventFilter,
};

/// Events on a page of the account view.
const PAGE: u32 = 25;
/// Events per query of an export.
const BATCH: u32 = 1000;

impl Service {
    /// The newest events of the user's account, the newest first: at most `limit`, before the event `before` unless that is
    /// empty. Also returns the `before` of the next page, if there is one.
    pub async fn history(
        &self,
        principal: &Principal,
        before: &str,
        limit: u32,
    ) -> Result<(Vec<EventLine>, Option<String>), Error> {
        self.history_of(&principal.user().id, before, limit).await
    }

    async fn history_of(
        &self,
        user: &str,
        before: &str,
        limit: u32,
    ) -> Result<(Vec<EventLine>, Option<String>), Error> {
        let (person, before) = (user.to_owned(), before.to_owned());
        let filter = EventFilter { person, before, limit: limit.saturating_add(1), ..EventFilter::default() };
        let found = self.store.find_events(&filter).await?;
        let mut events: Vec<_> = found.into_iter().map(|record| EventLine::from(record).for_owner()).collect();
        let has_more = events.len() > limit as usize;
        events.truncate(limit as usize);
        let next = events.last().filter(|_| has_more).map(|event| event.id.clone());
        Ok((events, next))
    }

    /// All events of an account, the newest first.
    pub(super) async fn whole_history(&self, user: &str) -> Result<Vec<EventLine>, Error> {
        let (mut events, mut next) = self.history_of(user, "", BATCH).await?;
        while let Some(before) = next {
            let more;
            (more, next) = self.history_of(user, &before, BATCH).await?;
            events.extend(more);
        }
        Ok(events)
    }

    /// Like [`Service::history`], in sentences for the page.
    pub async fn history_page(&self, principal: &Principal, before: &str) -> Result<HistoryPage, Error> {
        let (events, next) = self.history(principal, before, PAGE).await?;
        Ok(HistoryPage { lines: events.into_iter().map(line).collect(), next })
    }
}

fn line(event: EventLine) -> HistoryLine {
    let text = sentence(&event);
    HistoryLine { id: event.id, at: event.at, text, network: event.network, client: event.client }
}

/// Says what happened.
fn sentence(event: &EventLine) -> String {
    let Ok(name) = event.name.parse::<EventName>() else {
        return ["Something else happened: ", &event.name, "."].concat();
    };
    let by_operator = event.actor.kind == "operator";
    let who = if by_operator { "An operator" } else { "You" };
    let attempts = event.details.attempts.unwrap_or(1);
    let failed = event.outcome == "failed";
    let text = match name {
        EventName::AccountRegister if event.outcome == "denied" => "Somebody tried to register with your email",
        EventName::AccountRegister => "The account was created",
        EventName::AccountCreate => "An operator created the account",
        EventName::AccountImport => "The account was imported from another system",
        EventName::AccountApprove => "An operator approved the account",
        EventName::AccountDecline => "An operator declined the registration, and the account was deleted",
        EventName::AccountExpire => "The account was deleted, because nobody used it in time",
        EventName::AccountRename => return [who, " changed the username."].concat(),
        EventName::AccountDisable => "An operator disabled the account",
        EventName::AccountEnable => "An operator enabled the account",
        EventName::AccountExport => "You downloaded your data",
        EventName::AccountDelete => "The account was deleted",
        EventName::EmailVerify => return [who, " confirmed the email."].concat(),
        EventName::EmailChangeRequest => "You requested a change of the email",
        EventName::EmailChangeCancel => "You cancelled the change of the email",
        EventName::EmailChange => return [who, " changed the email."].concat(),
        EventName::EmailUndo => "A link in an email undid the change of the email",
        EventName::PasswordChange => "You changed the password",
        EventName::PasswordResetRequest => "A link to a new password was sent to your email",
        EventName::PasswordLink => "An operator had a link to a new password sent to your email",
        EventName::PasswordReset => "A new password was set by a link in an email",
        EventName::PasswordSet => "An operator set a new password",
        EventName::LoginFail if attempts > 1 => return format!("{attempts} logins in a row failed."),
        EventName::LoginFail => "A login failed",
        EventName::SessionStart => "You logged in",
        EventName::SessionReauth if failed && attempts > 1 => {
            return format!("The password was entered wrongly {attempts} times in a row.");
        }
        EventName::SessionReauth if failed => "The password was entered wrongly",
        EventName::SessionReauth => "You confirmed the password",
        EventName::SessionEnd if event.details.session == event.credential_id => "You logged out",
        EventName::SessionEnd => "You logged out another device",
        EventName::SessionEndOthers => "You logged out all other devices",
        EventName::SessionEndAll => "An operator logged out all devices",
        EventName::TokenCreate => "You created an access token",
        EventName::TokenRevoke if event.via == "token" => "A program revoked an access token",
        EventName::TokenRevoke => "You revoked an access token",
        EventName::RoleChange if !by_operator => "A link of the operator made the account the first admin",
        EventName::RoleChange => {
            return match event.details.new_role.map(Role::name) {
                Some(role) => format!("An operator gave the account the role {role}."),
                None => "An operator took the account's role away.".to_owned(),
            };
        }
        EventName::GroupJoin => "An operator added the account to a group",
        EventName::GroupLeave => "An operator removed the account from a group",
        EventName::MailGiveUp => "An email to you could not be sent",
        EventName::OperatorDeny => "You tried something that your role doesn't allow",
        EventName::OperatorLink
        | EventName::InvitationCreate
        | EventName::InvitationRevoke
        | EventName::GroupCreate
        | EventName::GroupRename
        | EventName::GroupDelete
        | EventName::RestoreApply
        | EventName::ServerStart
        | EventName::ServerStop
        | EventName::BackupMake => return ["Something else happened: ", &event.name, "."].concat(),
    };
    [text, "."].concat()
}

#[cfg(test)]
mod tests {
    use strum::VariantArray as _;

    use super::*;
    use crate::domain::event::{Details, Party};

    fn event(name: EventName, outcome: &str, details: Details) -> EventLine {
        let party = Party { kind: "account".to_owned(), id: None, name: None };
        EventLine {
            id: String::new(),
            at: String::new(),
            name: name.name().to_owned(),
            outcome: outcome.to_owned(),
            actor: party.clone(),
            subject: party,
            via: "page".to_owned(),
            network: String::new(),
            client: String::new(),
            credential_id: None,
            request_id: String::new(),
            details,
        }
    }

    #[test]
    fn each_event_of_an_account_is_a_sentence() {
        for &name in EventName::VARIANTS {
            let text = sentence(&event(name, "ok", Details::default()));
            assert!(text.ends_with('.') && text.len() > 10, "{text}");
            let others = ["backup", "group", "invitation", "operator", "restore", "server"];
            assert_eq!(
                text.starts_with("Something else"),
                others.contains(&name.category())
                    && !matches!(name, EventName::GroupJoin | EventName::GroupLeave | EventName::OperatorDeny),
                "{name:?}"
            );
        }
    }

    #[test]
    fn a_sentence_has_the_number_of_failures() {
        let five = Details { attempts: Some(5), ..Details::default() };
        assert_eq!(sentence(&event(EventName::LoginFail, "failed", five)), "5 logins in a row failed.");
        assert_eq!(sentence(&event(EventName::LoginFail, "failed", Details::default())), "A login failed.");
    }

    #[test]
    fn a_session_that_ends_itself_is_a_logout() {
        let details = Details { session: Some("a".to_owned()), ..Details::default() };
        let other = event(EventName::SessionEnd, "ok", details);
        assert_eq!(sentence(&other), "You logged out another device.");
        let own = EventLine { credential_id: Some("a".to_owned()), ..other };
        assert_eq!(sentence(&own), "You logged out.");
    }
}
