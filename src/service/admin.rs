//! What an operator does, from the command line.

use serde::{Deserialize, Serialize};

use super::{Error, Registration, Service, registration::invalid};
use crate::{
    domain::{account::Account, identifier::Identifier, password::Password},
    error::{AppError, Field},
    store::User,
};

/// Accounts told at once by [`Command::List`].
const PAGE: u32 = 500;

/// Something to do. Travels between the command line and the server that has the database open.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Make an account.
    Add {
        /// Its email.
        email: String,
        /// Its username.
        username: String,
        /// Its password.
        password: String,
    },
    /// Tell accounts in the order of their making, at most 500.
    List {
        /// The last identifier that was told, or nothing.
        after: String,
    },
    /// Close an account and end its sessions.
    Disable {
        /// Email or username.
        who: String,
    },
    /// Open an account again.
    Enable {
        /// Email or username.
        who: String,
    },
    /// Set a password and end all sessions.
    SetPassword {
        /// Email or username.
        who: String,
        /// The new password.
        password: String,
    },
    /// End all sessions.
    RevokeSessions {
        /// Email or username.
        who: String,
    },
}

impl Command {
    /// What it is called in the log.
    const fn name(&self) -> &'static str {
        match self {
            Self::Add { .. } => "add",
            Self::List { .. } => "list",
            Self::Disable { .. } => "disable",
            Self::Enable { .. } => "enable",
            Self::SetPassword { .. } => "set-password",
            Self::RevokeSessions { .. } => "revoke-sessions",
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// The account was made.
    Added {
        /// The account.
        account: Account,
    },
    /// Some accounts.
    Users {
        /// In the order of their making.
        users: Vec<UserLine>,
    },
    /// It is done.
    Done {
        /// The account's username.
        username: String,
        /// Sessions that ended by it.
        sessions: u64,
    },
    /// There is no such account.
    NoSuchUser,
    /// It was refused.
    Refused {
        /// Why.
        error: AppError,
    },
}

/// An account in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserLine {
    /// The account.
    #[serde(flatten)]
    pub account: Account,
    /// Whether it is closed.
    pub disabled: bool,
}

impl Service {
    /// Carries out an operator's command.
    pub async fn administer(&self, command: Command) -> Reply {
        match self.try_administer(command).await {
            Ok(reply) => reply,
            Err(error) => Reply::Refused { error: error.into() },
        }
    }

    async fn try_administer(&self, command: Command) -> Result<Reply, Error> {
        let who = match &command {
            Command::Add { email, username, password } => {
                let new = Registration::by_operator(email, username, password)?;
                return Ok(Reply::Added { account: self.make_account(None, new).await? });
            }
            Command::List { after } => {
                let users = self.store.list_users(after, PAGE).await?;
                return Ok(Reply::Users { users: users.into_iter().map(UserLine::from).collect() });
            }
            Command::Disable { who }
            | Command::Enable { who }
            | Command::SetPassword { who, .. }
            | Command::RevokeSessions { who } => who,
        };
        let Some(known) = self.store.find_credential(&Identifier::parse(who)).await? else {
            return Ok(Reply::NoSuchUser);
        };
        let user = known.user;
        let sessions = match &command {
            Command::Disable { .. } => self.store.disable_user(&user.id, self.clock.now()).await?,
            Command::Enable { .. } => self.store.enable_user(&user.id, self.clock.now()).await.map(|()| 0)?,
            Command::SetPassword { password, .. } => self.set_password(&user, password).await?,
            _ => self.store.end_sessions_of(&user.id).await?,
        };
        tracing::info!(user = %user.id, act = command.name(), sessions, "changed by the operator");
        Ok(Reply::Done { username: user.username, sessions })
    }

    /// Sets a password and ends every session, in one step.
    async fn set_password(&self, user: &User, password: &str) -> Result<u64, Error> {
        let password = Password::parse(password).map_err(|problem| invalid(Field::Password, problem))?;
        let place = self.hasher.enqueue()?;
        let hash = self.hash_new(&place, user, Field::Password, password).await?;
        Ok(self.store.set_password(&user.id, &hash).await?)
    }
}

impl From<User> for UserLine {
    fn from(user: User) -> Self {
        let disabled = user.disabled_at.is_some();
        Self { account: user.into(), disabled }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_act_has_one_name_on_the_wire_and_in_the_log() {
        let (who, password) = ("ann".to_owned(), "x".to_owned());
        let commands = [
            Command::Add { email: who.clone(), username: who.clone(), password: password.clone() },
            Command::List { after: String::new() },
            Command::Disable { who: who.clone() },
            Command::Enable { who: who.clone() },
            Command::SetPassword { who: who.clone(), password },
            Command::RevokeSessions { who },
        ];
        for command in commands {
            let wire = serde_json::to_value(&command).expect("JSON");
            assert_eq!(wire["command"], command.name().replace('-', "_"));
        }
    }
}
