//! The audit trail, for operators with a session.

use super::{Error, Service, permit::Operator};
use crate::{
    domain::event::{EventLine, EventQuery},
    error::AppError,
};

impl Service {
    /// Events for an operator, the newest first: at most `query.limit`. Also returns the `before` of the next page, if there
    /// is one. Returns [`AppError::NotFound`] if there is no such account.
    pub async fn events(
        &self,
        _operator: &Operator,
        query: EventQuery,
    ) -> Result<(Vec<EventLine>, Option<String>), Error> {
        // A rare event among those of all accounts takes long to find.
        let _slot = if query.person.is_empty() {
            Some(self.searches.try_acquire().map_err(|_| AppError::Unavailable { retry_after: 1 })?)
        } else {
            None
        };
        let limit = query.limit as usize;
        let query = EventQuery { limit: query.limit.saturating_add(1), ..query };
        let mut events = self.find_events(&query).await?.ok_or(AppError::NotFound)?;
        let has_more = events.len() > limit;
        events.truncate(limit);
        let next = events.last().filter(|_| has_more).map(|event| event.id.clone());
        Ok((events, next))
    }
}
