//! Stamps of events: who acts, from where, and when.

use std::time::Duration;

use uuid::Uuid;

use super::{
    Caller, Error, Principal, Proven, Service,
    clock::Clock,
    entropy::{Entropy, new_uuid},
    request_id::RequestId,
};
use crate::{
    domain::{
        event::{
            Actor, Credential, Details, EventLine, EventName, EventQuery, Initiator, Origin, Party, Stamp, Subject,
        },
        identifier::Identifier,
        time::Timestamp,
        user_agent,
    },
    store::{self, EventFilter, EventRecord, Session, first_id_at},
};

/// The longest description of a client, in characters.
const CLIENT_LENGTH: usize = 60;

/// Creates the stamp of an operation. Called just before the operation's transaction, so that events are stored in
/// nearly the order of their identifiers.
pub fn stamp(clock: &dyn Clock, entropy: &dyn Entropy, by: Initiator) -> Stamp {
    let at = clock.now();
    Stamp { id: new_uuid(entropy, at), at, by }
}

impl Caller {
    /// The client's name for a session, without characters that could harm a terminal or a page. It is empty for a
    /// client without a `User-Agent`.
    pub(super) fn name(&self) -> String {
        let name: String = self.agent.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(200).collect();
        name.trim().to_owned()
    }

    /// Describes the request of somebody.
    pub(super) fn acting_as(&self, actor: Actor) -> Initiator {
        let name = self.name();
        let client = if name.is_empty() { String::new() } else { user_agent::describe(&name) };
        let origin = Origin {
            via: self.via,
            network: user_agent::network(self.address),
            client: client.chars().take(CLIENT_LENGTH).collect(),
            request_id: RequestId::current().map_or_else(String::new, |id| id.as_str().to_owned()),
        };
        Initiator { actor, origin }
    }

    /// Describes the request of somebody who is not authenticated.
    pub(super) fn acting_anonymously(&self) -> Initiator {
        self.acting_as(Actor::Anonymous)
    }

    /// Describes the request of somebody who just entered an account's password.
    pub(super) fn acting_by_password(&self, account: &str) -> Initiator {
        self.acting_as(Actor::Account { id: account.to_owned(), credential: None })
    }
}

/// The person in a session.
pub fn actor_in(session: &Session) -> Actor {
    let credential = Some(Credential::Session(session.id.clone()));
    Actor::Account { id: session.user.id.clone(), credential }
}

impl Principal {
    /// The person behind the token.
    pub(super) fn actor(&self) -> Actor {
        match self {
            Self::Session(session) => actor_in(session),
            Self::Access(token) => {
                let credential = Some(Credential::AccessToken(token.id.clone()));
                Actor::Account { id: token.user.id.clone(), credential }
            }
        }
    }
}

impl Proven {
    /// The person in the session.
    pub(super) fn actor(&self) -> Actor {
        actor_in(self.session())
    }
}

impl Service {
    /// Creates the stamp of an operation.
    pub(super) fn stamp(&self, by: Initiator) -> Stamp {
        stamp(&*self.clock, &*self.entropy, by)
    }

    /// Adds the event of a started server.
    pub async fn record_start(&self) -> Result<(), store::Error> {
        self.record_of_server(EventName::ServerStart).await
    }

    /// Adds the event of a server that has finished its requests.
    pub async fn record_stop(&self) -> Result<(), store::Error> {
        self.record_of_server(EventName::ServerStop).await
    }

    async fn record_of_server(&self, name: EventName) -> Result<(), store::Error> {
        let details = Details { version: Some(env!("CARGO_PKG_VERSION").to_owned()), ..Details::default() };
        self.store.record(&self.stamp(Initiator::server()), name, Subject::Server, details).await
    }
}

/// How long ago an event must have happened before a reader who follows the trail gets it. An operation may be committed
/// this long after its stamp, behind events with greater identifiers. The database gives up sooner.
const SETTLED_AFTER: Duration = Duration::from_secs(10);
/// The most events in one answer.
const MAX_EVENTS: u32 = 1000;

impl Service {
    /// Finds events for an operator. Returns `None` if there is no such account.
    pub(super) async fn find_events(&self, query: &EventQuery) -> Result<Option<Vec<EventLine>>, Error> {
        let (Some(person), Some(actor)) = (self.account_id(&query.person).await?, self.account_id(&query.actor).await?)
        else {
            return Ok(None);
        };
        let first_at = |millis: Option<i64>| millis.map(|millis| first_id_at(Timestamp::from_millis(millis)));
        let settled = query.settled.then(|| first_id_at(self.clock.now().minus(SETTLED_AFTER)));
        let earliest = |a: Option<String>, b: Option<String>| a.into_iter().chain(b).min();
        let before = Some(query.before.clone()).filter(|id| !id.is_empty());
        let (name, category) = if query.name.contains('.') { (&*query.name, "") } else { ("", &*query.name) };
        let filter = EventFilter {
            person,
            actor,
            name: name.to_owned(),
            category: category.to_owned(),
            outcome: query.outcome.clone(),
            network: query.network.clone(),
            after: query.after.clone().max(first_at(query.from).unwrap_or_default()),
            before: earliest(before, earliest(first_at(query.to), settled)).unwrap_or_default(),
            oldest_first: query.oldest_first,
            limit: query.limit.clamp(1, MAX_EVENTS),
        };
        let found = self.store.find_events(&filter).await?;
        Ok(Some(found.into_iter().map(EventLine::from).collect()))
    }

    /// The identifier of an account that an operator names. Empty for an empty name. A deleted account has only its
    /// identifier.
    async fn account_id(&self, who: &str) -> Result<Option<String>, Error> {
        if who.is_empty() {
            return Ok(Some(String::new()));
        }
        if let Ok(id) = Uuid::parse_str(who.trim()) {
            return Ok(Some(id.to_string()));
        }
        Ok(self.store.find_credential(&Identifier::parse(who)).await?.map(|known| known.user.id))
    }
}

impl From<EventRecord> for EventLine {
    fn from(record: EventRecord) -> Self {
        let subject = Party { kind: record.subject_kind, id: record.subject_id, name: record.subject_name };
        let actor = match record.actor_id {
            None if record.actor_kind == "account" => subject.clone(),
            id => Party { kind: record.actor_kind, id, name: record.actor_name },
        };
        Self {
            id: record.id,
            at: Timestamp::from_millis(record.at).to_rfc3339(),
            name: record.name,
            outcome: record.outcome,
            actor,
            subject,
            via: record.via,
            network: record.network,
            client: record.client,
            credential_id: record.credential_id,
            request_id: record.request_id,
            // A later version may know other details.
            details: serde_json::from_str(&record.details).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::Via;

    fn caller(agent: &str) -> Caller {
        Caller { address: "192.0.2.7".parse().expect("an address"), agent: agent.to_owned(), via: Via::Api }
    }

    #[test]
    fn a_session_name_is_plain_text_r37() {
        assert_eq!(caller("curl/8.5\u{1b}[2J\r\n").name(), "curl/8.5[2J");
        assert_eq!(caller(" \t").name(), "");
        assert_eq!(caller(&"a".repeat(1000)).name().len(), 200);
    }

    #[test]
    fn an_event_has_a_network_and_a_short_client_r147() {
        let Origin { network, client, .. } = caller(&"a".repeat(1000)).acting_anonymously().origin;
        assert_eq!((network.as_str(), client.len()), ("192.0.2.x", CLIENT_LENGTH));
        assert_eq!(caller("").acting_anonymously().origin.client, "");
    }
}
