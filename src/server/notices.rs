//! Warnings about requests that point to a misconfiguration.

use axum::extract::Request;

use super::hourly::Hourly;
use crate::http::{
    client_ip::{FORWARDED_FOR, Peer},
    origin::host_of,
    trust::Trust,
};

/// The warnings, each logged at most once an hour.
#[derive(Debug, Default)]
pub struct Notices {
    unnamed_proxy: Hourly,
    unknown_host: Hourly,
}

impl Notices {
    /// Warns if a request seems to come through a proxy that is not in `server.trusted_proxies`.
    pub fn check_proxy(&self, request: &Request, trust: &Trust) {
        let forwarded = request.headers().contains_key(FORWARDED_FOR);
        let Some(Peer(peer)) = request.extensions().get::<Peer>().filter(|_| forwarded) else { return };
        if trust.is_proxy(peer.ip()) {
            return;
        }
        let peer = trust.log_addresses.then(|| peer.ip().to_canonical().to_string());
        self.unnamed_proxy.warn(|left_out| {
            tracing::warn!(
                peer,
                left_out,
                "X-Forwarded-For ignored: the sender is not in server.trusted_proxies. If the sender is your proxy, add its \
                 address: until then all of the proxy's users share one rate limit"
            );
        });
    }

    /// Warns that a request was refused because of its host.
    pub fn refused_host(&self, request: &Request) {
        self.unknown_host.warn(|left_out| {
            // The host comes from the client. It contains only characters that a host may have.
            let named = host_of(request).ok().flatten();
            let host: String = named.iter().flat_map(|host| host.host().chars()).take(255).collect();
            tracing::warn!(
                host,
                left_out,
                "a request was refused because of its host. If users reach the server by that name, set server.public_url or \
                 add the name to server.hosts"
            );
        });
    }
}
