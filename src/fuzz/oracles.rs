//! What must hold for whatever a stranger sends. An oracle panics where it doesn't.

use std::{net::IpAddr, sync::Mutex};

use axum::http::{HeaderMap, HeaderValue};
use tokio::runtime::Runtime;
use unicode_normalization::UnicodeNormalization;
use vestibule::{
    domain::{email::Email, token::Token, username::Username},
    server::client_ip::client_ip,
    service::hasher::StoredHash,
};

use crate::util::{App, Backend, some_address};

/// Takes what a stranger sent.
pub type Oracle = fn(&[u8]);

/// Each parser by the name of its corpus.
pub const ORACLES: [(&str, Oracle); 6] = [
    ("token", token),
    ("email", email),
    ("username", username),
    ("forwarded_for", forwarded_for),
    ("stored_hash", stored_hash),
    ("body", body),
];

/// A token is taken whole or not at all, and tells its text as it came.
pub fn token(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Some(token) = Token::parse(text) else { return };
    assert_eq!(token.expose(), text);
    assert!(text.is_ascii() && text.len() == 53);
    for other in
        [format!("{text} "), format!(" {text}"), text.to_lowercase(), text.to_uppercase(), text[1..].to_owned()]
    {
        assert!(other == text || Token::parse(&other).is_none(), "{other:?} passes too");
    }
}

/// What an address is kept as reads back as the same; every spelling of it has the same key.
pub fn email(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Ok(email) = Email::parse(text) else { return };
    let (address, key) = (email.as_str(), email.key());
    assert_eq!(Email::parse(address).as_ref(), Ok(&email), "canonical");
    assert_eq!(Email::parse(key).expect("a key is an address").key(), key, "canonical");
    assert!(address.is_ascii() && address.len() <= 254 && address.matches('@').count() == 1, "{address:?}");
    assert!(!address.contains(|c: char| c.is_ascii_control() || " <>,;:\"\\()[]".contains(c)), "{address:?}");
    for spelling in spellings(text) {
        if let Ok(other) = Email::parse(&spelling) {
            assert_eq!(other.key(), key, "{spelling:?} would be another account than {text:?}");
        }
    }
}

/// What a username is kept as reads back as the same; every spelling of it has the same key, and none is an email.
pub fn username(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Ok(username) = Username::parse(text) else { return };
    let (name, key) = (username.as_str(), username.key());
    assert_eq!(Username::parse(name).as_ref(), Ok(&username), "canonical");
    assert_eq!(Username::parse(key).expect("a key is a username").key(), key, "canonical");
    assert!((3..=32).contains(&name.len()) && name.is_ascii(), "{name:?}");
    assert!(Email::parse(text).is_err(), "{text:?} is an email, too");
    for spelling in spellings(text) {
        if let Ok(other) = Username::parse(&spelling) {
            assert_eq!(other.key(), key, "{spelling:?} would be another account than {text:?}");
        }
    }
}

/// Other ways of typing the same.
fn spellings(text: &str) -> [String; 6] {
    [
        text.to_ascii_uppercase(),
        text.to_ascii_lowercase(),
        text.nfc().collect(),
        text.nfd().collect(),
        format!("\t {text}\n"),
        text.trim().to_owned(),
    ]
}

/// Nothing that a client writes changes what a trusted proxy, or the connection itself, says of its address.
pub fn forwarded_for(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let proxies = ["127.0.0.0/8".parse().expect("a network"), "10.0.0.0/8".parse().expect("a network")];
    let trusted = |address: &IpAddr| proxies.iter().any(|network: &ipnet::IpNet| network.contains(address));
    let (proxy, stranger) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([192, 0, 2, 1]));
    let through = |lines: &[&HeaderValue], peer| {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", (*line).clone());
        }
        client_ip(peer, &headers, &proxies)
    };
    assert_eq!(through(&[&value], stranger), stranger, "a stranger's own word");
    let told = HeaderValue::from_static("198.51.100.7");
    assert_eq!(through(&[&value, &told], proxy), IpAddr::from([198, 51, 100, 7]), "the proxy's word comes last");
    let client = through(&[&value], proxy);
    if !trusted(&client) {
        assert_eq!(through(&[&told, &value], proxy), client, "what stands further left counts for nothing");
    }
}

/// What is read as a stored hash is written as one that reads back as the same.
pub fn stored_hash(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Some(hash) = StoredHash::parse(text) else { return };
    let written = hash.to_phc().expect("what was read can be written");
    assert_eq!(StoredHash::parse(&written).as_ref(), Some(&hash));
}

/// Where bodies go. The first byte chooses.
const DOORS: [&str; 8] = [
    "/api/accounts/api_register/",
    "/api/accounts/api_auth/",
    "/api/accounts/logout/",
    "/api/accounts/me/",
    "/fn/register",
    "/fn/login",
    "/fn/logout",
    "/fn/me",
];

/// A server that lives from one body to the next.
static SERVER: Mutex<Option<(Runtime, App)>> = Mutex::new(None);

/// Ends that server and removes its folder.
pub fn stop_server() {
    drop(SERVER.lock().expect("no oracle has failed before").take());
}

/// A body of any kind is answered by a success or by what the client did wrong: never by a fault of ours.
pub fn body(data: &[u8]) {
    let mut server = SERVER.lock().expect("no oracle has failed before");
    let (runtime, app) = server.get_or_insert_with(|| {
        let runtime = Runtime::new().expect("a runtime");
        let app = runtime.block_on(App::start_with(Backend::Sqlite, |config| {
            // As cheap as argon2 can be: what is looked at here is what comes before it.
            (config.password.argon2_memory_kib, config.password.argon2_iterations) = (8, 1);
        }));
        (runtime, app)
    });
    let Some((door, body)) = data.split_first() else { return };
    let path = DOORS[usize::from(*door) % DOORS.len()];
    let call = app.call("POST", path).body("application/json", body.to_vec()).from(&some_address());
    let answer = runtime.block_on(call.send());
    let status = answer.status.as_u16();
    assert!((200..300).contains(&status) || (400..500).contains(&status), "{path}: {} {}", answer.status, answer.text);
    if status >= 400 {
        let marked: serde_json::Value = serde_json::from_str(&answer.text).expect("an error is told in JSON");
        assert!(!marked.is_null(), "{path}");
    }
}
