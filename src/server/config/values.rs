//! Deserializers for values that are written as text.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ipnet::{IpNet, Ipv4Net};
use lettre::{Address, message::Mailbox};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IntoDeserializer as _},
};
use url::Url;

use crate::{domain::email_domain::EmailDomain, error::Choice, mail::MailUrl, store::DatabaseUrl};

pub(super) fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(from)?)
}

pub(super) fn optional_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() { Ok(None) } else { parse_duration(&text).map(Some) }
}

fn parse_duration<E: serde::de::Error>(text: &str) -> Result<Duration, E> {
    let duration = humantime::parse_duration(text);
    let duration = duration
        .map_err(|_| E::custom(format!("{} is not a duration; write it like \"90s\" or \"4h\"", shown(text))))?;
    if duration.is_zero() || duration > Duration::from_hours(24 * 3660) {
        return Err(E::custom(format!("{text:?} must be longer than zero and at most ten years")));
    }
    Ok(duration)
}

pub(super) fn socket_address<'de, D: Deserializer<'de>>(from: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(from)?;
    parse_socket_address(&text, "127.0.0.1:8000")
}

pub(super) fn optional_socket_address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() { Ok(None) } else { parse_socket_address(&text, "127.0.0.1:9090").map(Some) }
}

fn parse_socket_address<E: serde::de::Error>(text: &str, example: &str) -> Result<SocketAddr, E> {
    text.parse().map_err(|_| {
        E::custom(format!("{} is not an address; write a numeric one with its port, such as {example}", shown(text)))
    })
}

pub(super) fn networks<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    let network = |text: &String| text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let network = |text| network(text).map(canonical);
    let networks = texts.iter().map(|text| match network(text) {
        None => Err(D::Error::custom(format!("{} is neither an address nor a network such as 10.0.0.0/8", shown(text)))),
        Some(network) if network.prefix_len() < widest(&network) => Err(D::Error::custom(format!(
            "{text:?} is too large a network: clients in it could fake their address; list only your proxies, as networks \
             of /{} or smaller",
            widest(&network)
        ))),
        Some(network) => Ok(network),
    });
    networks.collect()
}

/// A network in the form in which clients' addresses are compared: `::ffff:10.0.0.0/104` is `10.0.0.0/8`.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else { return network };
    let prefix = mapped.prefix_len().checked_sub(96);
    let parts = mapped.addr().to_ipv4_mapped().zip(prefix);
    parts.and_then(|(address, prefix)| Ipv4Net::new(address, prefix).ok()).map_or(network, IpNet::V4)
}

/// The shortest prefix that a single operator can own: that of `10.0.0.0/8` (RFC 1918) and of `fc00::/7` (RFC 4193).
const fn widest(network: &IpNet) -> u8 {
    match network {
        IpNet::V4(_) => 8,
        IpNet::V6(_) => 7,
    }
}

pub(super) fn email_domains<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<EmailDomain>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    let wrong =
        |text: &String| D::Error::custom(format!("{} is not an email domain; write it like example.org", shown(text)));
    texts.iter().map(|text| EmailDomain::parse(text).ok_or_else(|| wrong(text))).collect()
}

pub(super) fn database_url<'de, D: Deserializer<'de>>(from: D) -> Result<DatabaseUrl, D::Error> {
    let text = String::deserialize(from)?;
    // The text may hold a password, so the error doesn't repeat it.
    DatabaseUrl::parse(&text).map_err(D::Error::custom)
}

/// The page's public address: a scheme and a host, with nothing after them.
pub(super) fn public_url<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Url>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() {
        return Ok(None);
    }
    // The text may hold a password, so no error repeats it; the origin holds none.
    let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url =
        url.ok_or_else(|| D::Error::custom("write the address of a site, such as https://accounts.example.org"))?;
    match unexpected_part(&url) {
        Some(what) => Err(D::Error::custom(format!("write it without {what}: {}", url.origin().ascii_serialization()))),
        None => Ok(Some(url)),
    }
}

/// The first part of an address that is not a scheme, a host or a port.
fn unexpected_part(url: &Url) -> Option<&'static str> {
    let parts = [
        (!url.username().is_empty() || url.password().is_some(), "a user or a password"),
        (url.path() != "/", "a path"),
        (url.query().is_some(), "a query"),
        (url.fragment().is_some(), "a fragment"),
    ];
    parts.into_iter().find_map(|(there, what)| there.then_some(what))
}

/// A text in a form that an error may quote. Texts with `@` or `://` are hidden, because they may hold a password.
pub(super) fn shown(text: &str) -> String {
    if text.contains('@') || text.contains("://") { "a text with @ or ://".to_owned() } else { format!("{text:?}") }
}

/// One of a few words. The error lists them and doesn't quote the text.
pub(super) fn choice<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    let text = String::deserialize(from)?;
    T::deserialize(text.into_deserializer()).map_err(|Choices(words)| D::Error::custom(words))
}

/// The allowed words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Choices(String);

impl serde::de::Error for Choices {
    fn custom<T: std::fmt::Display>(cause: T) -> Self {
        Self(cause.to_string())
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        let words: Vec<String> = known.iter().map(|word| format!("{word:?}")).collect();
        Self(format!("write {}", Choice(&words)))
    }
}

/// Origins, as browsers send them in the header `Origin`.
pub(super) fn origins<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    texts.iter().map(|text| origin(text).map_err(D::Error::custom)).collect()
}

/// Browsers send only the origin, so a path or anything else is refused. Wildcards are refused too.
fn origin(text: &str) -> Result<String, String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && !text.contains('*'));
    let url = url.ok_or_else(|| {
        format!(
            "{} is not an origin; write only scheme, host and port, such as https://app.example.org or http://localhost:5173",
            shown(text)
        )
    })?;
    let origin = url.origin().ascii_serialization();
    match unexpected_part(&url) {
        // The text may hold a password; the origin holds none.
        Some(what) => Err(format!("an address with {what} is not an origin; write it without: {origin}")),
        None => Ok(origin),
    }
}

pub(super) fn mail_url<'de, D: Deserializer<'de>>(from: D) -> Result<MailUrl, D::Error> {
    let text = String::deserialize(from)?;
    // The text may hold a password, so the error doesn't repeat it.
    MailUrl::parse(&text).ok_or_else(|| {
        D::Error::custom(
            "write off, folder:PATH, smtp://user:password@host:587 or smtps://user:password@host:465, with special characters \
             of the password percent-encoded",
        )
    })
}

pub(super) fn mailbox<'de, D: Deserializer<'de>>(from: D) -> Result<Mailbox, D::Error> {
    let text = String::deserialize(from)?;
    let wrong = |_| D::Error::custom("not a mailbox; write it like \"Vestibule <no-reply@example.org>\"");
    let mailbox: Mailbox = text.parse().map_err(wrong)?;
    if mailbox.name.as_ref().is_some_and(|name| name.chars().any(char::is_control)) {
        return Err(D::Error::custom(format!("{text:?} has a control character in its name; remove it")));
    }
    let (user, domain) = (mailbox.email.user(), mailbox.email.domain());
    if !user.is_ascii() {
        return Err(D::Error::custom(format!(
            "{text:?} has characters before the @ that mail servers refuse; use a to z"
        )));
    }
    if domain.is_ascii() {
        return Ok(mailbox);
    }
    // The ASCII form, for mail servers without SMTPUTF8 (RFC 5890).
    let ascii = idna::domain_to_ascii_strict(domain).ok().and_then(|domain| Address::new(user, domain).ok());
    let email = ascii.ok_or_else(|| D::Error::custom(format!("{domain:?} is not a domain name")))?;
    Ok(Mailbox { email, ..mailbox })
}

pub(super) fn optional_path<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    let text = String::deserialize(from)?;
    Ok((!text.is_empty()).then(|| PathBuf::from(text)))
}
