//! The HTTP server: configuration, routes, the checks before them, and the loop that accepts connections.

pub mod accept;
mod brand;
pub mod config;
pub mod control;
mod cors;
mod guard;
mod headers;
mod health;
mod hourly;
pub mod logging;
pub mod metrics;
pub mod name_key;
mod notices;
mod observe;
pub mod pipeline;
pub mod probe;
pub mod routes;
pub mod run;
pub mod setup;
