//! Integration tests: the router through HTTP, the store on both databases, and the real program as a process.
//!
//! A test's name ends in the number of its requirement. `SECURITY.md` lists them.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail by panicking")]

mod access_tokens;
mod accounts;
mod approval;
mod attack;
mod backups;
mod chaos;
mod corpus;
mod directory;
mod document;
mod duties;
mod endings;
mod erasure;
mod events;
mod faults;
mod groups;
mod http;
mod imports;
mod inspect;
mod invitations;
mod logins;
mod mail;
mod metrics;
mod model;
mod modules;
mod opening;
mod operators;
mod overview;
mod passwords;
mod permits;
mod pooler;
mod process;
mod rate_limits;
mod registration;
mod repository;
mod sessions;
mod setup;
mod util;
mod words;
