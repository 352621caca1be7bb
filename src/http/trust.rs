//! Which proxies, hosts and origins the server trusts.

use std::net::IpAddr;

use ipnet::IpNet;

/// The trusted proxies, and the server's own names and origins.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Proxies whose `X-Forwarded-For` is trusted.
    pub proxies: Vec<IpNet>,
    /// The server's host names, without a trailing dot.
    pub hosts: Vec<String>,
    /// The origin of `server.public_url`.
    pub public_origin: Option<String>,
    /// Other origins whose pages may call the API.
    pub allowed_origins: Vec<String>,
    /// Whether clients' addresses may be logged.
    pub log_addresses: bool,
}

impl Trust {
    /// Whether a host name is configured as the server's own.
    #[must_use]
    pub fn names(&self, host: &str) -> bool {
        self.hosts.iter().any(|ours| ours.eq_ignore_ascii_case(bare_name(host)))
    }

    /// Whether users reach the server by HTTPS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.public_origin.as_ref().is_some_and(|origin| origin.starts_with("https:"))
    }

    /// Whether an address belongs to a trusted proxy.
    #[must_use]
    pub fn is_proxy(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.proxies.iter().any(|network| network.contains(&address))
    }
}

/// A host name without its trailing dot, which makes no difference.
pub fn bare_name(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}
