//! Mail: its recipients, its links, and failures to send it.

mod changing;
mod confirming;
mod discreet;
mod forgotten;
mod queue;
mod registering;
mod smtp;

use std::{sync::atomic::Ordering, time::Duration};

use serde_json::{Value, json};
use vestibule::{
    domain::{
        time::Timestamp,
        token::{Token, TokenKind},
    },
    mail::MailUrl,
    server::config::Config,
    service::MailMessage,
    store::{LinkKind, NewLink},
};

use crate::{
    on_both,
    util::{App, Backend, PASSWORD, Response, mail_capture::token_of, some_address},
};

const REGISTER: &str = "/api/accounts/api_register/";
const VERIFY: &str = "/api/accounts/verify_email/";
const RESEND: &str = "/api/accounts/resend_verification/";
const FORGOT: &str = "/api/accounts/forgot_password/";
const RESET: &str = "/api/accounts/reset_password/";
const CHANGE_PASSWORD: &str = "/api/accounts/change_password/";
const CHANGE_EMAIL: &str = "/api/accounts/change_email/";
const CONFIRM_EMAIL: &str = "/api/accounts/confirm_email/";
const UNDO_EMAIL: &str = "/api/accounts/undo_email/";
const NEW: &str = "walrus orchard lantern";

impl App {
    async fn send(&self, path: &str, body: Value) -> Response {
        self.post(path, &body).from(&some_address()).send().await
    }

    async fn verify(&self, link: &str, password: &str) -> u16 {
        self.send(VERIFY, json!({ "token": link, "password": password })).await.status.as_u16()
    }

    async fn forgot(&self, email: &str) -> Response {
        self.send(FORGOT, json!({ "email": email })).await
    }

    async fn reset(&self, link: &str, password: &str) -> u16 {
        self.send(RESET, json!({ "token": link, "new_password": password })).await.status.as_u16()
    }

    async fn confirm_email(&self, link: &str) -> u16 {
        self.confirm_email_with(link, PASSWORD).await
    }

    async fn confirm_email_with(&self, link: &str, password: &str) -> u16 {
        self.send(CONFIRM_EMAIL, json!({ "token": link, "password": password })).await.status.as_u16()
    }

    async fn undo_email(&self, link: &str) -> u16 {
        self.send(UNDO_EMAIL, json!({ "token": link, "new_password": NEW })).await.status.as_u16()
    }

    /// Registers an account and confirms its email.
    async fn register_confirmed(&self, name: &str) {
        self.register(name).await;
        let link = token_of(&self.deliver_one().await);
        assert_eq!(self.verify(&link, PASSWORD).await, 200);
    }

    /// Requests a link to a new password, and returns its token.
    async fn reset_link(&self, name: &str) -> String {
        assert_eq!(self.forgot(&format!("{name}@example.org")).await.status, 200);
        let message = self.deliver_one().await;
        assert_eq!(message.subject, "Choose a new password for Vestibule");
        token_of(&message)
    }

    /// Requests a change of email, and returns the link that arrives there.
    async fn email_link(&self, token: &str, email: &str) -> String {
        let asked = self.ask("POST", CHANGE_EMAIL, token, &json!({ "new_email": email })).await;
        assert_eq!(asked.status, 200, "{}", asked.text);
        let message = self.deliver_one().await;
        assert_eq!((message.to.as_str(), message.subject.as_str()), (email, "Confirm your new email for Vestibule"));
        token_of(&message)
    }

    /// Changes an account's email by the link that arrives there.
    async fn move_to(&self, token: &str, email: &str) {
        let link = self.email_link(token, email).await;
        assert_eq!(self.confirm_email(&link).await, 200);
    }

    /// Logs in with the new password.
    async fn new_token(&self, who: &str) -> String {
        let answer = self.log_in(who, NEW).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["token"].as_str().unwrap().to_owned()
    }

    async fn id_of(&self, token: &str) -> String {
        self.who(token).await["id"].as_str().unwrap().to_owned()
    }

    async fn who(&self, token: &str) -> Value {
        self.get("/api/accounts/me/").bearer(token).send().await.json()
    }
}

/// Configures a server that sends mail.
fn sends(config: &mut Config) {
    config.mail.url = MailUrl::parse("smtp://localhost").unwrap();
    config.server.public_url = Some("https://accounts.example.org".parse().unwrap());
}
