//! Values that are written as text.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::store::DatabaseUrl;

pub(super) fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    let duration = humantime::parse_duration(&text);
    let duration =
        duration.map_err(|_| D::Error::custom(format!("{text:?} is no time; write it like \"90s\" or \"4h\"")))?;
    if duration.is_zero() || duration > Duration::from_hours(8784) {
        return Err(D::Error::custom(format!("{text:?} is not between a moment and a year")));
    }
    Ok(duration)
}

pub(super) fn socket_address<'de, D: Deserializer<'de>>(from: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map_err(|_| {
        D::Error::custom(format!("{text:?} is no address; write a numeric one with its port, such as 127.0.0.1:8000"))
    })
}

pub(super) fn networks<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    let network = |text: &String| text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    texts
        .iter()
        .map(|text| network(text).ok_or(text))
        .collect::<Result<_, _>>()
        .map_err(|text| D::Error::custom(format!("{text:?} is no address and no network, such as 10.0.0.0/8")))
}

pub(super) fn database_url<'de, D: Deserializer<'de>>(from: D) -> Result<DatabaseUrl, D::Error> {
    let text = String::deserialize(from)?;
    // The text may hold a password, so the error doesn't repeat it.
    DatabaseUrl::parse(&text).ok_or_else(|| D::Error::custom(
            "write sqlite:FILE or postgres://user:password@host/name, special characters of the password percent-encoded",
        ))
}
