//! Tickets with which `vestibule doctor` identifies itself to the server: only who can read the server's key makes one.

use std::time::Duration;

use super::{NameKey, Service};
use crate::domain::time::Timestamp;

/// How long a ticket is valid. The clocks of the command and of the server may differ by as much.
const LIFETIME: Duration = Duration::from_mins(2);
const PURPOSE: &str = "probe:";

/// Makes a ticket.
#[must_use]
pub fn ticket(key: &NameKey, now: Timestamp) -> String {
    let millis = now.as_millis().to_string();
    let tag = key.name(PURPOSE, &millis);
    [millis, tag].join(".")
}

impl Service {
    /// Whether a ticket is valid.
    #[must_use]
    pub fn accepts_probe(&self, given: &str) -> bool {
        let (names, now) = (self.rate_limits.names(), self.clock.now());
        let Some(at) = given.split('.').next().and_then(|millis| millis.parse().ok()).map(Timestamp::from_millis)
        else {
            return false;
        };
        let age = now.since(at).max(at.since(now));
        // Hashed before the comparison, so that its time reveals nothing.
        let hashed = |text: &str| names.name(PURPOSE, text);
        age < LIFETIME && hashed(given) == hashed(&ticket(names, at))
    }
}
