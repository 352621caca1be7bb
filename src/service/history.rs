//! The history of an account, for its owner and for operators.

use uuid::Uuid;

use super::{Error, Principal, Service, permit::Operator};
use crate::{
    domain::{
        account::{HistoryLine, HistoryPage},
        event::{EventLine, EventName},
        role::Role,
    },
    error::AppError,
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

    /// The events of an account as its owner sees them.
    async fn history_of(
        &self,
        user: &str,
        before: &str,
        limit: u32,
    ) -> Result<(Vec<EventLine>, Option<String>), Error> {
        let (events, next) = self.events_of(user, before, limit).await?;
        Ok((events.into_iter().map(EventLine::for_owner).collect(), next))
    }

    async fn events_of(&self, user: &str, before: &str, limit: u32) -> Result<(Vec<EventLine>, Option<String>), Error> {
        let (person, before) = (user.to_owned(), before.to_owned());
        let filter = EventFilter { person, before, limit: limit.saturating_add(1), ..EventFilter::default() };
        let found = self.store.find_events(&filter).await?;
        let mut events: Vec<_> = found.into_iter().map(EventLine::from).collect();
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
        Ok(HistoryPage { lines: events.into_iter().map(|event| line(event, Reader::Owner)).collect(), next })
    }

    /// A page of an account's history for an operator, who reads who acted. A deleted account has a history, too.
    pub async fn account_history(&self, _operator: &Operator, id: &str, before: &str) -> Result<HistoryPage, Error> {
        let id = Uuid::parse_str(id).map_err(|_| AppError::NotFound)?.to_string();
        let (mut events, next) = self.events_of(&id, before, PAGE).await?;
        let in_group = |event: &EventLine| event.details.group.is_some();
        let names = if events.iter().any(in_group) { self.store.list_group_names().await? } else { Vec::new() };
        for event in &mut events {
            let group = event.details.group.take();
            event.details.group = names.iter().find(|(id, _)| Some(id) == group.as_ref()).map(|(_, name)| name.clone());
        }
        Ok(HistoryPage { lines: events.into_iter().map(|event| line(event, Reader::Operator)).collect(), next })
    }
}

fn line(event: EventLine, reader: Reader) -> HistoryLine {
    let text = sentence(&event, reader);
    HistoryLine { id: event.id, at: event.at, text, network: event.network, client: event.client }
}

/// For whom an event is described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    /// The owner of the account. The event must be one [`for_owner`](EventLine::for_owner).
    Owner,
    /// An operator, who reads who did it.
    Operator,
}

impl Reader {
    /// Who did it, at the beginning of a sentence.
    fn actor(self, event: &EventLine) -> String {
        if self == Self::Owner {
            return if event.actor.kind == "operator" { "An operator" } else { "You" }.to_owned();
        }
        match (event.actor.kind.as_str(), &event.actor.name, &event.details.user) {
            ("account", Some(username), _) => username.clone(),
            ("account", None, _) => "A deleted account".to_owned(),
            ("command_line", _, Some(user)) => format!("The command line, as {user},"),
            ("command_line", _, None) => "The command line".to_owned(),
            ("system", ..) => "The server".to_owned(),
            _ => "Somebody".to_owned(),
        }
    }

    /// The account's owner.
    const fn recipient(self) -> &'static str {
        match self {
            Self::Owner => "you",
            Self::Operator => "the owner",
        }
    }

    /// Whose account it is.
    const fn whose(self) -> &'static str {
        match self {
            Self::Owner => "your",
            Self::Operator => "the account's",
        }
    }

    /// The group of an event, by its name if the reader may know it.
    fn group(self, event: &EventLine) -> String {
        match (self, &event.details.group) {
            (Self::Owner, _) => "a group".to_owned(),
            (Self::Operator, Some(name)) => format!("the group {name}"),
            (Self::Operator, None) => "a group that was deleted".to_owned(),
        }
    }
}

/// Says what happened.
fn sentence(event: &EventLine, reader: Reader) -> String {
    let Ok(name) = event.name.parse::<EventName>() else {
        return ["Something else happened: ", &event.name, "."].concat();
    };
    let (who, whose) = (reader.actor(event), reader.whose());
    let by = |what: &str| [&who, " ", what, "."].concat();
    let by_other = match event.actor.kind.as_str() {
        "account" => event.actor.id != event.subject.id,
        kind => matches!(kind, "operator" | "command_line"),
    };
    let attempts = event.details.attempts.unwrap_or(1);
    let failed = event.outcome == "failed";
    match name {
        EventName::AccountRegister if event.outcome == "denied" => {
            format!("Somebody tried to register with {whose} email.")
        }
        EventName::AccountRegister => "The account was created.".to_owned(),
        EventName::AccountCreate => by("created the account"),
        EventName::AccountImport => "The account was imported from another system.".to_owned(),
        EventName::AccountApprove => by("approved the account"),
        EventName::AccountDecline => by("declined the registration, and the account was deleted"),
        EventName::AccountExpire => "The account was deleted, because nobody used it in time.".to_owned(),
        EventName::AccountRename => by("changed the username"),
        EventName::AccountDisable => by("disabled the account"),
        EventName::AccountEnable => by("enabled the account"),
        EventName::AccountExport => by(&format!("downloaded {whose} data")),
        EventName::AccountDelete => "The account was deleted.".to_owned(),
        EventName::EmailVerify => by("confirmed the email"),
        EventName::EmailChangeRequest => by("requested a change of the email"),
        EventName::EmailChangeCancel => by("cancelled the change of the email"),
        EventName::EmailChange => by("changed the email"),
        EventName::EmailUndo => "A link in an email undid the change of the email.".to_owned(),
        EventName::PasswordChange => by("changed the password"),
        EventName::PasswordResetRequest => format!("A link to a new password was sent to {whose} email."),
        EventName::PasswordLink => by(&format!("had a link to a new password sent to {whose} email")),
        EventName::PasswordReset => "A new password was set by a link in an email.".to_owned(),
        EventName::PasswordSet => by("set a new password"),
        EventName::LoginFail if attempts > 1 => format!("{attempts} logins in a row failed."),
        EventName::LoginFail => "A login failed.".to_owned(),
        EventName::SessionStart => by("logged in"),
        EventName::SessionReauth if failed && attempts > 1 => {
            format!("The password was entered wrongly {attempts} times in a row.")
        }
        EventName::SessionReauth if failed => "The password was entered wrongly.".to_owned(),
        EventName::SessionReauth => by("confirmed the password"),
        EventName::SessionEnd if event.details.session == event.credential_id => by("logged out"),
        EventName::SessionEnd => by("logged out another device"),
        EventName::SessionEndOthers => by("logged out all other devices"),
        EventName::SessionEndAll => by("logged out all devices"),
        EventName::TokenCreate => by("created an access token"),
        EventName::TokenRevoke if event.via == "token" => "A program revoked an access token.".to_owned(),
        EventName::TokenRevoke if event.details.tokens_revoked == Some(true) => by("revoked all access tokens"),
        EventName::TokenRevoke => by("revoked an access token"),
        EventName::RoleChange if !by_other => "A link of the operator made the account the first admin.".to_owned(),
        EventName::RoleChange => match event.details.new_role.map(Role::name) {
            Some(role) => by(&format!("gave the account the role {role}")),
            None => by("took the account's role away"),
        },
        EventName::GroupJoin => by(&format!("added the account to {}", reader.group(event))),
        EventName::GroupLeave => by(&format!("removed the account from {}", reader.group(event))),
        EventName::MailGiveUp => format!("An email to {} could not be sent.", reader.recipient()),
        EventName::OperatorDeny => by(&format!("tried something that {whose} role doesn't allow")),
        EventName::OperatorLink
        | EventName::InvitationCreate
        | EventName::InvitationSend
        | EventName::InvitationRevoke
        | EventName::GroupCreate
        | EventName::GroupRename
        | EventName::GroupDelete
        | EventName::RestoreApply
        | EventName::ServerStart
        | EventName::ServerStop
        | EventName::BackupMake => ["Something else happened: ", &event.name, "."].concat(),
    }
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

    fn owned(event: &EventLine) -> String {
        sentence(event, Reader::Owner)
    }

    #[test]
    fn each_event_of_an_account_is_a_sentence() {
        for &name in EventName::VARIANTS {
            let text = sentence(&event(name, "ok", Details::default()), Reader::Owner);
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
        assert_eq!(owned(&event(EventName::LoginFail, "failed", five)), "5 logins in a row failed.");
        assert_eq!(owned(&event(EventName::LoginFail, "failed", Details::default())), "A login failed.");
    }

    #[test]
    fn a_session_that_ends_itself_is_a_logout() {
        let details = Details { session: Some("a".to_owned()), ..Details::default() };
        let other = event(EventName::SessionEnd, "ok", details);
        assert_eq!(owned(&other), "You logged out another device.");
        let own = EventLine { credential_id: Some("a".to_owned()), ..other };
        assert_eq!(owned(&own), "You logged out.");
    }

    #[test]
    fn an_operator_reads_who_acted_and_on_which_group() {
        let read = |event: &EventLine| sentence(event, Reader::Operator);
        let party = |kind: &str, name: Option<&str>| Party {
            kind: kind.to_owned(),
            id: Some(format!("{kind} {name:?}")),
            name: name.map(str::to_owned),
        };
        let subject = party("account", Some("ann"));
        let by =
            |name, actor: Party, details| EventLine { actor, subject: subject.clone(), ..event(name, "ok", details) };
        let editors = Details { group: Some("editors".to_owned()), ..Details::default() };
        let support = Details { new_role: Some(Role::Support), user: Some("root".to_owned()), ..Details::default() };
        for (event, text) in [
            (by(EventName::SessionStart, subject.clone(), Details::default()), "ann logged in."),
            (
                by(EventName::AccountDisable, party("account", Some("bob")), Details::default()),
                "bob disabled the account.",
            ),
            (
                by(EventName::AccountEnable, party("account", None), Details::default()),
                "A deleted account enabled the account.",
            ),
            (
                by(EventName::GroupJoin, party("account", Some("bob")), editors),
                "bob added the account to the group editors.",
            ),
            (
                by(EventName::GroupLeave, party("account", Some("bob")), Details::default()),
                "bob removed the account from a group that was deleted.",
            ),
            (
                by(EventName::RoleChange, party("command_line", None), support),
                "The command line, as root, gave the account the role support.",
            ),
            (
                by(EventName::MailGiveUp, party("system", None), Details::default()),
                "An email to the owner could not be sent.",
            ),
        ] {
            assert_eq!(read(&event), text);
        }
    }
}
