//! `vestibule health`: a health check of the configured server, for containers without another HTTP client.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

/// The timeout of connecting, and of each read and write.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);

/// Requests `/healthz` from the server on an address.
pub fn check(address: SocketAddr) -> Result<(), String> {
    let address = reachable(address);
    let connected = TcpStream::connect_timeout(&address, HEALTH_TIMEOUT);
    let stream = connected.map_err(|cause| {
        format!(
            "no connection to {address}: {cause}. Pass the server's port with --port, or set VESTIBULE_SERVER_ADDRESS"
        )
    })?;
    let response = request_health(stream).map_err(|cause| format!("{address} doesn't respond: {cause}"))?;
    let status = response.lines().next().unwrap_or_default();
    match status.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => Err(format!("{address} is not healthy: it responded with {status:?}")),
    }
}

fn request_health(mut stream: TcpStream) -> std::io::Result<String> {
    stream.set_read_timeout(Some(HEALTH_TIMEOUT))?;
    stream.set_write_timeout(Some(HEALTH_TIMEOUT))?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut response = String::new();
    stream.take(64 * 1024).read_to_string(&mut response)?;
    Ok(response)
}

/// Replaces an unspecified address, which listens on every interface, with the loopback address.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
