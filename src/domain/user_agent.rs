//! Information about a client: its program and system, and the networks of its address.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Programs by their product name in `User-Agent` (RFC 9110, section 10.1.5). The first match wins. Most browsers
/// also name older browsers, for servers that look for these.
const PROGRAMS: [(&str, &str); 20] = [
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Vivaldi/", "Vivaldi"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chromium/", "Chromium"),
    ("Chrome/", "Chrome"),
    ("Version/", "Safari"),
    ("curl/", "curl"),
    ("Wget/", "Wget"),
    ("python-requests/", "Python"),
    ("python-httpx/", "Python"),
    ("aiohttp/", "Python"),
    ("Python/", "Python"),
    ("okhttp/", "OkHttp"),
    ("node-fetch", "Node.js"),
];

/// Systems by their names in `User-Agent`. The first match wins: Android also names Linux, and iPads also name the Mac.
const SYSTEMS: [(&str, &str); 8] = [
    ("Windows", "Windows"),
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("CrOS", "ChromeOS"),
    ("Macintosh", "macOS"),
    ("Linux", "Linux"),
    ("FreeBSD", "FreeBSD"),
];

/// Describes a client by its `User-Agent`, such as "Firefox on Windows". An unknown program is described by the first
/// word, and a client without a name as "Unknown client".
#[must_use]
pub fn describe(agent: &str) -> String {
    let find = |table: &[(&str, &'static str)]| {
        let found = table.iter().find(|(mark, _)| agent.contains(mark));
        found.map(|(_, name)| *name)
    };
    let first_word = agent.split([' ', '/']).next().filter(|name| !name.is_empty() && *name != "Mozilla");
    let program = find(&PROGRAMS).or(first_word);
    match (program, find(&SYSTEMS)) {
        (Some(program), Some(system)) => [program, " on ", system].concat(),
        (Some(program), None) => program.to_owned(),
        (None, Some(system)) => ["A browser on ", system].concat(),
        (None, None) => "Unknown client".to_owned(),
    }
}

/// The network of an address: enough to recognise a place, too little to track a person. It has the first three of four
/// numbers of IPv4, and the first three of eight of IPv6.
#[must_use]
pub fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.x")
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}:x")
        }
    }
}

/// Prefix lengths of the IPv6 networks that are rate-limited, the narrowest first. Each has a multiple of one address's
/// limit. A /64 is one local network, so it has the limit of one address. A home gets a /56 and rarely uses more than
/// two local networks (RIPE-690). A /48 is a business, or 256 homes of a provider, few of which log in at the same
/// moment.
const IPV6_NETWORKS: [(u8, u32); 3] = [(64, 1), (56, 2), (48, 8)];

/// The networks in which an address is rate-limited, the narrowest first, each with its multiple of one address's
/// limit. An IPv4 address is its own network.
#[must_use]
pub fn counted_networks(address: IpAddr) -> Vec<(IpNet, u32)> {
    match address.to_canonical() {
        IpAddr::V4(v4) => vec![(Ipv4Net::from(v4).into(), 1)],
        IpAddr::V6(v6) => {
            let network = |length| Ipv6Net::new(v6, length).map_or_else(|_| Ipv6Net::from(v6), |net| net.trunc());
            IPV6_NETWORKS.iter().map(|(length, times)| (network(*length).into(), *times)).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_agent_is_described_r44() {
        let chrome =
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36";
        let edge = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 \
                    Safari/537.36 Edg/143.0.0.0";
        let iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                      Version/26.0 Mobile/15E148 Safari/604.1";
        let table = [
            (chrome, "Chrome on Linux"),
            (edge, "Edge on Windows"),
            (iphone, "Safari on iPhone"),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:145.0) Gecko/20100101 Firefox/145.0",
                "Firefox on macOS",
            ),
            ("Mozilla/5.0 (Android 16; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0", "Firefox on Android"),
            ("curl/8.5.0", "curl"),
            ("python-requests/2.32.5", "Python"),
            ("MyApp/2.1 (Linux)", "MyApp on Linux"),
            ("backup", "backup"),
            ("Mozilla/5.0", "Unknown client"),
            ("", "Unknown client"),
        ];
        for (agent, words) in table {
            assert_eq!(describe(agent), words, "{agent}");
        }
    }

    #[test]
    fn a_network_is_shown_without_the_host_part_r44() {
        let of = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(of("192.0.2.77"), "192.0.2.x");
        assert_eq!(of("::ffff:192.0.2.77"), "192.0.2.x");
        assert_eq!(of("2001:db8:77:1:2:3:4:5"), "2001:db8:77:x");
    }

    #[test]
    fn an_ipv6_address_counts_in_three_networks_r89() {
        let of = |text: &str| {
            let networks = counted_networks(text.parse().expect("an address"));
            networks.iter().map(|(network, times)| format!("{network} {times}")).collect::<Vec<_>>()
        };
        assert_eq!(of("192.0.2.77"), ["192.0.2.77/32 1"]);
        assert_eq!(of("::ffff:192.0.2.77"), of("192.0.2.77"));
        let networks = ["2001:db8:77:12ab::/64 1", "2001:db8:77:1200::/56 2", "2001:db8:77::/48 8"];
        assert_eq!(of("2001:db8:77:12ab:2:3:4:5"), networks);
    }
}
