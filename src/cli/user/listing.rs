//! `user list` and `user show`: accounts as a table, as lines, and as JSON.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::{Failure, Operator, explain};
use crate::{
    cli::output::{in_one_line, print_text},
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
    /// Only enabled or only disabled accounts
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
}

impl ListOptions {
    fn matches(&self, UserLine { account, disabled, last_login_at }: &UserLine) -> bool {
        let found = self.search.as_ref().is_none_or(|text| {
            let text = text.to_lowercase();
            account.email.to_lowercase().contains(&text) || account.username.to_lowercase().contains(&text)
        });
        let state = if *disabled { State::Disabled } else { State::Enabled };
        found
            && self.state.is_none_or(|wanted| wanted == state)
            && !(self.unconfirmed && account.email_verified)
            && !(self.never && last_login_at.is_some())
    }
}

/// Lists accounts, some hundred at a time.
pub async fn list(config: &Config, options: &ListOptions) -> Result<(), Failure> {
    let operator = Operator::open(config).await?;
    let listed = list_all(&operator, options).await;
    operator.close().await;
    listed
}

async fn list_all(operator: &Operator, options: &ListOptions) -> Result<(), Failure> {
    let mut after = String::new();
    let mut count = 0_usize;
    let header = format!(
        "{:<20}  {:<10}  {:<16}  {:<8}  {:<9}  {:<36}  EMAIL\n",
        "USERNAME", "CREATED", "LAST LOGIN", "STATE", "CONFIRMED", "ID"
    );
    print_text(if options.json { "[" } else { &header })?;
    loop {
        let users = match operator.ask(&Command::List { after: after.clone() }).await? {
            Reply::Users { users } => users,
            other => return Err(explain(other)),
        };
        let Some(last) = users.last() else { break };
        after.clone_from(&last.account.id);
        let mut text = String::new();
        for user in users.iter().filter(|user| options.matches(user)) {
            if options.json {
                text.push_str(if count == 0 { "\n  " } else { ",\n  " });
                text.push_str(&json(user)?);
            } else {
                text.push_str(&row(user));
            }
            count += 1;
        }
        print_text(&text)?;
    }
    print_text(&match (options.json, count) {
        (true, 0) => "]\n".to_owned(),
        (true, _) => "\n]\n".to_owned(),
        (false, _) => format!("Accounts: {count}.\n"),
    })
}

/// An account as a line of the table.
fn row(UserLine { account, disabled, last_login_at }: &UserLine) -> String {
    let state = if *disabled { "disabled" } else { "enabled" };
    let confirmed = if account.email_verified { "yes" } else { "no" };
    let login = last_login_at.as_ref().map_or_else(|| "never".to_owned(), |time| to_the_minute(time));
    let created = account.created_at.split('T').next().unwrap_or_default();
    format!(
        "{:<20}  {created:<10}  {login:<16}  {state:<8}  {confirmed:<9}  {:<36}  {}\n",
        in_one_line(&account.username),
        in_one_line(&account.id),
        in_one_line(&account.email)
    )
}

/// Formats one account's details as lines or as JSON, with a line break at the end.
pub fn details(details: &UserDetails, as_json: bool) -> Result<String, Failure> {
    if as_json {
        return Ok(json(details)? + "\n");
    }
    let UserDetails { line: UserLine { account, last_login_at, .. }, disabled_at, email_verified_at, .. } = details;
    let or = |time: &Option<String>, other: &str| time.clone().unwrap_or_else(|| other.to_owned());
    let lines = [
        ("Id", account.id.clone()),
        ("Username", account.username.clone()),
        ("Email", account.email.clone()),
        ("Confirmed", or(email_verified_at, "no")),
        ("Created", account.created_at.clone()),
        ("Last login", or(last_login_at, "never")),
        ("Disabled", or(disabled_at, "no")),
        ("Sessions", details.sessions.to_string()),
        ("Access tokens", details.access_tokens.to_string()),
    ];
    Ok(lines.map(|(name, value)| format!("{:<15}{}\n", format!("{name}:"), in_one_line(&value))).concat())
}

/// JSON on one line. `serde_json` escapes ASCII control characters only, so this escapes the others.
fn json(value: &impl Serialize) -> Result<String, Failure> {
    let json = serde_json::to_string(value);
    let json = json.map_err(|cause| Failure::Message(format!("the account can't be written as JSON: {cause}")))?;
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
