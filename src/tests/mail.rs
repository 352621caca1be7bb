//! Mail: its recipients, its links, and failures to send it.

mod changing;
mod confirming;
mod discreet;
mod forgotten;
mod pending;
mod queue;
mod registering;
mod smtp;

use std::{panic::Location, sync::atomic::Ordering};

use serde_json::{Value, json};
use vestibule::{
    mail::MailUrl,
    server::config::Config,
    service::{
        MailMessage,
        admin::{Command, Reply},
    },
};

use crate::util::{
    App, NEW, PASSWORD, Request,
    actors::{Client, Device, User},
    mail_capture::token_of,
};

/// Requests without a session.
impl App {
    /// A request from a fresh address.
    fn send(&self, path: &str, body: &Value) -> Request {
        self.post(path, body).with_fresh_address()
    }

    /// Registers with [`PASSWORD`].
    fn try_register(&self, email: &str, username: &str) -> Request {
        self.send("api_register/", &json!({ "email": email, "username": username, "password": PASSWORD }))
    }

    fn forgot_password(&self, email: &str) -> Request {
        self.send("forgot_password/", &json!({ "email": email }))
    }

    /// Whether a link is valid, by the page's request.
    async fn check_link(&self, link: &str) -> bool {
        !self.send("/fn/check_link", &json!({ "token": link })).await.json().is_null()
    }
}

/// Sequences of requests and mails, which must succeed.
impl App {
    /// Registers an account and confirms its email.
    async fn register_confirmed(&self, name: &str) -> User {
        let user = self.register(name).await;
        self.follow_verification().await;
        user
    }

    /// Follows the link to confirm an email, in the one mail that arrives.
    async fn follow_verification(&self) {
        let link = self.deliver_link().await;
        self.verify_email(&link, PASSWORD).await.assert_status(200);
    }

    /// Requests a link to a new password.
    async fn reset_link(&self, user: &User) -> String {
        user.forgot_password().await.assert_status(200);
        let message = self.deliver_one().await;
        assert_eq!(message.subject, "Choose a new password for Vestibule");
        token_of(&message)
    }

    /// Requests a change of email. Returns the link that arrives there.
    async fn email_link(&self, device: &Device, email: &str) -> String {
        device.change_email(email).await.assert_status(200);
        let message = self.deliver_one().await;
        assert_mail(&message, email, "Confirm your new email for Vestibule");
        token_of(&message)
    }

    /// Changes an account's email by the link that arrives there.
    async fn move_to(&self, device: &Device, email: &str) {
        let link = self.email_link(device, email).await;
        self.confirm_email(&link, PASSWORD).await.assert_status(200);
    }

    /// Checks that an account has this email, and the new password that its owner chose to undo a change.
    async fn assert_restored(&self, email: &str) {
        let device = self.user(email).log_in_with(NEW).await;
        assert_eq!(device.me().await["email"], email);
    }
}

/// The mail server and the operator.
impl App {
    /// Sends every mail that is due. None arrives.
    #[track_caller]
    pub fn assert_no_mail(&self) -> impl Future<Output = ()> {
        let line = Location::caller();
        async move {
            let messages = self.deliver().await;
            assert!(messages.is_empty(), "{line}: {messages:?}");
        }
    }

    /// Makes every delivery fail.
    fn break_mail(&self) {
        self.mail_capture.broken.store(true, Ordering::SeqCst);
    }

    fn repair_mail(&self) {
        self.mail_capture.broken.store(false, Ordering::SeqCst);
    }

    /// Makes the failures of deliveries permanent.
    fn fail_permanently(&self) {
        self.mail_capture.permanent.store(true, Ordering::SeqCst);
    }

    async fn disable(&self, who: &str) {
        self.operate(Command::Disable { who: who.to_owned(), force: false }).await;
    }

    async fn enable(&self, who: &str) {
        self.operate(Command::Enable { who: who.to_owned() }).await;
    }

    /// Runs a command of the operator.
    async fn operate(&self, command: Command) {
        let reply = self.administer(command).await;
        assert!(matches!(reply, Reply::Done { .. }), "{reply:?}");
    }
}

impl Device {
    fn resend_verification(&self) -> Request {
        self.post("resend_verification/", &json!({}))
    }

    /// The account's identifier.
    async fn user_id(&self) -> String {
        self.me().await["id"].as_str().unwrap().to_owned()
    }
}

/// Checks a mail's recipient and subject.
#[track_caller]
fn assert_mail(message: &MailMessage, to: &str, subject: &str) {
    assert_eq!(message.to, to);
    assert_eq!(message.subject, subject);
}

/// Configures a server that sends mail.
fn sends(config: &mut Config) {
    config.mail.url = MailUrl::parse("smtp://localhost").unwrap();
    config.server.public_url = Some("https://accounts.example.org".parse().unwrap());
}
