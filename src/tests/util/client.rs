//! A client that treats a broken response as an unknown result.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::{Value, json};

use super::{PASSWORD, some_address};

/// Longer than the server may take for any response.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A complete response.
#[derive(Debug)]
pub struct Whole {
    pub status: u16,
    pub body: String,
}

impl Whole {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// Why there is no complete response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No server listens: nothing was sent.
    Refused,
    /// The connection was closed: the request may have been carried out or not.
    Broken,
}

/// Sends one request to the API on a new connection, from an address that no other request has.
pub fn call(server: SocketAddr, method: &str, path: &str, token: &str, body: &str) -> Result<Whole, Failure> {
    ask(server, method, &format!("/api/accounts/{path}"), token, body)
}

/// Sends one request for a page.
pub fn get(server: SocketAddr, path: &str) -> Result<Whole, Failure> {
    ask(server, "GET", path, "", "")
}

fn ask(server: SocketAddr, method: &str, path: &str, token: &str, body: &str) -> Result<Whole, Failure> {
    let stream = TcpStream::connect(server).map_err(|e| match e.kind() {
        ErrorKind::ConnectionRefused => Failure::Refused,
        _ => Failure::Broken,
    })?;
    exchange(stream, method, path, token, body).ok_or(Failure::Broken)
}

fn exchange(mut stream: TcpStream, method: &str, path: &str, token: &str, body: &str) -> Option<Whole> {
    stream.set_read_timeout(Some(REQUEST_TIMEOUT)).ok()?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-forwarded-for: {}\r\n\
         authorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        some_address(),
        body.len()
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let whole = match length {
        Some(length) => length.parse() == Ok(body.len()),
        // The body is chunked and ends with an empty chunk (RFC 9112, section 7.1), or there is none.
        None => body.ends_with("0\r\n\r\n") || status == 204,
    };
    whole.then(|| Whole { status, body: body.to_owned() })
}

pub fn register(server: SocketAddr, name: &str) -> Result<Whole, Failure> {
    let body = json!({ "email": format!("{name}@example.org"), "username": name, "password": PASSWORD });
    call(server, "POST", "api_register/", "", &body.to_string())
}

pub fn log_in(server: SocketAddr, name: &str) -> Result<Whole, Failure> {
    log_in_with(server, name, PASSWORD)
}

pub fn log_in_with(server: SocketAddr, name: &str, password: &str) -> Result<Whole, Failure> {
    call(server, "POST", "api_auth/", "", &json!({ "email": name, "password": password }).to_string())
}

/// The token of a login that must succeed.
pub fn token(server: SocketAddr, name: &str) -> String {
    let answer = log_in(server, name).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["token"].as_str().unwrap().to_owned()
}

pub fn log_out(server: SocketAddr, token: &str) -> Result<Whole, Failure> {
    call(server, "POST", "logout/", token, "{}")
}

pub fn me(server: SocketAddr, token: &str) -> Result<Whole, Failure> {
    call(server, "GET", "me/", token, "")
}
