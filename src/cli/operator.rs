//! `vestibule operator …`: accounts with a role. Runs in this process, or in the server that has the database open.

use clap::{
    Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};

use super::{
    listing,
    output::{Failure, in_one_line, print_line, print_text},
    target::{ask, execute, explain, read_password, require_database},
};
use crate::{
    domain::role::Role,
    error::AppError,
    server::{config::Config, setup},
    service::admin::{Command, Reply, ShownLink},
};

/// The subcommands of `operator`.
#[derive(Clone, Debug, Subcommand)]
pub enum OperatorCommand {
    /// Create an account with a role. Prompts for the password, or reads it from standard input
    Add {
        /// The email address
        email: String,
        /// The username; reserved names such as admin are allowed
        username: String,
        /// The role: for those who run the service, help its users, or only look
        #[arg(long, value_parser = role(), default_value = Role::Admin.name())]
        role: Role,
    },
    /// Give an account a role, or take its role away. Ends its sessions and revokes its access tokens
    Role {
        /// Email, username or id
        who: String,
        /// The role
        #[arg(value_parser = role_or_none())]
        role: GivenRole,
        /// Take the role away even from the last admin
        #[arg(long)]
        force: bool,
    },
    /// Print a link that makes the first admin, while there is none. It works once, for an hour
    Link,
    /// List all accounts with a role
    List {
        /// Print JSON: an array of accounts
        #[arg(long)]
        json: bool,
    },
}

/// A role, or `none`.
#[derive(Clone, Copy, Debug)]
pub struct GivenRole(Option<Role>);

fn role() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(Role::ALL.map(Role::name)).try_map(|name| Role::named(&name).ok_or("not a role"))
}

fn role_or_none() -> impl TypedValueParser<Value = GivenRole> {
    let names = Role::ALL.map(Role::name).into_iter().chain(["none"]);
    PossibleValuesParser::new(names).map(|name| GivenRole(Role::named(&name)))
}

impl OperatorCommand {
    /// Runs the command and prints its result.
    pub async fn run(self, config: &Config) -> Result<(), Failure> {
        match self {
            Self::Add { email, username, role } => add(config, &email, &username, role).await,
            Self::Role { who, role: GivenRole(role), force } => {
                require_database(config)?;
                match ask(config, &Command::SetRole { who, role, force }).await? {
                    Reply::Done { username, sessions } => {
                        let now = role.map_or("no role".to_owned(), |role| format!("the role {}", role.name()));
                        print_line(&format!(
                            "The account {username} has {now} now. Sessions ended: {sessions}. Access tokens are \
                             revoked."
                        ))
                    }
                    Reply::RoleUnchanged { username } => {
                        let now = role.map_or("no role".to_owned(), |role| format!("the role {} already", role.name()));
                        print_line(&format!("The account {username} has {now}. Nothing was changed."))
                    }
                    other => Err(explain(other)),
                }
            }
            Self::Link => {
                require_database(config)?;
                link(config).await
            }
            Self::List { json } => {
                require_database(config)?;
                listing::list_operators(config, json).await
            }
        }
    }
}

async fn link(config: &Config) -> Result<(), Failure> {
    match ask(config, &Command::SetupLink).await? {
        Reply::SetupLink { link: ShownLink { token, base_url } } => {
            let base_url = base_url.unwrap_or_else(|| config.base_url(config.server.address));
            print_text(&setup::invitation(&in_one_line(&base_url), &in_one_line(&token)))?;
            if config.server.public_url.is_some() {
                return Ok(());
            }
            print_line("If people reach the server at another address, open the same path there.")
        }
        Reply::AdminExists => Err(Failure::Message(
            "the server has an admin already; see `vestibule operator list`, or make another one with \
             `vestibule operator role WHO admin`"
                .to_owned(),
        )),
        other => Err(explain(other)),
    }
}

async fn add(config: &Config, email: &str, username: &str, role: Role) -> Result<(), Failure> {
    let build = async || {
        let (email, username, password) = (email.to_owned(), username.to_owned(), read_password()?.to_string());
        Ok((Command::Add { email, username, password, role: Some(role) }, "was created with the role"))
    };
    match execute(config, build).await? {
        // A server of an earlier version knows no roles.
        (_, _, Reply::Added { account }) if account.role != Some(role) => Err(Failure::Message(format!(
            "the account {} was created without a role, because the running server has another version",
            in_one_line(&account.username)
        ))),
        (_, done, Reply::Added { account }) => {
            print_line(&format!("The account {} <{}> {done} {}.", account.username, account.email, role.name()))
        }
        (_, _, Reply::Refused { error: AppError::Taken }) => Err(Failure::Message(
            "an account with this email or username already exists; give it a role with `vestibule operator role`"
                .to_owned(),
        )),
        (_, _, other) => Err(explain(other)),
    }
}
