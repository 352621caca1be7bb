//! Domain types. Input is parsed once, at the entry points, so that the rest of the program can't hold an invalid
//! value.
//!
//! [`account`] and [`directory`] hold the data that the server sends to the page, and [`requests`] what the page sends.
//! The parsers exist on the server only. The page asks the server instead, and so needs no tables for internationalised
//! domain names. That keeps the first visit small.

pub mod account;
pub mod act;
#[cfg(feature = "ssr")]
pub mod colour;
pub mod directory;
#[cfg(feature = "ssr")]
pub mod email;
#[cfg(feature = "ssr")]
pub mod email_domain;
#[cfg(feature = "ssr")]
pub mod event;
#[cfg(feature = "ssr")]
pub mod figures;
#[cfg(feature = "ssr")]
pub mod group_name;
#[cfg(feature = "ssr")]
pub mod identifier;
pub mod invitation;
pub mod page_size;
#[cfg(feature = "ssr")]
pub mod password;
pub mod requests;
pub mod role;
#[cfg(feature = "ssr")]
pub mod source_account;
#[cfg(feature = "ssr")]
pub mod stored_hash;
#[cfg(feature = "ssr")]
pub mod time;
#[cfg(feature = "ssr")]
pub mod token;
#[cfg(feature = "ssr")]
pub mod token_name;
pub mod token_scope;
#[cfg(feature = "ssr")]
pub mod user_agent;
#[cfg(feature = "ssr")]
pub mod username;
