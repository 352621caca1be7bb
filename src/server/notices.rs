//! Requests that show the operator a fault of the set-up.

use axum::extract::Request;

use super::hourly::Hourly;
use crate::http::{
    client_ip::{FORWARDED_FOR, Peer},
    origin::host_of,
    trust::Trust,
};

/// What requests show, each logged once an hour.
#[derive(Debug, Default)]
pub struct Notices {
    unnamed_proxy: Hourly,
    unknown_host: Hourly,
}

impl Notices {
    /// Warns if a request seems to come through a proxy that the operator hasn't named.
    pub fn look_at(&self, request: &Request, trust: &Trust) {
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
                "X-Forwarded-For is not believed from an address that is not in server.trusted_proxies. If your proxy \
                 has that address, add it: until then all of the proxy's users share one rate limit"
            );
        });
    }

    /// Warns that a request was refused for the host that it names.
    pub fn refused_host(&self, request: &Request) {
        self.unknown_host.warn(|left_out| {
            // A stranger's word, but of the characters that a host may have.
            let named = host_of(request).ok().flatten();
            let host: String = named.iter().flat_map(|host| host.host().chars()).take(255).collect();
            tracing::warn!(
                host,
                left_out,
                "a request was refused for its host. If people reach the server by that name, set server.public_url, or \
                 add the name to server.hosts"
            );
        });
    }
}
