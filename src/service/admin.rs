//! The operator's commands from the command line.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Error, Service,
    groups::{self, GroupLine},
    imports::{ImportOptions, ImportedRow},
    invitations::{Created, InvitationLine},
};
use crate::{
    domain::{
        account::Account,
        event::{EventLine, EventQuery, Initiator},
        group_name::GroupName,
        identifier::Identifier,
        invitation::{Days, InvitationRequest},
        password::Password,
        requests::Registration,
        role::Role,
        source_account::SourceAccount,
        time::{CLOCK_TOLERANCE, Timestamp},
        token::Token,
        username::Username,
    },
    error::{AppError, Field},
    store::{ActiveSessions, Authority, DeleteGroupOutcome, ListedUser, Mandate, User},
};

/// Accounts per [`Command::List`].
const PAGE: u32 = 500;

/// An operator's command. The command line sends it to the server that has the database open.
///
/// `who` is an email, a username or an identifier. With `force`, a command may leave the server without an enabled
/// admin.
#[derive(Clone, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields' names and the comment above describe them")]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Create an account.
    Add {
        email: String,
        username: String,
        password: String,
        #[serde(default)]
        role: Option<Role>,
    },
    /// List at most 500 accounts in the order of their creation.
    List {
        /// The last identifier of the previous page, or an empty text.
        after: String,
    },
    /// List all accounts with a role.
    ListOperators,
    /// Create a link that makes the first admin. An older one is no longer valid.
    SetupLink,
    /// Change an account's role, or take it away, and end its sessions.
    SetRole { who: String, role: Option<Role>, force: bool },
    /// Disable an account and end its sessions.
    Disable {
        who: String,
        #[serde(default)]
        force: bool,
    },
    /// Enable an account again.
    Enable { who: String },
    /// Approve an account that waits for it.
    Approve { who: String },
    /// Delete an account that waits for approval. With `notify`, its email gets a mail.
    Decline { who: String, notify: bool },
    /// Set a password and end all sessions.
    SetPassword { who: String, password: String },
    /// End all sessions.
    RevokeSessions { who: String },
    /// Show the details of one account.
    Show { who: String },
    /// Change an account's username.
    Rename { who: String, username: String },
    /// Mark an account's email as confirmed.
    Confirm { who: String },
    /// Delete an account with all its data.
    Delete {
        who: String,
        #[serde(default)]
        force: bool,
    },
    /// Manage groups.
    Group { action: GroupAction },
    /// List events of the audit trail.
    Events { query: EventQuery },
    /// Import accounts from another system.
    Import {
        /// The name of that system.
        source: String,
        options: ImportOptions,
        accounts: Vec<SourceAccount>,
    },
    /// Manage invitations.
    Invitation { action: InvitationAction },
    /// Add the event of a backup that the command line has made.
    BackupMade,
}

/// An operator's command about groups. `who` is an email, a username or an identifier.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields' names and the comment above describe them")]
pub enum GroupAction {
    /// Create a group.
    Add { name: String },
    /// List all groups.
    List,
    /// Change a group's name.
    Rename { name: String, new: String },
    /// Delete a group. With `force`, even if it has members.
    Delete { name: String, force: bool },
    /// List at most 500 members of a group in the order of their creation.
    ListMembers {
        name: String,
        /// The last identifier of the previous page, or an empty text.
        after: String,
    },
    /// Add an account to a group.
    Join { name: String, who: String },
    /// Remove an account from a group.
    Leave { name: String, who: String },
}

/// An operator's command about invitations.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields' names describe them")]
pub enum InvitationAction {
    /// Create an invitation.
    Add { request: InvitationRequest },
    /// List at most 500 invitations in the order of their creation.
    List {
        /// The last identifier of the previous page, or an empty text.
        after: String,
    },
    /// Send an invitation for one email again, with a new link.
    Send { id: String, days: Days },
    /// Revoke an invitation.
    Revoke { id: String },
}

impl Command {
    /// The name in the log.
    const fn name(&self) -> &'static str {
        match self {
            Self::Add { .. } => "add",
            Self::List { .. } => "list",
            Self::ListOperators => "list-operators",
            Self::SetupLink => "setup-link",
            Self::SetRole { .. } => "set-role",
            Self::Disable { .. } => "disable",
            Self::Enable { .. } => "enable",
            Self::Approve { .. } => "approve",
            Self::Decline { .. } => "decline",
            Self::SetPassword { .. } => "set-password",
            Self::RevokeSessions { .. } => "revoke-sessions",
            Self::Show { .. } => "show",
            Self::Rename { .. } => "rename",
            Self::Confirm { .. } => "confirm",
            Self::Delete { .. } => "delete",
            Self::Group { .. } => "group",
            Self::Events { .. } => "events",
            Self::Import { .. } => "import",
            Self::Invitation { .. } => "invitation",
            Self::BackupMade => "backup_made",
        }
    }
}

/// The result of a [`Command`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names describe most variants and fields")]
pub enum Reply {
    Added {
        account: Account,
    },
    Users {
        /// In the order of their creation.
        users: Vec<UserLine>,
    },
    User {
        details: Box<UserDetails>,
    },
    Done {
        username: String,
        /// How many sessions the command ended.
        sessions: u64,
    },
    Renamed {
        old: String,
        new: String,
    },
    SetupLink {
        link: ShownLink,
    },
    /// There is an enabled admin, so there is no link that makes the first one.
    AdminExists,
    Invited {
        id: String,
        /// The link, unless it is sent.
        link: Option<ShownLink>,
        expires_at: String,
    },
    Invitations {
        /// In the order of their creation.
        invitations: Vec<InvitationLine>,
    },
    InvitationRevoked,
    BackupRecorded,
    NoSuchInvitation,
    NoSuchUser,
    /// The account had the role already.
    RoleUnchanged {
        username: String,
    },
    /// The account was added to a group or removed from it.
    Member {
        username: String,
        group: String,
    },
    /// A group was created, renamed or deleted.
    Group {
        name: String,
    },
    Groups {
        /// By name.
        groups: Vec<GroupLine>,
    },
    NoSuchGroup,
    Events {
        events: Vec<EventLine>,
    },
    /// A batch of accounts was imported, or left out.
    Imported {
        rows: Vec<ImportedRow>,
    },
    /// The group has this many members and was not deleted.
    GroupNotEmpty {
        members: i64,
    },
    Refused {
        error: AppError,
    },
}

/// A link that is shown to the operator.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownLink {
    /// The token.
    pub token: String,
    /// The URL of the running server, which knows its address best.
    pub base_url: Option<String>,
}

impl ShownLink {
    /// The link with a token, without the server's URL.
    fn new(token: &Token) -> Self {
        Self { token: token.expose().to_owned(), base_url: None }
    }
}

/// Never prints the token.
impl fmt::Debug for ShownLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShownLink")
    }
}

/// An account in a list. Times are RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields' names describe them")]
pub struct UserLine {
    #[serde(flatten)]
    pub account: Account,
    pub disabled: bool,
    /// Whether it waits for an operator's approval.
    pub pending: bool,
    pub last_login_at: Option<String>,
}

/// The details of an account. Times are RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields' names describe them")]
pub struct UserDetails {
    #[serde(flatten)]
    pub line: UserLine,
    pub disabled_at: Option<String>,
    pub email_verified_at: Option<String>,
    /// Active sessions.
    pub sessions: usize,
    /// Valid personal access tokens.
    pub access_tokens: usize,
}

impl Service {
    /// Runs an operator's command.
    pub async fn run_admin_command(&self, by: Initiator, command: Command) -> Reply {
        match Box::pin(self.try_administer(by, command)).await {
            Ok(reply) => reply,
            Err(error) => Reply::Refused { error: error.into() },
        }
    }

    async fn try_administer(&self, by: Initiator, command: Command) -> Result<Reply, Error> {
        let who = match &command {
            Command::Add { email, username, password, role } => {
                let new = Registration::by_operator(email, username, password);
                let user = self.add_account(by.clone(), new).await?;
                if role.is_some() {
                    self.set_role(Authority::Operator { user: user.id.clone() }, by, *role, false).await?;
                }
                return Ok(Reply::Added { account: User { role: *role, ..user }.into() });
            }
            Command::ListOperators => {
                let users = self.store.list_operators().await?;
                return Ok(Reply::Users { users: users.into_iter().map(Into::into).collect() });
            }
            Command::SetupLink => {
                let link = self.create_setup_link(by).await?;
                return Ok(link.map_or(Reply::AdminExists, |token| Reply::SetupLink { link: ShownLink::new(&token) }));
            }
            Command::List { after } => {
                let users = self.store.list_users(after, PAGE).await?;
                return Ok(Reply::Users { users: users.into_iter().map(Into::into).collect() });
            }
            Command::BackupMade => {
                self.record_backup(by).await?;
                return Ok(Reply::BackupRecorded);
            }
            Command::SetRole { who, .. }
            | Command::Disable { who, .. }
            | Command::Enable { who }
            | Command::Approve { who }
            | Command::Decline { who, .. }
            | Command::SetPassword { who, .. }
            | Command::RevokeSessions { who }
            | Command::Show { who }
            | Command::Rename { who, .. }
            | Command::Confirm { who }
            | Command::Delete { who, .. } => who,
            Command::Events { query } => {
                let events = self.find_events(query).await?;
                return Ok(events.map_or(Reply::NoSuchUser, |events| Reply::Events { events }));
            }
            Command::Group { action } => return self.manage_groups(by, action).await,
            Command::Import { source, options, accounts } => {
                let rows = self.import_accounts(by, source, options, accounts.clone()).await?;
                return Ok(Reply::Imported { rows });
            }
            Command::Invitation { action } => return self.manage_invitations(by, action).await,
        };
        let Some(user) = self.find_for_operator(who).await? else { return Ok(Reply::NoSuchUser) };
        if let Command::Show { .. } = command {
            return Ok(Reply::User { details: Box::new(self.details(user).await?) });
        }
        if let Command::SetRole { role, force, .. } = command {
            let username = user.username.clone();
            return Ok(match self.set_role(Authority::Operator { user: user.id }, by, role, force).await? {
                Some(sessions) => Reply::Done { username, sessions },
                None => Reply::RoleUnchanged { username },
            });
        }
        let sessions = self.change_by_operator(by, &command, &user).await?;
        tracing::info!(user = %user.id, command = command.name(), sessions, "account changed by operator");
        Ok(match command {
            Command::Rename { username, .. } => Reply::Renamed { old: user.username, new: username.trim().to_owned() },
            _ => Reply::Done { username: user.username, sessions },
        })
    }

    async fn manage_groups(&self, by: Initiator, action: &GroupAction) -> Result<Reply, Error> {
        let group = |name: &GroupName| Reply::Group { name: name.as_str().to_owned() };
        let (joins, name, who) = match action {
            GroupAction::Add { name } => {
                let name = groups::parse(name)?;
                self.add_group(&Mandate::Operator, by, &name).await?;
                return Ok(group(&name));
            }
            GroupAction::List => return Ok(Reply::Groups { groups: self.list_groups().await? }),
            GroupAction::Rename { name, new } => {
                let (new, name) = (groups::parse(new)?, groups::parse(name)?);
                let renamed = self.rename_group(Mandate::Operator, by, &name, &new).await?;
                return Ok(if renamed { group(&new) } else { Reply::NoSuchGroup });
            }
            GroupAction::Delete { name, force } => {
                return Ok(match self.delete_group(Mandate::Operator, by, &groups::parse(name)?, *force).await? {
                    DeleteGroupOutcome::Done(name) => Reply::Group { name },
                    DeleteGroupOutcome::NotEmpty(members) => Reply::GroupNotEmpty { members },
                    DeleteGroupOutcome::Missing => Reply::NoSuchGroup,
                });
            }
            GroupAction::ListMembers { name, after } => {
                let members = self.list_members(&groups::parse(name)?, after, PAGE).await?;
                let users = |users: Vec<ListedUser>| users.into_iter().map(Into::into).collect();
                return Ok(members.map_or(Reply::NoSuchGroup, |members| Reply::Users { users: users(members) }));
            }
            GroupAction::Join { name, who } => (true, name, who),
            GroupAction::Leave { name, who } => (false, name, who),
        };
        let Some(user) = self.find_for_operator(who).await? else { return Ok(Reply::NoSuchUser) };
        let name = groups::parse(name)?;
        let group = self.change_group(Authority::Operator { user: user.id }, by, &name, joins).await?;
        Ok(group.map_or(Reply::NoSuchGroup, |group| Reply::Member { username: user.username, group }))
    }

    async fn manage_invitations(&self, by: Initiator, action: &InvitationAction) -> Result<Reply, Error> {
        Ok(match action {
            InvitationAction::Add { request } => match self.invite(Mandate::Operator, by, request.clone()).await? {
                Some(Created { id, token, expires_at }) => {
                    let link = token.as_ref().map(ShownLink::new);
                    Reply::Invited { id, link, expires_at: expires_at.to_rfc3339() }
                }
                None => Reply::NoSuchGroup,
            },
            InvitationAction::List { after } => {
                Reply::Invitations { invitations: self.list_invitations(after, PAGE).await? }
            }
            InvitationAction::Send { id, days } => {
                match self.send_invitation(Mandate::Operator, by, id, *days).await? {
                    Some(expires_at) => {
                        Reply::Invited { id: id.clone(), link: None, expires_at: expires_at.to_rfc3339() }
                    }
                    None => Reply::NoSuchInvitation,
                }
            }
            InvitationAction::Revoke { id } => {
                let revoked = self.revoke_invitation(&Mandate::Operator, by, id).await?;
                if revoked { Reply::InvitationRevoked } else { Reply::NoSuchInvitation }
            }
        })
    }

    /// Runs a command that changes one account. Returns how many sessions it ended.
    async fn change_by_operator(&self, by: Initiator, command: &Command, user: &User) -> Result<u64, Error> {
        let operator = Authority::Operator { user: user.id.clone() };
        match command {
            Command::Disable { force, .. } => self.disable(operator, by, *force).await,
            Command::Enable { .. } => self.enable(operator, by, user).await.map(|()| 0),
            Command::Approve { .. } => self.approve(operator, by).await.map(|()| 0),
            Command::Decline { notify, .. } => self.decline(operator, by, user, *notify).await.map(|()| 0),
            Command::SetPassword { password, .. } => self.set_password(by, user, password).await,
            Command::Rename { username, .. } => {
                let username = Username::parse(username).map_err(|problem| Error::invalid(Field::Username, problem))?;
                self.rename(operator, by, user, username).await.map(|()| 0)
            }
            Command::Confirm { .. } => Ok(self.store.confirm_email(&user.id, self.stamp(by)).await.map(|()| 0)?),
            Command::Delete { force, .. } => {
                let sessions = self.details(user.clone()).await?.sessions;
                self.delete(operator, by, user, *force).await?;
                Ok(u64::try_from(sessions).unwrap_or(u64::MAX))
            }
            _ => Ok(self.store.end_sessions_of(operator, self.stamp(by)).await?),
        }
    }

    /// Finds an account by its email, username or identifier. Apps refer to accounts by their identifier.
    ///
    /// A text that parses as an identifier is never treated as a username. Otherwise a stranger could register the
    /// identifier of another account, without its hyphens, as a username.
    pub(super) async fn find_for_operator(&self, who: &str) -> Result<Option<User>, Error> {
        if let Ok(id) = Uuid::parse_str(who.trim()) {
            return Ok(self.store.find_user(&id.to_string()).await?);
        }
        Ok(self.store.find_credential(&Identifier::parse(who)).await?.map(|known| known.user))
    }

    async fn details(&self, user: User) -> Result<UserDetails, Error> {
        let now = self.clock.now();
        let unused_since = now.minus(self.policy.session_idle);
        let active = ActiveSessions { unused_since, now, created_until: now.plus(CLOCK_TOLERANCE) };
        let sessions = self.store.list_sessions(&user.id, active).await?.len();
        let access_tokens = self.store.list_access_tokens(&user.id, now).await?.len();
        let (last_login_at, _) =
            self.store.attempts_of(&user.id, &self.rate_limits.unknown_network_key(&user.email)).await?;
        let rfc3339 = |time: Option<Timestamp>| time.map(Timestamp::to_rfc3339);
        let (disabled_at, email_verified_at) = (rfc3339(user.disabled_at), rfc3339(user.email_verified_at));
        let last_login_at = last_login_at.map(Timestamp::from_millis);
        let line = ListedUser { user, last_login_at }.into();
        Ok(UserDetails { line, disabled_at, email_verified_at, sessions, access_tokens })
    }

    /// Sets a password and ends all sessions in one transaction.
    async fn set_password(&self, by: Initiator, user: &User, password: &str) -> Result<u64, Error> {
        let password = Password::parse(password).map_err(|problem| Error::invalid(Field::Password, problem))?;
        let hash = self.passwords.judge_and_hash(None, user, Field::Password, password).await?;
        let sessions = self.store.set_password(&user.id, &hash, self.stamp(by)).await?;
        self.clear_failures(user).await?;
        Ok(sessions)
    }
}

impl From<ListedUser> for UserLine {
    fn from(ListedUser { user, last_login_at }: ListedUser) -> Self {
        let (disabled, pending) = (user.disabled_at.is_some(), user.pending_since.is_some());
        Self { account: user.into(), disabled, pending, last_login_at: last_login_at.map(Timestamp::to_rfc3339) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_has_one_name_on_the_wire_and_in_the_log() {
        let (who, password) = ("ann".to_owned(), "x".to_owned());
        let commands = [
            Command::Add { email: who.clone(), username: who.clone(), password: password.clone(), role: None },
            Command::List { after: String::new() },
            Command::ListOperators,
            Command::SetupLink,
            Command::SetRole { who: who.clone(), role: None, force: false },
            Command::Disable { who: who.clone(), force: false },
            Command::Enable { who: who.clone() },
            Command::Approve { who: who.clone() },
            Command::Decline { who: who.clone(), notify: false },
            Command::SetPassword { who: who.clone(), password },
            Command::RevokeSessions { who: who.clone() },
            Command::Show { who: who.clone() },
            Command::Rename { who: who.clone(), username: who.clone() },
            Command::Confirm { who: who.clone() },
            Command::Delete { who, force: false },
            Command::Group { action: GroupAction::List },
            Command::Events { query: EventQuery::default() },
            Command::Import { source: "x".to_owned(), options: ImportOptions::default(), accounts: Vec::new() },
            Command::Invitation { action: InvitationAction::List { after: String::new() } },
        ];
        for command in commands {
            let wire = serde_json::to_value(&command).expect("JSON");
            assert_eq!(wire["command"], command.name().replace('-', "_"));
        }
    }
}
