//! The audit trail. Each change adds its event in its own transaction.

use std::time::Duration;

use uuid::Uuid;

use super::{
    Error, Store,
    begin::{DURABLE, RELAXED},
    tx::{Tx, Value},
};
use crate::domain::{
    event::{Actor, Credential, Details, EventName, Outcome, Stamp, Subject},
    time::Timestamp,
};

/// Makes the table append-only. Triggers differ between the databases.
pub(super) const GUARD_ON_SQLITE: &str = include_str!("events/sqlite.sql");
pub(super) const GUARD_ON_POSTGRES: &str = include_str!("events/postgres.sql");
/// Whether PostgreSQL has the triggers.
pub(super) const IS_GUARDED: &str = "SELECT CAST(tgname AS TEXT) FROM pg_trigger \
    WHERE tgrelid = CAST('events' AS regclass) AND tgname = 'events_are_not_truncated'";

/// The period with a limit on events about what strangers try.
const DAY: Duration = Duration::from_hours(24);
/// How many events of one name strangers can cause about an account in that period.
const FAILURES_PER_DAY: i64 = 12;

/// The failed attempts in a row that have an event: the first, the fifth, and each time that their number has doubled.
/// The one after which the next attempt must wait has one too, see [`Failure`].
const fn is_recorded(attempts: i64) -> bool {
    attempts == 1 || (attempts % 5 == 0 && (attempts / 5).count_ones() == 1)
}

macro_rules! columns {
    () => {
        "id, at, name, outcome, subject_kind, subject_id, actor_kind, actor_id, credential_id, via, network, client, \
         request_id, details"
    };
}

const INSERT: &str = concat!(
    "INSERT INTO events (",
    columns!(),
    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
);

/// $15 the identifier that a day's events follow, $16 their limit. Adds nothing if the subject is no account.
const INSERT_LIMITED: &str = concat!(
    "INSERT INTO events (",
    columns!(),
    ") SELECT $1, $2, $3, $4, $5, id, $7, $8, $9, $10, $11, $12, $13, $14 FROM users WHERE id = $6 \
     AND (SELECT COUNT(*) FROM events WHERE subject_id = $6 AND id > $15 AND name = $3 AND outcome = $4) < $16"
);

/// An event with the names that its account and its actor have now. Times are milliseconds since 1970.
#[derive(Clone, Debug, sqlx::FromRow)]
#[expect(missing_docs, reason = "the fields are columns of the tables")]
pub struct EventRecord {
    pub id: String,
    pub at: i64,
    pub name: String,
    pub outcome: String,
    pub subject_kind: String,
    pub subject_id: Option<String>,
    pub actor_kind: String,
    /// `None` if the actor is the subject, or has no account.
    pub actor_id: Option<String>,
    pub credential_id: Option<String>,
    pub via: String,
    pub network: String,
    pub client: String,
    pub request_id: String,
    pub details: String,
    pub subject_name: Option<String>,
    pub actor_name: Option<String>,
}

/// The restrictions of a search. An empty text is none.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// The identifier of the account that was changed.
    pub person: String,
    /// The identifier of the account that acted.
    pub actor: String,
    /// A name.
    pub name: String,
    /// A category of names.
    pub category: String,
    /// An outcome.
    pub outcome: String,
    /// A network.
    pub network: String,
    /// Only events with a greater identifier.
    pub after: String,
    /// Only events with a smaller identifier.
    pub before: String,
    /// Whether the oldest comes first.
    pub oldest_first: bool,
    /// The maximum number of events.
    pub limit: u32,
}

/// Whether an account acted, by a parameter. An actor who is the subject is stored once.
macro_rules! acted {
    ($id:literal) => {
        concat!(
            "((events.actor_id IS NOT NULL AND events.actor_id = ",
            $id,
            ") OR (events.subject_id = ",
            $id,
            " AND events.actor_id IS NULL AND events.actor_kind = 'account'))"
        )
    };
}

/// Selects events in one of the two orders. $1 and $2 the identifiers between which they lie, $3 a pattern of names, $4
/// the outcome, $5 the network, $6 the actor, $7 the limit, $8 the value of the first condition, which has an index.
macro_rules! select_events {
    ($condition:expr) => {
        [select_events!(@ $condition, " DESC LIMIT $7"), select_events!(@ $condition, " LIMIT $7")]
    };
    (@ $condition:expr, $order:literal) => {
        concat!(
            "SELECT events.id, at, events.name, outcome, subject_kind, subject_id, actor_kind, actor_id, credential_id, via, \
             network, client, request_id, details, COALESCE(subjects.username, groups.name) AS subject_name, \
             actors.username AS actor_name FROM events \
             LEFT JOIN users AS subjects ON subject_kind = 'account' AND subjects.id = subject_id \
             LEFT JOIN groups ON subject_kind = 'group' AND groups.id = subject_id \
             LEFT JOIN users AS actors ON actors.id = actor_id \
             WHERE ",
            $condition,
            " AND events.id > $1 AND events.id < $2 AND ($3 = '' OR events.name LIKE $3) AND ($4 = '' OR outcome = $4) \
             AND ($5 = '' OR network = $5) AND ($6 = '' OR ",
            acted!("$6"),
            ") ORDER BY events.id",
            $order
        )
    };
}

impl EventFilter {
    /// The statements for both orders, and the value of their first condition.
    fn select(&self) -> ([&'static str; 2], &str) {
        if !self.person.is_empty() {
            (select_events!("events.subject_id = $8"), &self.person)
        } else if !self.actor.is_empty() {
            (select_events!(acted!("$8")), &self.actor)
        } else if !self.name.is_empty() {
            (select_events!("events.name = $8"), &self.name)
        } else {
            (select_events!("$8 = ''"), "")
        }
    }
}

/// Greater than all identifiers.
const END: &str = "g";

/// What happened, for [`record`].
#[derive(Clone, Debug)]
pub(super) struct Event<'a> {
    pub name: EventName,
    pub outcome: Outcome,
    pub subject: Subject<'a>,
    pub details: Details,
}

impl<'a> Event<'a> {
    /// Something that was done, without details.
    pub fn done(name: EventName, subject: Subject<'a>) -> Self {
        Self { name, outcome: Outcome::Ok, subject, details: Details::default() }
    }

    /// Something that was done to an account, without details.
    pub fn of(name: EventName, account: &'a str) -> Self {
        Self::done(name, Subject::Account(account))
    }

    pub fn with(self, details: Details) -> Self {
        Self { details, ..self }
    }
}

/// The texts of an event that no row lends.
struct Texts {
    id: String,
    details: String,
}

impl Texts {
    fn new(stamp: &Stamp, event: &Event<'_>) -> Result<Self, Error> {
        let user = match &stamp.by.actor {
            Actor::CommandLine(user) => Some(user.clone()),
            _ => None,
        };
        let details = Details { user, ..event.details.clone() };
        let details = serde_json::to_string(&details).map_err(|cause| Error::Refused(cause.to_string()))?;
        Ok(Self { id: stamp.id.to_string(), details })
    }
}

/// The values of [`INSERT`].
fn insert<'v>(stamp: &'v Stamp, event: &Event<'v>, texts: &'v Texts) -> Vec<Value<'v>> {
    let (actor, origin) = (&stamp.by.actor, &stamp.by.origin);
    let subject = event.subject.id();
    let (actor_id, credential) = match actor {
        Actor::Account { id, credential } => (Some(id.as_str()), credential.as_ref()),
        _ => (None, None),
    };
    let credential = credential.map(|credential| match credential {
        Credential::Session(id) | Credential::AccessToken(id) => id.as_str(),
    });
    let via: &'static str = stamp.via().into();
    vec![
        (&texts.id).into(),
        stamp.at.into(),
        event.name.name().into(),
        event.outcome.name().into(),
        event.subject.kind().into(),
        subject.into(),
        actor.kind().into(),
        actor_id.filter(|id| Some(*id) != subject).into(),
        credential.into(),
        via.into(),
        (&origin.network).into(),
        (&origin.client).into(),
        (&origin.request_id).into(),
        (&texts.details).into(),
    ]
}

/// Adds an event in the transaction of its change.
pub(super) async fn record(tx: &mut Tx<'_>, stamp: &Stamp, event: Event<'_>) -> Result<(), Error> {
    let texts = Texts::new(stamp, &event)?;
    tx.execute(INSERT, &insert(stamp, &event, &texts)).await?;
    tx.note_event(event.name);
    Ok(())
}

/// Adds an event about an account that strangers can cause, unless there were too many in the last day. Runs the same
/// statement if there is no such account.
pub(super) async fn record_limited(tx: &mut Tx<'_>, stamp: &Stamp, event: Event<'_>) -> Result<(), Error> {
    let texts = Texts::new(stamp, &event)?;
    let since = first_id_at(stamp.at.minus(DAY));
    let mut values = insert(stamp, &event, &texts);
    values.extend([Value::from(&since), Value::from(FAILURES_PER_DAY)]);
    if tx.execute(INSERT_LIMITED, &values).await? > 0 {
        tx.note_event(event.name);
    }
    Ok(())
}

/// An identifier at or before all those of a millisecond.
#[must_use]
pub fn first_id_at(time: Timestamp) -> String {
    let millis = u128::try_from(time.as_millis()).unwrap_or(0);
    Uuid::from_u128(millis << 80).to_string()
}

/// A failed attempt to enter an account's password.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The name of its event.
    pub name: EventName,
    /// The account. Empty if there is none.
    pub user: String,
    /// Who tried it.
    pub stamp: Stamp,
}

impl Failure {
    /// Adds the event, if this number of failures in a row has one. `free` attempts don't have to wait.
    pub(super) async fn record(
        &self,
        tx: &mut Tx<'_>,
        (attempts, wait): (i64, Duration),
        free: u32,
    ) -> Result<(), Error> {
        if !is_recorded(attempts) && attempts != i64::from(free) {
            return Ok(());
        }
        let wait = i64::try_from(wait.as_secs()).unwrap_or(i64::MAX);
        let details = Details { attempts: Some(attempts), wait_seconds: Some(wait), ..Details::default() };
        let subject = Subject::Account(&self.user);
        let event = Event { name: self.name, outcome: Outcome::Failed, subject, details };
        record_limited(tx, &self.stamp, event).await
    }
}

/// Raises a mark, before which the triggers allow events to be deleted.
const RAISE_MARK: &str = "INSERT INTO server_facts (name, value) VALUES ($1, $2) \
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";
const SELECT_MARK: &str = "SELECT CAST(value AS BIGINT) FROM server_facts WHERE name = $1";

/// The name of the mark that applies to an event.
fn mark_of(name: EventName) -> &'static str {
    if name.is_login() { "login_events_kept_since" } else { "events_kept_since" }
}

impl Store {
    /// Whether there is an event of a name from before a time.
    pub async fn has_events_before(&self, name: EventName, time: Timestamp) -> Result<bool, Error> {
        let sql = "SELECT id FROM events WHERE name = $1 AND id < $2 LIMIT 1";
        let before = first_id_at(time);
        let values = [Value::from(name.name()), Value::from(&before)];
        self.read(async |conn| conn.exists(sql, &values).await).await
    }

    /// Deletes up to `limit` events of a name from before a time. Returns how many.
    pub async fn delete_events_before(&self, name: EventName, time: Timestamp, limit: u32) -> Result<u64, Error> {
        let sql = "DELETE FROM events WHERE id IN \
                   (SELECT id FROM events WHERE name = $1 AND id < $2 ORDER BY id LIMIT $3)";
        let (mark, before) = (mark_of(name), first_id_at(time));
        self.write(RELAXED, async |tx| {
            let present: Option<(i64,)> = tx.fetch_optional(SELECT_MARK, &[mark.into()]).await?;
            if present.is_none_or(|(present,)| present < time.as_millis()) {
                let value = time.as_millis().to_string();
                tx.execute(RAISE_MARK, &[mark.into(), (&value).into()]).await?;
            }
            tx.execute(sql, &[name.name().into(), (&before).into(), limit.into()]).await
        })
        .await
    }

    /// Finds events. On PostgreSQL, a search among all accounts has no time limit, because a rare event may be far away.
    pub async fn find_events(&self, filter: &EventFilter) -> Result<Vec<EventRecord>, Error> {
        let ([newest_first, oldest_first], first) = filter.select();
        let sql = if filter.oldest_first { oldest_first } else { newest_first };
        let pattern = match (filter.name.as_str(), filter.category.as_str()) {
            ("", "") => String::new(),
            ("", category) => format!("{category}.%"),
            (name, _) => name.to_owned(),
        };
        let before = if filter.before.is_empty() { END } else { &filter.before };
        let EventFilter { after, outcome, network, actor, limit, .. } = filter;
        let values = [
            Value::from(after),
            Value::from(before),
            Value::from(&pattern),
            Value::from(outcome),
            Value::from(network),
            Value::from(actor),
            Value::from(*limit),
            Value::from(first),
        ];
        if filter.person.is_empty() {
            self.search(async |conn| conn.fetch_all(sql, &values).await).await
        } else {
            self.read(async |conn| conn.fetch_all(sql, &values).await).await
        }
    }

    /// Adds an event of something that an operator may not do. Only the first ones of a day are added.
    pub async fn record_denial(&self, stamp: &Stamp, operator: &str) -> Result<(), Error> {
        let subject = Subject::Account(operator);
        let details = Details::default();
        let event = Event { name: EventName::OperatorDeny, outcome: Outcome::Denied, subject, details };
        self.write(RELAXED, async |tx| record_limited(tx, stamp, event).await).await
    }

    /// Adds an event of something that changes no other row.
    pub async fn record(
        &self,
        stamp: &Stamp,
        name: EventName,
        subject: Subject<'_>,
        details: Details,
    ) -> Result<(), Error> {
        self.write(DURABLE, async |tx| record(tx, stamp, Event::done(name, subject).with(details)).await).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_recorded_when_their_number_doubles() {
        let recorded: Vec<i64> = (1..=100).filter(|attempts| is_recorded(*attempts)).collect();
        assert_eq!(recorded, [1, 5, 10, 20, 40, 80]);
    }

    #[test]
    fn identifiers_sort_after_the_first_of_their_millisecond() {
        let at = Timestamp::from_millis(1_795_348_800_000);
        let id = |millis: u64| uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid().to_string();
        assert!(first_id_at(at) <= id(1_795_348_800_000));
        assert!(first_id_at(at) > id(1_795_348_799_999));
    }
}
