//! What the server answers to `vestibule doctor`, which checks the proxy between users and the server.

use std::net::{IpAddr, Ipv4Addr};

use axum::http::request::Parts;
use serde::{Deserialize, Serialize};

use crate::{
    domain::event::Via,
    http::{
        client_ip::{FORWARDED_FOR, Peer, caller},
        state::AppState,
    },
};

/// The header with the ticket of a probe. Only who can read the server's key can make one.
pub const HEADER: &str = "x-vestibule-probe";

/// What the server saw of the client that sent a probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The address that rate limits use.
    pub client: IpAddr,
    /// The other end of the connection: the proxy, if there is one.
    pub peer: IpAddr,
    /// Whether the request had the header `X-Forwarded-For`.
    pub forwarded: bool,
    /// Whether `server.trusted_proxies` has the peer.
    pub trusted: bool,
}

/// The answer to a probe. `None` if the request is none.
pub fn answer(state: &AppState, parts: &Parts) -> Option<Seen> {
    let ticket = parts.headers.get(HEADER)?.to_str().ok()?;
    if !state.service.accepts_probe(ticket) {
        return None;
    }
    let peer = parts.extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
    Some(Seen {
        client: caller(parts, &state.trust.proxies, Via::Api).address,
        peer: peer.to_canonical(),
        forwarded: parts.headers.contains_key(FORWARDED_FOR),
        trusted: state.trust.is_proxy(peer),
    })
}
