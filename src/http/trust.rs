//! Which proxies, hosts and origins the server trusts.

use std::net::IpAddr;

use ipnet::IpNet;

/// Whom to believe, and under which names to answer.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Proxies whose `X-Forwarded-For` is believed.
    pub proxies: Vec<IpNet>,
    /// Host names that are ours, without a dot at the end.
    pub hosts: Vec<String>,
    /// The origin of `server.public_url`.
    pub public_origin: Option<String>,
    /// Other origins whose pages may call the API.
    pub allowed_origins: Vec<String>,
    /// Whether clients' addresses may be logged.
    pub log_addresses: bool,
}

impl Trust {
    /// Whether a host name is one that the operator has named.
    #[must_use]
    pub fn names(&self, host: &str) -> bool {
        self.hosts.iter().any(|ours| ours.eq_ignore_ascii_case(bare_name(host)))
    }

    /// Whether people reach the server by HTTPS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.public_origin.as_ref().is_some_and(|origin| origin.starts_with("https:"))
    }

    /// Whether an address is one of the proxies.
    #[must_use]
    pub fn is_proxy(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.proxies.iter().any(|network| network.contains(&address))
    }
}

/// A host name without the dot of the root, which changes nothing.
pub fn bare_name(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}
