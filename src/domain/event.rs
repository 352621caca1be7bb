//! Events of the audit trail: what was done to what, by whom, and from where.
//!
//! An event holds identifiers only: never a name, an email, an address or a secret. So it can outlive its account.

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{role::Role, time::Timestamp, token_scope::TokenScope};

/// What happened: a category and an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[expect(missing_docs, reason = "the names describe most variants")]
pub enum EventName {
    /// Somebody registered. Denied if the email had an account already.
    #[strum(serialize = "account.register")]
    AccountRegister,
    /// An operator created an account.
    #[strum(serialize = "account.create")]
    AccountCreate,
    /// An account was imported from another system, or brought up to date by an import.
    #[strum(serialize = "account.import")]
    AccountImport,
    /// An operator approved an account that waited for it.
    #[strum(serialize = "account.approve")]
    AccountApprove,
    /// An operator declined an account that waited for approval. It was deleted.
    #[strum(serialize = "account.decline")]
    AccountDecline,
    /// An account was deleted because it was not approved, confirmed or used in time.
    #[strum(serialize = "account.expire")]
    AccountExpire,
    #[strum(serialize = "account.rename")]
    AccountRename,
    #[strum(serialize = "account.disable")]
    AccountDisable,
    #[strum(serialize = "account.enable")]
    AccountEnable,
    #[strum(serialize = "account.export")]
    AccountExport,
    #[strum(serialize = "account.delete")]
    AccountDelete,
    #[strum(serialize = "email.verify")]
    EmailVerify,
    #[strum(serialize = "email.change_request")]
    EmailChangeRequest,
    #[strum(serialize = "email.change_cancel")]
    EmailChangeCancel,
    #[strum(serialize = "email.change")]
    EmailChange,
    #[strum(serialize = "email.undo")]
    EmailUndo,
    #[strum(serialize = "password.change")]
    PasswordChange,
    /// A link that resets the password was sent.
    #[strum(serialize = "password.reset_request")]
    PasswordResetRequest,
    /// An operator had a link to a new password sent.
    #[strum(serialize = "password.link")]
    PasswordLink,
    /// The password was reset by a link.
    #[strum(serialize = "password.reset")]
    PasswordReset,
    /// An operator set a password.
    #[strum(serialize = "password.set")]
    PasswordSet,
    /// A login failed. Not every failure has an event.
    #[strum(serialize = "login.fail")]
    LoginFail,
    /// A login succeeded.
    #[strum(serialize = "session.start")]
    SessionStart,
    /// The password was confirmed in a session, or that failed.
    #[strum(serialize = "session.reauth")]
    SessionReauth,
    #[strum(serialize = "session.end")]
    SessionEnd,
    #[strum(serialize = "session.end_others")]
    SessionEndOthers,
    #[strum(serialize = "session.end_all")]
    SessionEndAll,
    #[strum(serialize = "token.create")]
    TokenCreate,
    #[strum(serialize = "token.revoke")]
    TokenRevoke,
    #[strum(serialize = "role.change")]
    RoleChange,
    /// A link was created by which the first admin is made.
    #[strum(serialize = "operator.link")]
    OperatorLink,
    /// An operator tried something that the role doesn't allow.
    #[strum(serialize = "operator.deny")]
    OperatorDeny,
    #[strum(serialize = "group.create")]
    GroupCreate,
    #[strum(serialize = "group.rename")]
    GroupRename,
    #[strum(serialize = "group.delete")]
    GroupDelete,
    #[strum(serialize = "group.join")]
    GroupJoin,
    #[strum(serialize = "group.leave")]
    GroupLeave,
    #[strum(serialize = "invitation.create")]
    InvitationCreate,
    /// An invitation was sent again, with a new link.
    #[strum(serialize = "invitation.send")]
    InvitationSend,
    #[strum(serialize = "invitation.revoke")]
    InvitationRevoke,
    /// A mail could not be sent and was deleted.
    #[strum(serialize = "mail.give_up")]
    MailGiveUp,
    /// A copy of the database was made.
    #[strum(serialize = "backup.make")]
    BackupMake,
    #[strum(serialize = "restore.apply")]
    RestoreApply,
    #[strum(serialize = "server.start")]
    ServerStart,
    #[strum(serialize = "server.stop")]
    ServerStop,
}

impl EventName {
    /// Its name in the database and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Whether it is about a login or a session. Such events are frequent, and kept for a shorter time.
    #[must_use]
    pub fn is_login(self) -> bool {
        matches!(self.category(), "login" | "session")
    }

    /// Whether a text is the name of an event or of a category.
    #[must_use]
    pub fn is_known(text: &str) -> bool {
        Self::VARIANTS.iter().any(|event| event.name() == text || event.category() == text)
    }

    /// The part before the full stop.
    #[must_use]
    pub fn category(self) -> &'static str {
        self.name().split('.').next().unwrap_or_default()
    }
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Ok,
    /// A rule forbids it.
    Denied,
    /// It was tried without success.
    Failed,
}

impl Outcome {
    /// Its name in the database and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The entry point of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Via {
    /// The web page.
    Page,
    /// The JSON API.
    Api,
    /// The JSON API, with a personal access token.
    Token,
    /// The command line.
    CommandLine,
    /// The server itself.
    Server,
}

/// What authenticated a request, by its identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A session.
    Session(String),
    /// A personal access token.
    AccessToken(String),
}

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A person with an account.
    Account {
        /// The account.
        id: String,
        /// The session or access token. `None` if the person only entered the password.
        credential: Option<Credential>,
    },
    /// An operator at the command line, by the name of the system's user.
    CommandLine(String),
    /// The server itself.
    System,
    /// Somebody who was not authenticated.
    Anonymous,
}

impl Actor {
    /// Its kind in the database and in JSON.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Account { .. } => "account",
            Self::CommandLine(_) => "command_line",
            Self::System => "system",
            Self::Anonymous => "anonymous",
        }
    }
}

/// What an operation changes, by its identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the variants")]
pub enum Subject<'a> {
    Account(&'a str),
    Group(&'a str),
    Invitation(&'a str),
    Mail(&'a str),
    Server,
}

impl<'a> Subject<'a> {
    /// Its kind in the database and in JSON.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Account(_) => "account",
            Self::Group(_) => "group",
            Self::Invitation(_) => "invitation",
            Self::Mail(_) => "mail",
            Self::Server => "server",
        }
    }

    /// Its identifier. The server has none.
    #[must_use]
    pub const fn id(self) -> Option<&'a str> {
        match self {
            Self::Account(id) | Self::Group(id) | Self::Invitation(id) | Self::Mail(id) => Some(id),
            Self::Server => None,
        }
    }
}

/// Where an operation comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The entry point.
    pub via: Via,
    /// The network of the client's address, such as `192.0.2.x`. Empty if there is no client.
    pub network: String,
    /// The client's program and system, such as "Firefox on Windows". Empty if there is no client.
    pub client: String,
    /// The request, as in the log. Empty if there is none.
    pub request_id: String,
}

impl Origin {
    /// Without a client.
    const fn local(via: Via) -> Self {
        Self { via, network: String::new(), client: String::new(), request_id: String::new() }
    }
}

/// Who acts, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields' types describe them")]
pub struct Initiator {
    pub actor: Actor,
    pub origin: Origin,
}

impl Initiator {
    /// An operator at the command line, by the name of the system's user.
    #[must_use]
    pub const fn command_line(user: String) -> Self {
        Self { actor: Actor::CommandLine(user), origin: Origin::local(Via::CommandLine) }
    }

    /// The server itself.
    #[must_use]
    pub const fn server() -> Self {
        Self { actor: Actor::System, origin: Origin::local(Via::Server) }
    }
}

/// All of an event except what was done. An operation gets it before its transaction, which adds the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// A UUID, version 7.
    pub id: Uuid,
    /// When the operation began to change the database.
    pub at: Timestamp,
    /// Who acts, and from where.
    pub by: Initiator,
}

impl Stamp {
    /// The stamp of another event of the same operation. Each event needs its own number, and the first has 0.
    #[must_use]
    pub fn numbered(&self, number: u32) -> Self {
        let id = Uuid::from_u128(self.id.as_u128().wrapping_add(number.into()));
        Self { id, ..self.clone() }
    }

    /// The entry point. A personal access token counts as one.
    #[must_use]
    pub const fn via(&self) -> Via {
        match &self.by.actor {
            Actor::Account { credential: Some(Credential::AccessToken(_)), .. } => Via::Token,
            _ => self.by.origin.via,
        }
    }
}

/// More about an event. Which fields are set depends on its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Details {
    /// Failed attempts in a row, with this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<i64>,
    /// Seconds until the next attempt is allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_seconds: Option<i64>,
    /// How many sessions the operation ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions_ended: Option<u64>,
    /// Whether the operation revoked all personal access tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_revoked: Option<bool>,
    /// The session that was ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The personal access token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The scope of the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<TokenScope>,
    /// The role before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_role: Option<Role>,
    /// The role after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_role: Option<Role>,
    /// The group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// How many members the group had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<i64>,
    /// The invitation with which somebody registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invitation: Option<String>,
    /// The kind of the mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mail: Option<String>,
    /// The version of the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The system's user at the command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// Who acted, or what was changed, for readers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Party {
    /// An actor is `account`, `command_line`, `system` or `anonymous`. For the owner of an account, everyone who runs the
    /// service is `operator`. A subject is `account`, `group`, `invitation`, `mail` or
    /// `server`.
    pub kind: String,
    /// The identifier, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = Uuid)]
    pub id: Option<String>,
    /// The present username or name of the group. Missing if it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// An event of the audit trail, for readers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventLine {
    /// Identifiers sort by age.
    #[schema(format = Uuid)]
    pub id: String,
    /// When it happened.
    #[schema(format = DateTime)]
    pub at: String,
    /// A category and an operation, such as `password.change`.
    pub name: String,
    /// `ok`, `denied` or `failed`.
    pub outcome: String,
    /// Who did it.
    pub actor: Party,
    /// What was changed.
    pub subject: Party,
    /// The entry point: `page`, `api`, `token` (the API with a personal access token), `command_line` or `server`.
    pub via: String,
    /// The network of the client, such as `192.0.2.x`. Empty without a client.
    pub network: String,
    /// The client's program and system. Empty if unknown.
    pub client: String,
    /// The session or personal access token of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = Uuid)]
    pub credential_id: Option<String>,
    /// The request, as in the server's log. Empty without a request.
    pub request_id: String,
    /// More about the event.
    pub details: Details,
}

impl EventLine {
    /// The event as the owner of its account sees it: without the identity of an operator.
    #[must_use]
    pub fn for_owner(self) -> Self {
        let by_owner = self.actor.kind == "account" && self.actor.id == self.subject.id;
        if by_owner || !matches!(self.actor.kind.as_str(), "account" | "command_line") {
            return self;
        }
        let actor = Party { kind: "operator".to_owned(), id: None, name: None };
        let details = Details { user: None, ..self.details };
        let (network, client, request_id) = (String::new(), String::new(), String::new());
        Self { actor, details, credential_id: None, network, client, request_id, ..self }
    }
}

/// Which events a reader asks for. An empty text or `None` is no restriction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventQuery {
    /// The account that was changed: an email, a username or an identifier.
    pub person: String,
    /// The account that acted: an email, a username or an identifier.
    pub actor: String,
    /// A name or a category.
    pub name: String,
    /// An outcome.
    pub outcome: String,
    /// A network, such as `192.0.2.x`.
    pub network: String,
    /// The earliest time, in milliseconds since 1970.
    pub from: Option<i64>,
    /// The time before which the events happened, in milliseconds since 1970.
    pub to: Option<i64>,
    /// Only events with a greater identifier.
    pub after: String,
    /// Only events with a smaller identifier.
    pub before: String,
    /// Whether the oldest comes first.
    pub oldest_first: bool,
    /// Whether events are left out beside which older ones may still be added.
    pub settled: bool,
    /// The maximum number of events.
    pub limit: u32,
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn an_event_has_a_category_and_an_operation_in_snake_case() {
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_'));
        for &event in EventName::VARIANTS {
            let (category, operation) = event.name().split_once('.').expect("two parts");
            assert!(is_word(category) && is_word(operation) && category == event.category(), "{event:?}");
            assert_eq!(event.name().parse(), Ok(event));
        }
        let names: HashSet<_> = EventName::VARIANTS.iter().map(|event| event.name()).collect();
        assert_eq!(names.len(), EventName::VARIANTS.len());
    }

    #[test]
    fn events_of_one_operation_have_ascending_identifiers() {
        let id = Uuid::from_u128(7);
        let stamp = Stamp { id, at: Timestamp::from_millis(0), by: Initiator::server() };
        assert_eq!(stamp.numbered(0), stamp);
        assert!(stamp.numbered(1).id < stamp.numbered(2).id);
    }

    #[test]
    fn details_are_short_json_with_known_keys() {
        assert_eq!(serde_json::to_string(&Details::default()).expect("JSON"), "{}");
        let failed = Details { attempts: Some(5), ..Details::default() };
        assert_eq!(serde_json::to_string(&failed).expect("JSON"), r#"{"attempts":5}"#);
    }
}
