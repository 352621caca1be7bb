//! Properties that must hold for any input from a client. An oracle panics if a property is violated.

use std::{net::IpAddr, sync::Mutex, time::Duration};

use axum::http::{HeaderMap, HeaderValue};
use serde_json::json;
use tokio::runtime::Runtime;
use unicode_normalization::UnicodeNormalization;
use vestibule::{
    domain::{
        email::Email,
        password::Password,
        stored_hash::StoredHash,
        token::{Token, TokenKind},
        token_name::TokenName,
        username::Username,
    },
    error::Problem,
    http::{client_ip::client_ip, extract::bearer},
    service::passwords::{Candidate, Words},
};

use crate::util::{
    App, Backend, PASSWORD, Response,
    actors::{Client, Device, Script},
    some_address,
};

/// Checks one input.
pub type Oracle = fn(&[u8]);

/// The oracles by the names of their corpora.
pub const ORACLES: [(&str, Oracle); 8] = [
    ("token", token),
    ("email", email),
    ("username", username),
    ("token_name", token_name),
    ("forwarded_for", forwarded_for),
    ("stored_hash", stored_hash),
    ("body", body),
    ("password", password),
];

/// A token, or a header with a token, is accepted only as a whole, and its text is unchanged. A token generated from
/// the data is accepted only as its own kind. With one changed character it is rejected.
pub fn token(data: &[u8]) {
    const KINDS: [TokenKind; 3] = [TokenKind::Session, TokenKind::Personal, TokenKind::Link];
    if let Some((&[place, other], random)) = data.split_first_chunk()
        && !random.is_empty()
    {
        for kind in KINDS {
            // The generator skips bytes from 248 upwards, so a source of such bytes alone would never end.
            let mut random = random.iter().cycle().map(|byte| byte % 248);
            let generated = Token::generate(kind, || random.next().expect("an endless source"));
            let kinds: Vec<TokenKind> =
                KINDS.into_iter().filter(|kind| Token::parse(*kind, generated.expose()).is_some()).collect();
            assert_eq!(kinds, [kind], "{}", generated.expose());
            assert_eq!(Token::parse(kind, generated.expose()).as_ref(), Some(&generated));
            let mut changed = generated.expose().as_bytes().to_vec();
            let place = usize::from(place) % changed.len();
            if changed[place] != other && other.is_ascii() {
                changed[place] = other;
                let changed = String::from_utf8(changed).expect("ASCII");
                assert!(
                    KINDS.iter().all(|kind| Token::parse(*kind, &changed).is_none()),
                    "{changed:?} is accepted too"
                );
            }
        }
    }
    if let Ok(value) = HeaderValue::from_bytes(data) {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", value);
        if let Ok(token) = bearer(&headers) {
            let text = str::from_utf8(data).expect("a token is ASCII");
            let scheme = text.strip_suffix(token.expose()).expect("the token comes last").to_ascii_lowercase();
            assert!(["bearer ", "token "].contains(&scheme.as_str()), "{text:?}");
            assert_ne!(token.kind(), TokenKind::Link, "a link is no bearer token");
        }
    }
    let Ok(text) = str::from_utf8(data) else { return };
    for kind in KINDS {
        let Some(token) = Token::parse(kind, text) else { continue };
        assert_eq!(token.expose(), text);
        assert!(text.is_ascii() && text.len() == 53);
        for other in
            [format!("{text} "), format!(" {text}"), text.to_lowercase(), text.to_uppercase(), text[1..].to_owned()]
        {
            assert!(other == text || Token::parse(kind, &other).is_none(), "{other:?} is accepted too");
        }
    }
}

/// The stored form of a token's name parses to the same name. It is one short line and doesn't change the direction
/// of the surrounding text.
pub fn token_name(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Ok(name) = TokenName::parse(text) else { return };
    let stored = name.as_str();
    assert_eq!(TokenName::parse(stored).as_ref(), Ok(&name), "canonical");
    assert!(stored == stored.trim() && (1..=64).contains(&stored.chars().count()), "{stored:?}");
    assert!(
        !stored.contains(
            |c: char| c.is_control() || "\u{200b}\u{200f}\u{202a}\u{202e}\u{2066}\u{2069}\u{feff}".contains(c)
        ),
        "{stored:?}"
    );
}

/// The stored form of an address parses to the same address. All its spellings have the same key.
pub fn email(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Ok(email) = Email::parse(text) else { return };
    let (address, key) = (email.as_str(), email.key());
    assert_eq!(Email::parse(address).as_ref(), Ok(&email), "canonical");
    assert_eq!(Email::parse(key).expect("a key is an address").key(), key, "canonical");
    assert!(address.is_ascii() && address.len() <= 254 && address.matches('@').count() == 1, "{address:?}");
    assert!(!address.contains(|c: char| c.is_ascii_control() || " <>,;:\"\\()[]".contains(c)), "{address:?}");
    for spelling in plain_spellings(text).into_iter().chain([in_unicode(address)]) {
        let other = Email::parse(&spelling).unwrap_or_else(|why| panic!("{spelling:?} is refused: {why}"));
        assert_eq!(other.key(), key, "{spelling:?} would be another account than {text:?}");
    }
    for spelling in odd_spellings(text) {
        if let Ok(other) = Email::parse(&spelling) {
            assert_eq!(other.key(), key, "{spelling:?} would be another account than {text:?}");
        }
    }
}

/// An address with its domain in Unicode.
fn in_unicode(address: &str) -> String {
    let (local, domain) = address.split_once('@').expect("an address");
    let (domain, read) = idna::domain_to_unicode(domain);
    assert!(read.is_ok(), "{address:?}");
    format!("{local}@{}", domain.replace('.', "\u{3002}"))
}

/// The stored form of a username parses to the same username. All its spellings have the same key, and it is no email.
pub fn username(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Ok(username) = Username::parse(text) else { return };
    let (name, key) = (username.as_str(), username.key());
    assert_eq!(Username::parse(name).as_ref(), Ok(&username), "canonical");
    assert_eq!(Username::parse(key).expect("a key is a username").key(), key, "canonical");
    assert!((3..=32).contains(&name.len()) && name.is_ascii(), "{name:?}");
    assert!(Email::parse(text).is_err(), "{text:?} is an email, too");
    for spelling in plain_spellings(text) {
        let other = Username::parse(&spelling).unwrap_or_else(|why| panic!("{spelling:?} is refused: {why}"));
        assert_eq!(other.key(), key, "{spelling:?} would be another account than {text:?}");
    }
    for spelling in odd_spellings(text) {
        if let Ok(other) = Username::parse(&spelling) {
            assert_eq!(other.key(), key, "{spelling:?} would be another account than {text:?}");
        }
    }
}

/// Other spellings of the same text, which must be accepted.
fn plain_spellings(text: &str) -> [String; 4] {
    [text.to_ascii_uppercase(), text.to_ascii_lowercase(), format!("\t {text}\n"), text.trim().to_owned()]
}

/// Other spellings of the same text, which may be accepted.
fn odd_spellings(text: &str) -> [String; 3] {
    [text.nfc().collect(), text.nfd().collect(), text.nfkc().collect()]
}

/// No header of a client changes the address that a trusted proxy or the connection reports.
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
    assert_eq!(through(&[&value], stranger), stranger, "an untrusted peer's header is ignored");
    let added = HeaderValue::from_static("198.51.100.7");
    assert_eq!(through(&[&value, &added], proxy), IpAddr::from([198, 51, 100, 7]), "the proxy's entry is the last");
    let client = through(&[&value], proxy);
    if !trusted(&client) {
        assert_eq!(through(&[&added, &value], proxy), client, "entries before the proxy's are ignored");
    }
}

/// A hash that was parsed or imported can be stored, and parses to the same hash again. So does its blank form.
pub fn stored_hash(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let imported = StoredHash::import(text).ok().map(StoredHash::Foreign);
    for hash in StoredHash::parse(text).into_iter().chain(imported) {
        assert_eq!(StoredHash::parse(&hash.to_string()).as_ref(), Some(&hash));
        if let StoredHash::Foreign(foreign) = hash {
            let blank = StoredHash::Foreign(foreign.blank());
            assert_eq!(StoredHash::parse(&blank.to_string()), Some(blank));
            assert!(foreign.memory() <= 1 << 30, "a comparison takes at most 1 GiB");
        }
    }
}

/// The paths that receive the bodies. The first byte of the data selects one, and its bits 5 and 6 select the token.
const PATHS: [&str; 33] = [
    "/api/accounts/api_register/",
    "/api/accounts/api_auth/",
    "/api/accounts/logout/",
    "/api/accounts/me/",
    "/fn/register",
    "/fn/login",
    "/fn/logout",
    "/fn/me",
    "/api/accounts/confirm_password/",
    "/api/accounts/change_password/",
    "/api/accounts/change_username/",
    "/api/accounts/delete/",
    "/api/accounts/verify_email/",
    "/api/accounts/resend_verification/",
    "/api/accounts/forgot_password/",
    "/api/accounts/reset_password/",
    "/api/accounts/change_email/",
    "/api/accounts/confirm_email/",
    "/api/accounts/undo_email/",
    "/api/accounts/tokens/",
    "/fn/confirm_password",
    "/fn/change_password",
    "/fn/change_username",
    "/fn/delete_account",
    "/fn/verify_email",
    "/fn/forgot_password",
    "/fn/reset_password",
    "/fn/change_email",
    "/fn/confirm_email",
    "/fn/end_session",
    "/fn/issue_access_token",
    "/fn/revoke_access_token",
    "/fn/check_link",
];

/// A server that is shared by all bodies, with a user who is logged in and has a personal access token.
struct Host {
    runtime: Runtime,
    app: App,
    users: u32,
    device: Device,
    script: Script,
}

static HOST: Mutex<Option<Host>> = Mutex::new(None);

/// A password is checked within its time budget and without a panic. A password that equals the user's name is
/// rejected.
pub fn password(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(password) = Password::parse(text.trim()) else { return };
    let judge = |words: &Words| {
        let candidate = Candidate::new(&password, words, 8)?;
        assert!(candidate.cost() <= Duration::from_micros(9_500), "{text:?}");
        candidate.judge()
    };
    let names = ["Vestibule".to_owned()];
    match judge(&Words::new("ann.beetle@example.org", "annbeetle", &names)) {
        Ok(()) => {}
        Err(Problem::PasswordTooShort { .. }) => assert!(password.expose().chars().count() < 8),
        Err(Problem::PasswordGuessable(advice)) => assert!(!advice.is_empty(), "{text:?}"),
        Err(other) => panic!("{text:?}: {other:?}"),
    }
    // The other fields of the form may hold any text.
    drop(judge(&Words::new(&text, &text, &[])));
    drop(judge(&Words::new(&"bbbb.bbbbb.abcd.".repeat(1_000), &text, &names)));
    for words in [
        Words::new(password.expose(), "annbeetle", &names),
        Words::new("ann.beetle@example.org", password.expose(), &names),
        Words::new("ann.beetle@example.org", "annbeetle", &[password.expose().to_owned()]),
    ] {
        assert!(judge(&words).is_err(), "{text:?} equals a name, and was accepted");
    }
}

/// Stops the shared server and removes its folder.
pub fn stop_server() {
    drop(HOST.lock().expect("no oracle has failed before").take());
}

impl Host {
    fn start() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let app = runtime.block_on(App::start_with(Backend::Sqlite, |config| {
            // The cost of argon2 is minimal, because this oracle tests the code before the hashing.
            (config.password.argon2_memory_kib, config.password.argon2_iterations) = (8, 1);
        }));
        let (device, script) = runtime.block_on(log_in(&app, 1));
        Self { runtime, app, users: 1, device, script }
    }

    /// Registers a new user if the previous one has changed the password or deleted the account.
    fn replace_user(&mut self) {
        if self.runtime.block_on(self.device.get("me/").send()).status == 200 {
            return;
        }
        self.users += 1;
        (self.device, self.script) = self.runtime.block_on(log_in(&self.app, self.users));
    }

    fn send(&self, path: &str, body: Vec<u8>, token: Option<&str>) -> Response {
        // Earlier requests must not cause rate limits.
        self.app.clock.advance(Duration::from_mins(20));
        let mut call = self.app.request("POST", path).body("application/json", body).from(&some_address());
        if let Some(token) = token {
            call = call.bearer(token);
        }
        self.runtime.block_on(call.send())
    }
}

/// Registers a user, logs in and creates an access token.
async fn log_in(app: &App, number: u32) -> (Device, Script) {
    // Earlier requests must not cause rate limits.
    app.clock.advance(Duration::from_mins(20));
    let device = app.register(&format!("ann{number}")).await.log_in().await;
    let script = device.script(&device.try_create_access_token("fuzz", "read", 366).await);
    (device, script)
}

/// Any body results in success or a client error, never in a server error. If an email has an account, no other
/// spelling of it can be registered.
pub fn body(data: &[u8]) {
    let mut host = HOST.lock().expect("no oracle has failed before");
    let host = host.get_or_insert_with(Host::start);
    let Some((choice, body)) = data.split_first() else { return };
    let path = PATHS[usize::from(*choice) % PATHS.len()];
    let token = match choice >> 5 & 3 {
        0 => None,
        1 => Some(host.script.token.clone()),
        _ => Some(host.device.token.clone()),
    };
    let answer = host.send(path, body.to_vec(), token.as_deref());
    let status = answer.status.as_u16();
    assert!((200..300).contains(&status) || (400..500).contains(&status), "{path}: {} {}", answer.status, answer.text);
    if status >= 400 {
        let marked: serde_json::Value = serde_json::from_str(&answer.text).expect("an error is JSON");
        assert!(!marked.is_null(), "{path}");
    } else if path.ends_with("register") || path.ends_with("register/") {
        let sent: serde_json::Value = serde_json::from_slice(body).expect("an accepted body is JSON");
        let email = sent["email"].as_str().expect("an accepted body has an email");
        for spelling in plain_spellings(email).into_iter().chain(odd_spellings(email)) {
            let again = json!({ "email": spelling, "username": "somebody.else", "password": PASSWORD });
            let again = host.send(PATHS[0], again.to_string().into_bytes(), None).status;
            assert!([400, 409].contains(&again.as_u16()), "{spelling:?} has an account beside {email:?}: {again}");
        }
    }

    host.replace_user();
}
