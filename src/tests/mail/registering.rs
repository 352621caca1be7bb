//! Registering where mail is sent.

use serde_json::{Value, json};
use vestibule::mail::MailUrl;

use super::{assert_mail, sends};
use crate::util::{App, Backend, PASSWORD, macros::both};

both! {
    registering_reveals_no_email_that_has_an_account_r2,
    notices_of_strangers_registrations_are_limited_r56,
    the_page_logs_nobody_in_where_that_would_reveal_an_account_r2,
}

async fn registering_reveals_no_email_that_has_an_account_r2(app: App) {
    let app = app.restart_changed(sends).await;
    app.register_confirmed("ann").await;
    // Returns the response and the number of hashes.
    let register = async |email: &str, username: &str| {
        let before = app.service.hashes_run();
        let response = app.try_register(email, username).await;
        (response.shape(), app.service.hashes_run() - before)
    };
    let new = register("new@example.org", "new").await;
    assert_eq!(app.deliver_one().await.subject, "Confirm your email for Vestibule");
    let taken = register("ANN@example.org", "another").await;
    assert_eq!(taken, new);
    let notice = app.deliver_one().await;
    assert_mail(&notice, "ann@example.org", "You already have an account at Vestibule");
    assert!(notice.to_text().contains("https://accounts.example.org/forgot"), "{}", notice.to_text());
    // No account was created.
    app.user("another").assert_cannot_log_in(PASSWORD).await;

    // Usernames are public, so the response may report a used one.
    let (response, _) = register("third@example.org", "ANN").await;
    assert!(response.contains("This name is taken. Choose another."), "{response}");
    app.assert_no_mail().await;

    // Another registration with the unconfirmed email gets the same response.
    let again = register("new@example.org", "newer").await;
    assert_eq!(again, new);
    assert_eq!(app.deliver_one().await.subject, "Confirm your email for Vestibule");
}

async fn notices_of_strangers_registrations_are_limited_r56(app: App) {
    let app = app.restart_changed(sends).await;
    let ann = app.register_confirmed("ann").await;
    for at in 0..7 {
        app.try_register(&ann.email(), &format!("eve{at}")).await.assert_status(200);
    }
    assert_eq!(app.deliver().await.len(), 5);
    // The owner's own requests aren't affected.
    app.reset_link(&ann).await;
}

#[tokio::test]
async fn registering_with_a_taken_username_reveals_no_email_r2() {
    let app = App::start_with(Backend::Sqlite, sends).await;
    app.register("ann").await;
    app.register("eve").await;
    app.deliver().await;
    let taken = app.try_register("ann@example.org", "eve").await;
    let free = app.try_register("nobody@example.org", "eve").await;
    assert_eq!(taken.shape(), free.shape());
    app.assert_no_mail().await;
}

async fn the_page_logs_nobody_in_where_that_would_reveal_an_account_r2(app: App) {
    let app = app.restart_changed(sends).await;
    app.register_confirmed("ann").await;
    // Returns the response without the values that differ: the identifier, the email and the username.
    let register = async |email: &str, username: &str| {
        let fields = json!({ "email": email, "username": username, "password": PASSWORD });
        let mut response = app.send("/fn/register", &fields).await.json();
        let account = &mut response["account"];
        assert_ne!(account["id"].take(), Value::Null);
        assert_eq!(account["email"].take(), email);
        assert_eq!(account["username"].take(), username);
        response
    };
    let new = register("new@example.org", "new").await;
    let taken = register("ann@example.org", "another").await;
    assert_eq!(new, taken);
    assert_eq!(new["login"], Value::Null);
}

#[tokio::test]
async fn the_page_logs_nobody_in_who_must_confirm_the_email_first_r6() {
    let app = App::start_with(Backend::Sqlite, |config| {
        config.mail.url = MailUrl::parse("folder:mail").unwrap();
        config.registration.require_verified_email = true;
    })
    .await;
    let fields = json!({ "email": "ann@example.org", "username": "ann", "password": PASSWORD });
    assert_eq!(app.send("/fn/register", &fields).await.json()["login"], Value::Null);
}
