//! The HTTP door: configuration, routes, what stands before them, and the loop that accepts connections.

pub mod accept;
pub mod assets;
pub mod brand;
pub mod client_ip;
pub mod config;
pub mod context;
pub mod control;
mod cors;
mod encoding;
mod guard;
mod gzip;
mod headers;
mod health;
mod hourly;
pub mod logging;
pub mod name_key;
mod notices;
mod observe;
mod origin;
pub mod pipeline;
pub mod response;
pub mod routes;
pub mod run;
pub mod state;
