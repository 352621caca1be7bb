//! How many access tokens and new passwords an account may have.

use std::time::Duration;

use vestibule::mail::MailUrl;

use crate::util::{App, Backend, NEW, PASSWORD, actors::Client, macros::both};

both! {
    an_account_has_at_most_fifty_tokens,
    new_tokens_are_rate_limited_as_each_is_announced_r93,
    new_passwords_are_rate_limited_as_each_is_announced_r93,
}

async fn an_account_has_at_most_fifty_tokens(app: App) {
    let ann = app.register("ann").await;
    for _ in 0..50 {
        ann.log_in().await.create_access_token("x", "read").await;
        app.clock.advance(Duration::from_mins(6));
    }
    let phone = ann.log_in().await;
    for _ in 0..11 {
        let refused = phone.try_create_access_token("x", "read", 1).await;
        refused.assert_contains("the limit of 50 tokens");
    }
    assert_eq!(phone.access_tokens().await.len(), 50);
}

async fn new_tokens_are_rate_limited_as_each_is_announced_r93(app: App) {
    let phone = app.register("ann").await.log_in().await;
    let bobs_phone = app.register("bob").await.log_in().await;
    for _ in 0..10 {
        let script = phone.create_access_token("a script", "read").await;
        phone.revoke(&script).await.assert_status(204);
    }
    let limited = phone.try_create_access_token("one more", "read", 30).await;
    assert_eq!(limited.assert_status(429).header("retry-after"), "360");
    bobs_phone.create_access_token("a script", "read").await;
    app.clock.advance(Duration::from_mins(6));
    phone.create_access_token("one more", "read").await;
    phone.try_create_access_token("one more", "read", 30).await.assert_status(429);
}

async fn new_passwords_are_rate_limited_as_each_is_announced_r93(app: App) {
    let mut phone = app.register("ann").await.log_in().await;
    for _ in 0..5 {
        phone.change_password(NEW).await;
        phone.change_password(PASSWORD).await;
    }
    phone.try_change_password(PASSWORD, NEW).await.assert_status(429);
    app.clock.advance(Duration::from_mins(6));
    phone.change_password(NEW).await;
}

#[tokio::test]
async fn without_mail_new_tokens_are_not_rate_limited() {
    let app = App::start_with(Backend::Sqlite, |config| config.mail.url = MailUrl::Off).await;
    let phone = app.register("ann").await.log_in().await;
    for _ in 0..11 {
        phone.create_access_token("a script", "read").await;
    }
}
