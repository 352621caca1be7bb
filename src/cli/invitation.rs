//! `vestibule invitation …`: invitations to register. Runs in this process, or in the server that has the database open.

use clap::Subcommand;

use super::{
    listing::json,
    output::{Failure, in_one_line, print_line, print_text},
    target::{Target, ask, ask_each, explain, require_database, url_of},
};
use crate::{
    domain::invitation::{Days, InvitationRequest, Note, Uses},
    error::AppError,
    server::config::Config,
    service::{
        admin::{Command, InvitationAction, Reply},
        invitations::InvitationLine,
    },
};

/// The subcommands of `invitation`.
#[derive(Clone, Debug, Subcommand)]
pub enum InvitationCommand {
    /// Create an invitation and print its link, or send the link by email
    Add {
        /// Only this email can register with it. Without it, any email can
        email: Option<String>,
        /// How many accounts can register with it
        #[arg(long, default_value_t, conflicts_with = "email")]
        uses: Uses,
        /// How many days it is valid, at most 90
        #[arg(long, default_value_t)]
        days: Days,
        /// A group that the new account joins. Can be repeated
        #[arg(long, value_name = "NAME")]
        group: Vec<String>,
        /// A remark for operators
        #[arg(long, default_value = "", value_name = "TEXT")]
        note: Note,
        /// Send the link to the email instead of printing it. Registration then confirms the email
        #[arg(long, requires = "email")]
        send: bool,
    },
    /// List all invitations. Used and expired ones stay in the list for a month
    List {
        /// Print JSON: an array of invitations
        #[arg(long)]
        json: bool,
    },
    /// Send an invitation for one email again, with a new link. The old link is no longer valid
    Send {
        /// The identifier, as in `invitation list`
        id: String,
        /// How many days the new link is valid, at most 90
        #[arg(long, default_value_t)]
        days: Days,
    },
    /// Revoke invitations, so that nobody can register with them any more
    Revoke {
        /// Identifiers, as in `invitation list`
        #[arg(required = true)]
        id: Vec<String>,
    },
}

impl InvitationCommand {
    /// Runs the command and prints its result.
    pub async fn run(self, config: &Config) -> Result<(), Failure> {
        require_database(config)?;
        match self {
            Self::Add { email, uses, days, group: groups, note, send } => {
                add(config, InvitationRequest { email, uses, days, groups, note, send }).await
            }
            Self::List { json } => list(config, json).await,
            Self::Send { id, days } => send(config, id, days).await,
            Self::Revoke { id } => revoke(config, id).await,
        }
    }
}

async fn add(config: &Config, request: InvitationRequest) -> Result<(), Failure> {
    let to = request.email.clone().unwrap_or_default();
    let action = InvitationAction::Add { request };
    match ask(config, &Command::Invitation { action }).await? {
        Reply::Invited { id, link: Some(link), expires_at } => {
            let url = url_of(config, link, "invite");
            let until = day(&expires_at);
            print_text(&format!("Invitation {id}, valid until {until}. Give this link to those you invite:\n{url}\n"))
        }
        Reply::Invited { id, link: None, expires_at } => {
            let (to, until) = (in_one_line(&to), day(&expires_at));
            print_line(&format!("Invitation {id}, valid until {until}, is sent to {to}."))
        }
        other => Err(explain(other)),
    }
}

async fn send(config: &Config, id: String, days: Days) -> Result<(), Failure> {
    let action = InvitationAction::Send { id: id.clone(), days };
    match ask(config, &Command::Invitation { action }).await? {
        Reply::Invited { id, expires_at, .. } => {
            let until = day(&expires_at);
            print_line(&format!("Invitation {}, valid until {until}, is sent again.", in_one_line(&id)))
        }
        Reply::NoSuchInvitation => {
            let id = in_one_line(&id);
            Err(format!(
                "there is no invitation {id} for one email that can still be used; see `vestibule invitation list`"
            )
            .into())
        }
        Reply::Refused { error: AppError::MailOff } => Err("mail is off; set mail.url".to_owned().into()),
        other => Err(explain(other)),
    }
}

async fn revoke(config: &Config, ids: Vec<String>) -> Result<(), Failure> {
    let report = |id: &str, reply| match reply {
        Reply::InvitationRevoked => print_line(&format!("The invitation {} was revoked.", in_one_line(id))),
        Reply::NoSuchInvitation => {
            let id = in_one_line(id);
            Err(format!("there is no invitation {id} that can be revoked; see `vestibule invitation list`").into())
        }
        other => Err(explain(other)),
    };
    let command = |id| Command::Invitation { action: InvitationAction::Revoke { id } };
    ask_each(config, ids, command, report).await
}

async fn list(config: &Config, as_json: bool) -> Result<(), Failure> {
    let target = Target::open(config).await?;
    let all = read_all(&target).await;
    target.close().await;
    let all = all?;
    if as_json {
        let lines = all.iter().map(json).collect::<Result<Vec<_>, _>>()?;
        let (open, close) = if lines.is_empty() { ("[", "]\n") } else { ("[\n  ", "\n]\n") };
        return print_text(&format!("{open}{}{close}", lines.join(",\n  ")));
    }
    let header = format!("{:<36}  {:<7}  {:<9}  {:<10}  FOR\n", "ID", "STATE", "USED", "UNTIL");
    let rows = all.iter().map(row).collect::<String>();
    print_text(&format!("{header}{rows}Invitations: {}.\n", all.len()))
}

async fn read_all(target: &Target) -> Result<Vec<InvitationLine>, Failure> {
    let mut all: Vec<InvitationLine> = Vec::new();
    loop {
        let after = all.last().map(|line| line.id.clone()).unwrap_or_default();
        match target.ask(&Command::Invitation { action: InvitationAction::List { after } }).await? {
            Reply::Invitations { invitations } if invitations.is_empty() => return Ok(all),
            Reply::Invitations { invitations } => all.extend(invitations),
            other => return Err(explain(other)),
        }
    }
}

fn row(line: &InvitationLine) -> String {
    let InvitationLine { id, state, email, uses, uses_left, note, expires_at, .. } = line;
    let used = format!("{} of {uses}", uses - uses_left);
    let mut to = in_one_line(email.as_deref().unwrap_or("any email"));
    if !note.is_empty() {
        to = format!("{to} ({})", in_one_line(note));
    }
    format!("{id:<36}  {:<7}  {used:<9}  {:<10}  {to}\n", state.name(), day(expires_at))
}

/// The day of a time in RFC 3339.
fn day(time: &str) -> &str {
    time.split('T').next().unwrap_or_default()
}
