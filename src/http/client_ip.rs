//! Finds the client's address, which rate limits use.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header::USER_AGENT, request::Parts},
};
use ipnet::IpNet;

use crate::{domain::event::Via, http::state::AppState, service::Caller};

/// The header in which a proxy lists the addresses that a request came from.
pub const FORWARDED_FOR: &str = "x-forwarded-for";

/// The peer of a connection. The accept loop adds it to every request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

impl FromRequestParts<AppState> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Infallible> {
        Ok(caller(parts, &state.trust.proxies, Via::Api))
    }
}

/// The client of a request.
#[must_use]
pub fn caller(parts: &Parts, proxies: &[IpNet], via: Via) -> Caller {
    let peer = parts.extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
    let agent = parts.headers.get(USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()));
    Caller { address: client_ip(peer, &parts.headers, proxies), agent: agent.unwrap_or_default().into_owned(), via }
}

/// The client's address: the peer, or, if the peer is a trusted proxy, the last address in `X-Forwarded-For` that isn't
/// a trusted proxy. Entries further left may be forged by the client. At an entry that can't be parsed, the search
/// stops with the last trustworthy address.
#[must_use]
pub fn client_ip(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> IpAddr {
    let trusted = |address: &IpAddr| proxies.iter().any(|network| network.contains(address));
    let mut client = peer.to_canonical();
    if !trusted(&client) {
        return client;
    }
    let lines: Vec<&str> = headers.get_all(FORWARDED_FOR).iter().map(|value| value.to_str().unwrap_or("?")).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        let Some(address) = parse_hop(hop.trim()) else { break };
        client = address;
        if !trusted(&client) {
            break;
        }
    }
    client
}

/// Parses an address with or without a port.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address = text.parse::<SocketAddr>().map(|socket| socket.ip()).or_else(|_| bare.parse::<IpAddr>());
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(peer: &str, forwarded: &[&str], proxies: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, value.parse().expect("a header"));
        }
        let proxies: Vec<IpNet> = proxies.iter().map(|p| p.parse().expect("a network")).collect();
        client_ip(peer.parse().expect("an address"), &headers, &proxies).to_string()
    }

    #[test]
    fn a_stranger_cannot_choose_an_address_r89() {
        assert_eq!(ip("192.0.2.1", &["10.9.9.9"], &[]), "192.0.2.1");
        assert_eq!(ip("192.0.2.1", &["10.9.9.9"], &["127.0.0.0/8"]), "192.0.2.1");
    }

    #[test]
    fn behind_a_trusted_proxy_the_last_stranger_counts_r89() {
        let proxies = ["127.0.0.0/8", "10.0.0.0/8", "::1/128"];
        assert_eq!(ip("127.0.0.1", &["1.1.1.1, 198.51.100.7"], &proxies), "198.51.100.7");
        assert_eq!(ip("127.0.0.1", &["1.1.1.1, 198.51.100.7, 10.0.0.3"], &proxies), "198.51.100.7");
        assert_eq!(ip("127.0.0.1", &["1.1.1.1", "198.51.100.7"], &proxies), "198.51.100.7");
        assert_eq!(ip("127.0.0.1", &["198.51.100.7:4711"], &proxies), "198.51.100.7");
        assert_eq!(ip("::1", &["[2001:db8::7]:4711"], &proxies), "2001:db8::7");
        assert_eq!(ip("::ffff:127.0.0.1", &["198.51.100.7"], &proxies), "198.51.100.7");
    }

    #[test]
    fn an_unreadable_header_leaves_the_last_certain_address_r16() {
        let proxies = ["127.0.0.0/8"];
        assert_eq!(ip("127.0.0.1", &[], &proxies), "127.0.0.1");
        assert_eq!(ip("127.0.0.1", &["a"], &proxies), "127.0.0.1");
        assert_eq!(ip("127.0.0.1", &["198.51.100.7, a"], &proxies), "127.0.0.1");
        assert_eq!(ip("127.0.0.1", &["a, 127.0.0.2"], &proxies), "127.0.0.2");
        assert_eq!(ip("127.0.0.1", &[""], &proxies), "127.0.0.1");
    }
}
