//! The people of a test, their devices and their scripts.
//!
//! Each belongs to one server, also after its restart. Each request comes from an address that no other request has.
//! A method that returns a [`Request`] sends it when it is awaited, and accepts any response. Other methods expect
//! success.

use std::panic::Location;

use serde_json::{Value, json};
use vestibule::domain::token::{Token, TokenKind};

use super::{
    App, PASSWORD,
    request::{Request, Response, Server},
};

/// A person, with or without an account.
#[derive(Clone)]
pub struct User {
    server: Server,
    pub name: String,
}

/// A browser with a session.
#[derive(Clone)]
pub struct Device {
    server: Server,
    pub token: String,
    password: String,
}

/// A program with a personal access token.
#[derive(Clone)]
pub struct Script {
    server: Server,
    pub token: String,
    pub id: String,
}

impl App {
    /// Registers `<name>@example.org` with the username `name` and [`PASSWORD`].
    pub async fn register(&self, name: &str) -> User {
        let user = self.user(name);
        user.register().await.assert_status(200);
        user
    }

    /// Somebody without an account, or whose account exists already.
    pub fn user(&self, name: &str) -> User {
        User { server: self.server.clone(), name: name.to_owned() }
    }

    /// A browser with a session that another request created.
    pub fn device(&self, token: &str) -> Device {
        Device { server: self.server.clone(), token: token.to_owned(), password: PASSWORD.to_owned() }
    }
}

/// Requests with a link from a mail, which anybody can send.
impl App {
    pub fn verify_email(&self, link: &str, password: &str) -> Request {
        self.follow("verify_email/", &json!({ "token": link, "password": password }))
    }

    pub fn reset_password(&self, link: &str, new: &str) -> Request {
        self.follow("reset_password/", &json!({ "token": link, "new_password": new }))
    }

    pub fn confirm_email(&self, link: &str, password: &str) -> Request {
        self.follow("confirm_email/", &json!({ "token": link, "password": password }))
    }

    pub fn undo_email(&self, link: &str, new: &str) -> Request {
        self.follow("undo_email/", &json!({ "token": link, "new_password": new }))
    }

    fn follow(&self, path: &str, body: &Value) -> Request {
        self.post(path, body).with_fresh_address()
    }
}

impl User {
    pub fn email(&self) -> String {
        format!("{}@example.org", self.name)
    }

    pub fn register(&self) -> Request {
        self.post("api_register/", &json!({ "email": self.email(), "username": self.name, "password": PASSWORD }))
    }

    /// Logs in with [`PASSWORD`].
    pub async fn log_in(&self) -> Device {
        self.log_in_with(PASSWORD).await
    }

    pub async fn log_in_with(&self, password: &str) -> Device {
        let token = self.try_log_in(password).await.token();
        Device { server: self.server.clone(), token, password: password.to_owned() }
    }

    pub fn try_log_in(&self, password: &str) -> Request {
        self.post("api_auth/", &json!({ "email": self.name, "password": password }))
    }

    #[track_caller]
    pub fn assert_can_log_in(&self, password: &str) -> impl Future<Output = ()> {
        assert_status(self.try_log_in(password), 200)
    }

    #[track_caller]
    pub fn assert_cannot_log_in(&self, password: &str) -> impl Future<Output = ()> {
        assert_status(self.try_log_in(password), 400)
    }

    /// Requests a link to a new password.
    pub fn forgot_password(&self) -> Request {
        self.post("forgot_password/", &json!({ "email": self.email() }))
    }

    /// A request without a token.
    pub fn post(&self, path: &str, body: &Value) -> Request {
        self.server.request("POST", path).json(body).with_fresh_address()
    }
}

/// Sends requests with a token.
pub trait Client {
    fn server(&self) -> &Server;
    fn token(&self) -> &str;

    fn request(&self, method: &str, path: &str) -> Request {
        self.server().request(method, path).bearer(self.token()).with_fresh_address()
    }

    fn get(&self, path: &str) -> Request {
        self.request("GET", path)
    }

    fn post(&self, path: &str, body: &Value) -> Request {
        self.request("POST", path).json(body)
    }

    fn delete(&self, path: &str) -> Request {
        self.request("DELETE", path).json(&json!({}))
    }

    /// Calls a server function, as the page does.
    fn call(&self, function: &str, body: &Value) -> Request {
        self.post(&format!("/fn/{function}"), body)
    }

    fn log_out(&self) -> Request {
        self.post("logout/", &json!({}))
    }

    async fn me(&self) -> Value {
        self.get("me/").await.assert_status(200).json()
    }

    #[track_caller]
    fn assert_logged_in(&self) -> impl Future<Output = ()> {
        assert_status(self.get("me/"), 200)
    }

    #[track_caller]
    fn assert_logged_out(&self) -> impl Future<Output = ()> {
        assert_status(self.get("me/"), 401)
    }

    async fn access_tokens(&self) -> Vec<Value> {
        let response = self.get("tokens/").await;
        response.assert_status(200).json()["tokens"].as_array().unwrap().clone()
    }

    fn revoke(&self, script: &Script) -> Request {
        self.delete(&format!("tokens/{}/", script.id))
    }
}

impl Client for Device {
    fn server(&self) -> &Server {
        &self.server
    }

    fn token(&self) -> &str {
        &self.token
    }
}

impl Client for Script {
    fn server(&self) -> &Server {
        &self.server
    }

    fn token(&self) -> &str {
        &self.token
    }
}

impl Device {
    /// Its token, as the service takes it.
    pub fn session_token(&self) -> Token {
        Token::parse(TokenKind::Session, &self.token).unwrap()
    }

    /// Changes the password, and uses the session's new token from then on.
    pub async fn change_password(&mut self, new: &str) -> Response {
        let response = self.try_change_password(&self.password, new).await;
        self.token = response.token();
        new.clone_into(&mut self.password);
        response
    }

    pub fn try_change_password(&self, current: &str, new: &str) -> Request {
        self.post("change_password/", &json!({ "current_password": current, "new_password": new }))
    }

    /// Confirms the password, and uses the session's new token from then on.
    pub async fn confirm_password(&mut self) -> Response {
        let response = self.try_confirm_password(&self.password).await;
        self.token = response.token();
        response
    }

    pub fn try_confirm_password(&self, password: &str) -> Request {
        self.post("confirm_password/", &json!({ "password": password }))
    }

    /// The account's sessions, this one first.
    pub async fn sessions(&self) -> Vec<Value> {
        let response = self.get("sessions/").await;
        response.assert_status(200).json()["sessions"].as_array().unwrap().clone()
    }

    /// The identifier of its session.
    pub async fn session_id(&self) -> String {
        let sessions = self.sessions().await;
        let own = sessions.iter().find(|session| session["current"] == true).unwrap();
        own["id"].as_str().unwrap().to_owned()
    }

    pub fn end_session(&self, id: &str) -> Request {
        self.delete(&format!("sessions/{id}/"))
    }

    pub fn end_other_sessions(&self) -> Request {
        self.delete("sessions/")
    }

    pub fn change_username(&self, username: &str) -> Request {
        self.post("change_username/", &json!({ "username": username }))
    }

    pub fn change_email(&self, new: &str) -> Request {
        self.post("change_email/", &json!({ "new_email": new }))
    }

    pub fn delete_account(&self, username: &str) -> Request {
        self.post("delete/", &json!({ "username": username }))
    }

    pub fn try_create_access_token(&self, name: &str, scope: &str, days: i64) -> Request {
        self.post("tokens/", &json!({ "name": name, "scope": scope, "days": days }))
    }

    /// Creates a personal access token of 30 days.
    pub async fn create_access_token(&self, name: &str, scope: &str) -> Script {
        self.script(&self.try_create_access_token(name, scope, 30).await)
    }

    /// The program that has the new token.
    pub fn script(&self, created: &Response) -> Script {
        let id = created.assert_status(200).json()["id"].as_str().unwrap().to_owned();
        Script { server: self.server.clone(), token: created.token(), id }
    }
}

/// Sends a request. A failure shows the line of the test, which a panic inside a future doesn't.
#[track_caller]
pub fn assert_status(request: Request, status: u16) -> impl Future<Output = ()> {
    let line = Location::caller();
    async move {
        let response = request.await;
        assert_eq!(response.status.as_u16(), status, "{line}: {}", response.text);
    }
}
