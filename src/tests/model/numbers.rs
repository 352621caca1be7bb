//! The limits that the real service uses.

use std::time::Duration;

pub const IDLE: Duration = Duration::from_hours(4);
pub const ABSOLUTE: Duration = Duration::from_hours(24);
pub const SESSIONS: usize = 2;
pub const FREE_FAILURES: usize = 3;
pub const FIRST_DELAY: Duration = Duration::from_secs(1);
pub const LONGEST_DELAY: Duration = Duration::from_mins(15);
pub const MEMORY: Duration = Duration::from_hours(24);
/// The number of networks that an account remembers, how long it remembers one, and how often it updates one.
pub const KNOWN_NETWORKS: usize = 10;
pub const KNOWN_FOR: Duration = Duration::from_hours(24 * 90);
pub const NETWORK_NOTED: Duration = Duration::from_hours(24);
pub const SEEN_INTERVAL: Duration = Duration::from_mins(1);
pub const PROOF: Duration = Duration::from_mins(10);
pub const ACCESS: Duration = Duration::from_hours(24);
pub const VERIFY: Duration = Duration::from_hours(24);
pub const RESET: Duration = Duration::from_mins(30);
pub const UNDO: Duration = Duration::from_hours(72);
/// The rate limit of mails to one mailbox: the burst, and the interval after which one more may be sent.
pub const MAILBOX: (u32, Duration) = (5, Duration::from_mins(10));
/// The rate limit of changes of email to one mailbox, for all accounts together.
pub const MOVES: (u32, Duration) = (30, Duration::from_mins(10));
/// The same limit for access tokens of one account and for changes of its password.
pub const NOTIFICATION_LIMIT: (u32, Duration) = (10, Duration::from_mins(6));
pub const FIRST_RETRY: Duration = Duration::from_secs(30);
pub const LONGEST_RETRY: Duration = Duration::from_hours(1);
pub const GIVE_UP: Duration = Duration::from_hours(72);
