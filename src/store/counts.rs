//! Counts of what happened in the database, for monitoring.

use strum::{IntoStaticStr, VariantArray};

use super::Error;
use crate::domain::{event::EventName, figures::Tally};

/// Why an operation of the database failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum DatabaseFailure {
    /// It is unreachable, locked, full or read-only.
    Unavailable,
    /// A statement failed because of a bug in this program.
    Fault,
}

/// Counts since the database was opened.
#[derive(Debug, Default)]
pub struct StoreCounts {
    /// Committed events of the audit trail.
    pub events: Tally<EventName>,
    /// Operations that failed.
    pub failures: Tally<DatabaseFailure>,
}

impl StoreCounts {
    /// Counts the events of a transaction that was committed.
    pub(super) fn count_events(&self, events: &[EventName]) {
        for event in events {
            self.events.count(*event);
        }
    }

    /// Counts a failed operation.
    pub(super) fn noted<T>(&self, outcome: Result<T, Error>) -> Result<T, Error> {
        match &outcome {
            Err(Error::Unavailable(_)) => self.failures.count(DatabaseFailure::Unavailable),
            Err(Error::Fault(_)) => self.failures.count(DatabaseFailure::Fault),
            Ok(_) | Err(Error::InUse(_) | Error::Refused(_) | Error::Away(_) | Error::Denied(_)) => {}
        }
        outcome
    }
}
