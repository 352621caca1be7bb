//! The commands `vestibule events …`, which read the audit trail.

use std::time::Duration;

use clap::{Args, Subcommand};
use uuid::Uuid;

use super::{
    listing::json,
    output::{Failure, in_one_line, print_text},
    target::{Target, explain, require_database},
};
use crate::{
    domain::{
        event::{EventLine, EventName, EventQuery, Party},
        time::Timestamp,
    },
    error::AppError,
    server::config::Config,
    service::{
        admin::{Command, Reply},
        clock::{Clock as _, SystemClock},
    },
};

/// Events per command.
const PAGE: u32 = 500;
/// How often `--follow` looks for new events.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How many events `tail` starts with.
const LAST: u32 = 10;

/// The subcommands of `events`.
#[derive(Clone, Debug, Subcommand)]
pub enum EventsCommand {
    /// List events, the newest first
    List {
        #[command(flatten)]
        filter: Filter,
        /// At most this many
        #[arg(long, default_value_t = 50, value_name = "NUMBER")]
        limit: u32,
        /// Print JSON: one event a line
        #[arg(long)]
        json: bool,
    },
    /// List the latest events, the oldest first, and with --follow each new one. An event appears ten seconds after it
    /// happened, so that none is missed
    Tail {
        #[command(flatten)]
        filter: Filter,
        /// Wait for new events
        #[arg(long, short)]
        follow: bool,
        /// Begin after the event with this id; 0 begins with the oldest [default: the last ten]
        #[arg(long, value_name = "ID", value_parser = parse_cursor)]
        after: Option<String>,
        /// Print JSON: one event a line
        #[arg(long)]
        json: bool,
    },
}

/// Which events to list.
#[derive(Clone, Debug, Args)]
pub struct Filter {
    /// Only what was done to this account: an email, a username or an id
    #[arg(long, value_name = "WHO")]
    person: Option<String>,
    /// Only what this account did: an email, a username or an id
    #[arg(long, value_name = "WHO")]
    actor: Option<String>,
    /// Only this event, such as password.change, or this category, such as login
    #[arg(long, value_parser = parse_name)]
    name: Option<String>,
    /// Only this outcome: ok, denied or failed
    #[arg(long, value_parser = ["ok", "denied", "failed"])]
    outcome: Option<String>,
    /// Only from this network, such as 192.0.2.x
    #[arg(long)]
    network: Option<String>,
    /// Only since this time: 2026-11-01, 2026-11-01T12:00:00Z, or 7d for seven days ago
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    from: Option<i64>,
    /// Only before this time, written in the same way
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    to: Option<i64>,
}

impl Filter {
    fn query(self) -> EventQuery {
        EventQuery {
            person: self.person.unwrap_or_default(),
            actor: self.actor.unwrap_or_default(),
            name: self.name.unwrap_or_default(),
            outcome: self.outcome.unwrap_or_default(),
            network: self.network.unwrap_or_default(),
            from: self.from,
            to: self.to,
            ..EventQuery::default()
        }
    }
}

/// A name of an event or of a category.
fn parse_name(text: &str) -> Result<String, String> {
    if EventName::is_known(text) {
        Ok(text.to_owned())
    } else {
        Err("there is no event or category with this name".to_owned())
    }
}

fn parse_cursor(text: &str) -> Result<String, String> {
    if text == "0" {
        return Ok(text.to_owned());
    }
    Uuid::parse_str(text).map(|id| id.to_string()).map_err(|_| "this is not the id of an event".to_owned())
}

/// A time in milliseconds since 1970.
fn parse_time(text: &str) -> Result<i64, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return Ok(SystemClock.now().minus(ago).as_millis());
    }
    let time = Timestamp::parse_day_or_time(text).map(Timestamp::as_millis);
    time.ok_or_else(|| "write a time such as 2026-11-01, 2026-11-01T12:00:00Z or 7d".to_owned())
}

impl EventsCommand {
    /// Runs the command and prints the events.
    pub async fn run(self, config: &Config) -> Result<(), Failure> {
        require_database(config)?;
        match self {
            Self::List { filter, limit, json } => list(config, filter.query(), limit, json).await,
            Self::Tail { filter, follow, after, json } => tail(config, filter.query(), (follow, after), json).await,
        }
    }
}

/// Why no events came.
struct Missed {
    /// Whether they may come later, because the server or the database restarts.
    temporary: bool,
    failure: Failure,
}

impl From<Missed> for Failure {
    fn from(missed: Missed) -> Self {
        missed.failure
    }
}

async fn ask(target: &Target, query: EventQuery) -> Result<Vec<EventLine>, Missed> {
    match target.ask(&Command::Events { query }).await {
        Ok(Reply::Events { events }) => Ok(events),
        Ok(other) => {
            let temporary = matches!(other, Reply::Refused { error: AppError::Unavailable { .. } });
            Err(Missed { temporary, failure: explain(other) })
        }
        Err(cause) => Err(Missed { temporary: true, failure: cause.into() }),
    }
}

async fn list(config: &Config, mut query: EventQuery, limit: u32, as_json: bool) -> Result<(), Failure> {
    let target = Target::open(config).await?;
    let (mut left, mut header) = (limit, (!as_json).then(header));
    let listed = async {
        while left > 0 {
            query.limit = left.min(PAGE);
            let events = ask(&target, query.clone()).await?;
            // Only now, because the first reply may be an error.
            print_text(&header.take().unwrap_or_default())?;
            print(&events, as_json)?;
            let Some(last) = events.last().filter(|_| events.len() == query.limit as usize) else { break };
            query.before.clone_from(&last.id);
            left -= query.limit;
        }
        Ok(())
    };
    let listed = listed.await;
    target.close().await;
    listed
}

async fn tail(
    config: &Config,
    mut query: EventQuery,
    (follow, after): (bool, Option<String>),
    as_json: bool,
) -> Result<(), Failure> {
    let mut target = Target::open(config).await?;
    query.settled = true;
    if !as_json {
        print_text(&header())?;
    }
    if let Some(after) = after {
        query.after = after;
    } else {
        let last = EventQuery { limit: LAST, ..query.clone() };
        let mut events = ask(&target, last).await?;
        events.reverse();
        print(&events, as_json)?;
        query.after = events.pop().map_or_else(|| "0".to_owned(), |event| event.id);
    }
    (query.oldest_first, query.limit) = (true, PAGE);
    loop {
        match ask(&target, query.clone()).await {
            Ok(events) => {
                print(&events, as_json)?;
                if let Some(last) = events.last() {
                    query.after.clone_from(&last.id);
                }
                if events.len() == PAGE as usize {
                    continue;
                }
            }
            Err(missed) if follow && missed.temporary => {}
            Err(missed) => {
                target.close().await;
                return Err(missed.into());
            }
        }
        if !follow {
            target.close().await;
            return Ok(());
        }
        target = target.without_lock(config).await;
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn print(events: &[EventLine], as_json: bool) -> Result<(), Failure> {
    let mut text = String::new();
    for event in events {
        text.push_str(&if as_json { json(event)? + "\n" } else { row(event) });
    }
    print_text(&text)
}

fn header() -> String {
    columns(["TIME", "EVENT", "OUTCOME", "OF", "BY", "NETWORK", "CLIENT"])
}

fn columns([time, name, outcome, of, by, network, client]: [&str; 7]) -> String {
    let line = format!("{time:<20}  {name:<22}  {outcome:<7}  {of:<20}  {by:<20}  {network:<15}  {client}");
    in_one_line(line.trim_end()) + "\n"
}

fn row(event: &EventLine) -> String {
    let user = event.details.user.as_deref();
    let (of, by) = (party(&event.subject, None), party(&event.actor, user));
    columns([&event.at, &event.name, &event.outcome, &of, &by, &event.network, &event.client])
}

/// Names an actor or a subject.
fn party(Party { kind, id, name }: &Party, user: Option<&str>) -> String {
    let id = id.as_deref().unwrap_or_default();
    match (kind.as_str(), name, user) {
        (_, Some(name), _) => name.clone(),
        ("account", None, _) => format!("a deleted account ({id})"),
        ("group", None, _) => format!("a deleted group ({id})"),
        ("mail", None, _) => format!("mail {id}"),
        ("command_line", None, Some(user)) => format!("command line ({user})"),
        ("command_line", None, None) => "command line".to_owned(),
        ("system" | "server", None, _) => "the server".to_owned(),
        (other, None, _) => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_date_a_moment_or_a_duration_ago() {
        assert_eq!(parse_time("2026-11-22"), Ok(1_795_305_600_000));
        assert_eq!(parse_time("2026-11-22T12:00:00Z"), Ok(1_795_348_800_000));
        assert_eq!(parse_time("2026-11-22T13:00:00+01:00"), Ok(1_795_348_800_000));
        let now = SystemClock.now();
        let day_ago = Timestamp::from_millis(parse_time("1d").expect("a time"));
        assert!(now.since(day_ago) <= Duration::from_hours(24) && day_ago < now);
        assert!(parse_time("yesterday").is_err() && parse_time("22.11.2026").is_err());
    }

    #[test]
    fn a_name_or_a_category_is_known() {
        for known in ["login", "login.fail", "password.reset_request"] {
            assert_eq!(parse_name(known), Ok(known.to_owned()));
        }
        for unknown in ["", "log", "login.", "login.failed", "%"] {
            assert!(parse_name(unknown).is_err(), "{unknown}");
        }
    }

    #[test]
    fn a_deleted_account_is_shown_by_its_identifier() {
        let deleted = Party { kind: "account".to_owned(), id: Some("0193".to_owned()), name: None };
        assert_eq!(party(&deleted, None), "a deleted account (0193)");
        let local = Party { kind: "command_line".to_owned(), id: None, name: None };
        assert_eq!(party(&local, Some("root")), "command line (root)");
    }
}
