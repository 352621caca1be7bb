//! The server as users reach it: through `server.public_url`, and usually a proxy.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::rustls::pki_types::ServerName;
use url::Url;

use super::Finding;
use crate::{
    domain::time::Timestamp,
    mail::tls_connector,
    server::{
        config::Config,
        name_key,
        probe::{HEADER, Seen},
    },
    service::probe::ticket,
};

const PUBLIC_URL: &str = "public URL";
/// How long the request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest response, in bytes.
const LONGEST: u64 = 64 * 1024;

/// Sends a request through the public URL to the running server, which answers what it saw of its client.
pub async fn check(config: &Config, running: bool, now: Timestamp) -> Finding {
    let Some(url) = &config.server.public_url else {
        return Finding::ok(PUBLIC_URL, format!("not set: users reach the server on {}", config.server.address));
    };
    if !running {
        return Finding::look(PUBLIC_URL, "not checked, because no server runs here");
    }
    let origin = url.origin().ascii_serialization();
    let ticket = name_key::read(&config.database.url).map(|key| ticket(&key, now)).unwrap_or_default();
    let fetched = tokio::time::timeout(REQUEST_TIMEOUT, fetch(url, &ticket)).await;
    let (status, body) = match fetched.unwrap_or_else(|_| Err("no response in time".to_owned())) {
        Ok(response) => response,
        Err(cause) => {
            return Finding::wrong(
                PUBLIC_URL,
                format!(
                    "{origin} can't be reached from this machine: {cause}. Check its name, the proxy and its certificate."
                ),
            );
        }
    };
    if status != 200 {
        return Finding::wrong(PUBLIC_URL, format!("{origin}/healthz responds with {status}: check the proxy"));
    }
    match serde_json::from_str(&body) {
        Ok(seen) => judge(&origin, url.scheme() == "https", &seen),
        Err(_) if body == "alive\n" => Finding::look(
            PUBLIC_URL,
            format!("{origin} leads to a server with another database: run this command in the folder of that server"),
        ),
        Err(_) => Finding::wrong(PUBLIC_URL, format!("another program responds at {origin}: check the proxy")),
    }
}

fn judge(origin: &str, https: bool, seen: &Seen) -> Finding {
    let Seen { client, peer, forwarded, trusted } = seen;
    match (forwarded, trusted) {
        (true, false) => Finding::wrong(
            PUBLIC_URL,
            format!(
                "the proxy {peer} is not in server.trusted_proxies, so all users share one rate limit: add it there"
            ),
        ),
        (true, true) => {
            Finding::ok(PUBLIC_URL, format!("{origin} leads here, and the proxy sends the client's address, {client}"))
        }
        // The server itself speaks plain HTTP.
        (false, _) if https => Finding::wrong(
            PUBLIC_URL,
            format!(
                "the proxy {peer} sends no X-Forwarded-For, so all users share one rate limit: let it set that header"
            ),
        ),
        (false, _) => Finding::ok(PUBLIC_URL, format!("{origin} leads here")),
    }
}

/// Requests `/healthz`. Returns the status and the body.
async fn fetch(url: &Url, ticket: &str) -> Result<(u16, String), String> {
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err("the URL has no host".to_owned());
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    // A response of HTTP/1.0 ends with its connection.
    let request =
        format!("GET /healthz HTTP/1.0\r\nHost: {authority}\r\n{HEADER}: {ticket}\r\nConnection: close\r\n\r\n");
    let stream = TcpStream::connect((bare, port)).await.map_err(|cause| cause.to_string())?;
    let response = if url.scheme() == "https" {
        let name = ServerName::try_from(bare.to_owned()).map_err(|cause| cause.to_string())?;
        let encrypted = tls_connector(Vec::new())?.connect(name, stream).await.map_err(|cause| cause.to_string())?;
        exchange(encrypted, &request).await
    } else {
        exchange(stream, &request).await
    };
    let response = response.map_err(|cause| cause.to_string())?;
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or((&response, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or("no HTTP response")?, body.to_owned()))
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> io::Result<String> {
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut bytes = Vec::new();
    match stream.take(LONGEST).read_to_end(&mut bytes).await {
        // Some servers close an encrypted connection without notice.
        Err(cause) if cause.kind() != io::ErrorKind::UnexpectedEof || bytes.is_empty() => Err(cause),
        _ => Ok(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Status;

    #[test]
    fn a_proxy_must_be_trusted_and_send_the_clients_address_r89() {
        let address = |text: &str| text.parse().expect("an address");
        let seen =
            |forwarded, trusted| Seen { client: address("192.0.2.7"), peer: address("10.0.0.5"), forwarded, trusted };
        let status =
            |https, forwarded, trusted| judge("https://a.example.org", https, &seen(forwarded, trusted)).status;
        assert_eq!(status(true, true, true), Status::Ok);
        assert_eq!(status(true, true, false), Status::Wrong);
        assert_eq!([status(true, false, true), status(true, false, false)], [Status::Wrong; 2]);
        assert_eq!(status(false, false, false), Status::Ok, "there may be no proxy");
        let Finding { message, .. } = judge("https://a.example.org", true, &seen(true, false));
        assert!(message.contains("10.0.0.5") && message.contains("server.trusted_proxies"), "{message}");
    }
}
