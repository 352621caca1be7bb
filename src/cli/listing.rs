//! Accounts as a table, as lines, and as JSON.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::{
    output::{Failure, in_one_line, print_text},
    target::{Target, ask, explain},
};
use crate::{
    domain::role::Role,
    server::config::Config,
    service::admin::{Command, Reply, UserDetails, UserLine},
};

/// The options of `user list`.
#[derive(Clone, Debug, Args)]
pub struct ListOptions {
    /// Print JSON: an array of accounts
    #[arg(long)]
    json: bool,
    /// Only accounts with this text in their email or username
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Only enabled accounts, only disabled ones, or only those that wait for approval
    #[arg(long)]
    state: Option<State>,
    /// Only accounts whose email is not confirmed
    #[arg(long)]
    unconfirmed: bool,
    /// Only accounts that have never logged in
    #[arg(long)]
    never: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum State {
    Enabled,
    Disabled,
    Pending,
}

impl State {
    const fn of(user: &UserLine) -> Self {
        match user {
            UserLine { disabled: true, .. } => Self::Disabled,
            UserLine { pending: true, .. } => Self::Pending,
            UserLine { .. } => Self::Enabled,
        }
    }
}

impl ListOptions {
    fn matches(&self, user: &UserLine) -> bool {
        let UserLine { account, last_login_at, .. } = user;
        let found = self.search.as_ref().is_none_or(|text| {
            let text = text.to_lowercase();
            account.email.to_lowercase().contains(&text) || account.username.to_lowercase().contains(&text)
        });
        found
            && self.state.is_none_or(|wanted| wanted == State::of(user))
            && !(self.unconfirmed && account.email_verified)
            && !(self.never && last_login_at.is_some())
    }
}

/// Lists accounts.
pub async fn list(config: &Config, options: &ListOptions) -> Result<(), Failure> {
    list_pages(config, options.json, |after| Command::List { after }, |user| options.matches(user)).await
}

/// Lists the accounts that match, some hundred at a time. `page` creates the command for those after an account.
pub async fn list_pages(
    config: &Config,
    as_json: bool,
    page: impl Fn(String) -> Command,
    matches: impl Fn(&UserLine) -> bool,
) -> Result<(), Failure> {
    let target = Target::open(config).await?;
    let listed = print_pages(&target, as_json, page, matches).await;
    target.close().await;
    listed
}

async fn print_pages(
    target: &Target,
    as_json: bool,
    page: impl Fn(String) -> Command,
    matches: impl Fn(&UserLine) -> bool,
) -> Result<(), Failure> {
    let mut table = None;
    let mut after = String::new();
    loop {
        let users = match target.ask(&page(after.clone())).await? {
            Reply::Users { users } => users,
            other => return Err(explain(other)),
        };
        // Only now, because the first reply may be an error.
        let table = match &mut table {
            Some(table) => table,
            None => table.insert(Table::begin(as_json)?),
        };
        let Some(last) = users.last() else { return table.end() };
        after.clone_from(&last.account.id);
        table.print(users.iter().filter(|user| matches(user)))?;
    }
}

/// Lists the accounts with a role.
pub async fn list_operators(config: &Config, as_json: bool) -> Result<(), Failure> {
    match ask(config, &Command::ListOperators).await? {
        Reply::Users { users } => {
            let mut table = Table::begin(as_json)?;
            table.print(users.iter())?;
            table.end()
        }
        other => Err(explain(other)),
    }
}

/// A table of accounts, or an array in JSON, that is printed in pieces.
struct Table {
    json: bool,
    count: usize,
}

impl Table {
    fn begin(json: bool) -> Result<Self, Failure> {
        let header = format!(
            "{:<20}  {:<10}  {:<16}  {:<8}  {:<9}  {:<7}  {:<36}  EMAIL\n",
            "USERNAME", "CREATED", "LAST LOGIN", "STATE", "CONFIRMED", "ROLE", "ID"
        );
        print_text(if json { "[" } else { &header })?;
        Ok(Self { json, count: 0 })
    }

    fn print<'u>(&mut self, users: impl Iterator<Item = &'u UserLine>) -> Result<(), Failure> {
        let mut text = String::new();
        for user in users {
            if self.json {
                text.push_str(if self.count == 0 { "\n  " } else { ",\n  " });
                text.push_str(&json(user)?);
            } else {
                text.push_str(&row(user));
            }
            self.count += 1;
        }
        print_text(&text)
    }

    fn end(&self) -> Result<(), Failure> {
        print_text(&match (self.json, self.count) {
            (true, 0) => "]\n".to_owned(),
            (true, _) => "\n]\n".to_owned(),
            (false, count) => format!("Accounts: {count}.\n"),
        })
    }
}

/// An account as a line of the table.
fn row(user: &UserLine) -> String {
    let UserLine { account, last_login_at, .. } = user;
    let state = match State::of(user) {
        State::Enabled => "enabled",
        State::Disabled => "disabled",
        State::Pending => "pending",
    };
    let confirmed = if account.email_verified { "yes" } else { "no" };
    let login = last_login_at.as_ref().map_or_else(|| "never".to_owned(), |time| to_the_minute(time));
    let created = account.created_at.split('T').next().unwrap_or_default();
    format!(
        "{:<20}  {created:<10}  {login:<16}  {state:<8}  {confirmed:<9}  {:<7}  {:<36}  {}\n",
        in_one_line(&account.username),
        role_of(account.role),
        in_one_line(&account.id),
        in_one_line(&account.email)
    )
}

const fn role_of(role: Option<Role>) -> &'static str {
    match role {
        Some(role) => role.name(),
        None => "none",
    }
}

/// Formats one account's details as lines or as JSON, with a line break at the end.
pub fn details(details: &UserDetails, as_json: bool) -> Result<String, Failure> {
    if as_json {
        return Ok(json(details)? + "\n");
    }
    let UserDetails { line: UserLine { account, last_login_at, pending, .. }, disabled_at, email_verified_at, .. } =
        details;
    let or = |time: &Option<String>, other: &str| time.clone().unwrap_or_else(|| other.to_owned());
    let lines = [
        ("Id", account.id.clone()),
        ("Username", account.username.clone()),
        ("Email", account.email.clone()),
        ("Confirmed", or(email_verified_at, "no")),
        ("Created", account.created_at.clone()),
        ("Last login", or(last_login_at, "never")),
        ("Disabled", or(disabled_at, "no")),
        ("Pending", if *pending { "yes, waits for approval" } else { "no" }.to_owned()),
        ("Role", role_of(account.role).to_owned()),
        ("Groups", if account.groups.is_empty() { "none".to_owned() } else { account.groups.join(", ") }),
        ("Sessions", details.sessions.to_string()),
        ("Access tokens", details.access_tokens.to_string()),
    ];
    Ok(lines.map(|(name, value)| format!("{:<15}{}\n", format!("{name}:"), in_one_line(&value))).concat())
}

/// JSON on one line. `serde_json` escapes ASCII control characters only, so this escapes the others.
pub fn json(value: &impl Serialize) -> Result<String, Failure> {
    let json = serde_json::to_string(value);
    let json = json.map_err(|cause| Failure::Message(format!("the output can't be written as JSON: {cause}")))?;
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() {
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    Ok(text)
}

/// Drops the seconds of an RFC 3339 time.
fn to_the_minute(time: &str) -> String {
    time.get(..16).unwrap_or(time).replace('T', " ")
}
