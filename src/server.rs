//! The HTTP door: configuration, routes, what stands before them, and the loop that accepts connections.

pub mod accept;
pub mod answer;
pub mod assets;
pub mod brand;
pub mod client_ip;
pub mod config;
pub mod control;
mod cors;
pub mod door;
mod encoding;
pub mod front;
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
pub mod routes;
pub mod run;
pub mod state;
