//! `vestibule group …`: groups of accounts. Runs in this process, or in the server that has the database open.

use clap::Subcommand;

use super::{
    listing::{self, json},
    output::{Failure, in_one_line, print_line, print_text},
    target::{ask, ask_each, explain, require_database},
};
use crate::{
    server::config::Config,
    service::{
        admin::{Command, GroupAction, Reply},
        groups::GroupLine,
    },
};

/// The subcommands of `group`.
#[derive(Clone, Debug, Subcommand)]
pub enum GroupCommand {
    /// Create a group
    Add {
        /// At most 64 letters, digits, single spaces and . _ - : / @ + (capitals make no difference)
        name: String,
    },
    /// List all groups: members, creation date, name
    List {
        /// Print JSON: an array of groups
        #[arg(long)]
        json: bool,
    },
    /// Change a group's name. Apps see the new name at once
    Rename {
        /// The present name
        name: String,
        /// The new name
        new: String,
    },
    /// Delete a group. Its members keep their accounts
    Delete {
        /// The name
        name: String,
        /// Even if it has members
        #[arg(long)]
        force: bool,
    },
    /// List the members of a group
    Members {
        /// The name
        name: String,
        /// Print JSON: an array of accounts
        #[arg(long)]
        json: bool,
    },
    /// Add accounts to a group
    Join {
        /// The group's name
        name: String,
        /// Emails, usernames or ids
        #[arg(required = true)]
        who: Vec<String>,
    },
    /// Remove accounts from a group
    Leave {
        /// The group's name
        name: String,
        /// Emails, usernames or ids
        #[arg(required = true)]
        who: Vec<String>,
    },
}

impl GroupCommand {
    /// Runs the command and prints its result.
    pub async fn run(self, config: &Config) -> Result<(), Failure> {
        require_database(config)?;
        match self {
            Self::Add { name } => change(config, GroupAction::Add { name }, "was created").await,
            Self::Rename { name, new } => {
                let done = format!("is the new name of {}", in_one_line(&name));
                change(config, GroupAction::Rename { name, new }, &done).await
            }
            Self::Delete { name, force } => change(config, GroupAction::Delete { name, force }, "was deleted").await,
            Self::List { json } => list(config, json).await,
            Self::Members { name, json } => {
                let page = |after| Command::Group { action: GroupAction::ListMembers { name: name.clone(), after } };
                listing::list_pages(config, json, page, |_| true).await
            }
            Self::Join { name, who } => {
                let join = |who| GroupAction::Join { name: name.clone(), who };
                change_members(config, who, join, |group| format!("belongs to {group} now")).await
            }
            Self::Leave { name, who } => {
                let leave = |who| GroupAction::Leave { name: name.clone(), who };
                change_members(config, who, leave, |group| format!("doesn't belong to {group} any more")).await
            }
        }
    }
}

async fn change(config: &Config, action: GroupAction, done: &str) -> Result<(), Failure> {
    match ask(config, &Command::Group { action }).await? {
        Reply::Group { name } => print_line(&format!("The group {name} {done}.")),
        other => Err(explain(other)),
    }
}

/// Adds or removes one account after the other, until one fails.
async fn change_members(
    config: &Config,
    who: Vec<String>,
    action: impl Fn(String) -> GroupAction,
    done: impl Fn(&str) -> String,
) -> Result<(), Failure> {
    let report = |who: &str, reply| match reply {
        Reply::Member { username, group } => print_line(&format!("The account {username} {}.", done(&group))),
        Reply::NoSuchUser => Err(format!("there is no account {who}; see `vestibule user list`").into()),
        other => Err(explain(other)),
    };
    ask_each(config, who, |who| Command::Group { action: action(who) }, report).await
}

async fn list(config: &Config, as_json: bool) -> Result<(), Failure> {
    let groups = match ask(config, &Command::Group { action: GroupAction::List }).await? {
        Reply::Groups { groups } => groups,
        other => return Err(explain(other)),
    };
    if as_json {
        let lines = groups.iter().map(json).collect::<Result<Vec<_>, _>>()?;
        let (open, close) = if lines.is_empty() { ("[", "]\n") } else { ("[\n  ", "\n]\n") };
        return print_text(&format!("{open}{}{close}", lines.join(",\n  ")));
    }
    let row = |GroupLine { name, created_at, members, .. }: &GroupLine| {
        let created = created_at.split('T').next().unwrap_or_default();
        format!("{members:>7}  {created:<10}  {}\n", in_one_line(name))
    };
    let header = format!("{:>7}  {:<10}  NAME\n", "MEMBERS", "CREATED");
    print_text(&format!("{header}{}Groups: {}.\n", groups.iter().map(row).collect::<String>(), groups.len()))
}
