//! The words of the field as types: parsed once at the edge, so that the inside can't hold a wrong value.
//!
//! [`account`] is what travels between the server and the page. The parsers are the server's alone: the page asks
//! the server instead of carrying the tables for internationalised domain names, which keeps the first visit small.

pub mod account;
#[cfg(feature = "ssr")]
pub mod colour;
#[cfg(feature = "ssr")]
pub mod email;
#[cfg(feature = "ssr")]
pub mod email_domain;
#[cfg(feature = "ssr")]
pub mod identifier;
#[cfg(feature = "ssr")]
pub mod password;
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
