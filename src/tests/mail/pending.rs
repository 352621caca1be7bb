//! A change of email that is not confirmed yet: where it is shown, and how it is cancelled.

use std::time::Duration;

use serde_json::{Value, json};
use vestibule::{
    domain::{
        email_domain::EmailDomain,
        token::{Token, TokenKind},
    },
    service::restore::RestoreOptions,
    store::{LinkKind, NewLink},
};

use crate::util::{
    App, NEW, PASSWORD,
    actors::{Client, Device},
    macros::both,
    operator,
};

both! {
    a_requested_email_is_pending_until_it_is_confirmed,
    a_pending_email_change_expires_with_its_link_r55,
    a_cancelled_email_change_sends_nothing_and_revokes_its_link,
    a_newer_email_change_replaces_the_pending_one,
    a_pending_email_does_not_reveal_whether_it_has_an_account_r2,
    a_pending_email_is_shown_to_its_account_only,
    a_new_password_cancels_the_pending_email_change_r55,
    the_page_shows_and_cancels_a_pending_email_change,
    an_ended_session_cancels_no_email_change,
    a_cancellation_after_the_confirmation_cancels_nothing,
    of_a_cancellation_and_a_confirmation_at_once_one_succeeds,
    a_mail_being_sent_gets_no_link_after_a_cancellation,
    a_cancelled_email_change_stays_cancelled_whatever_the_clock_r99,
    an_email_change_to_a_domain_denied_since_is_not_pending_r10,
    a_restore_cancels_a_queued_email_change_r107,
}

const NONE: Value = Value::Null;

/// Requests about the pending change.
trait Pending: Client {
    /// The new email, or `null`.
    async fn pending_email(&self) -> Value {
        let response = self.get("email_change/").await;
        response.assert_status(200).json()["email_change"].get("new_email").cloned().unwrap_or_default()
    }

    async fn cancel_email_change(&self) {
        self.delete("email_change/").await.assert_status(204);
    }
}

/// What the page calls.
trait Page: Client {
    /// Returns whether there was a change to cancel.
    async fn cancel_on_the_page(&self) -> bool {
        self.call("cancel_email_change", &json!({})).await.assert_status(200).json() == json!(true)
    }
}

impl<C: Client> Pending for C {}
impl<C: Client> Page for C {}

async fn ann(app: &App) -> Device {
    app.register_confirmed("ann").await.log_in().await
}

async fn a_requested_email_is_pending_until_it_is_confirmed(app: App) {
    let phone = ann(&app).await;
    assert_eq!(phone.get("email_change/").await.assert_status(200).json(), json!({ "email_change": null }));

    phone.change_email("new@example.org").await.assert_status(200);
    let expected = json!({ "new_email": "new@example.org", "requested_at": "2026-11-22T12:00:00Z" });
    let queued = phone.get("email_change/").await.json();
    assert_eq!(queued["email_change"], expected);

    app.clock.advance(Duration::from_secs(5));
    let link = app.deliver_link().await;
    let sent = phone.get("email_change/").await.json();
    assert_eq!(sent["email_change"], expected);

    app.confirm_email(&link, PASSWORD).await.assert_status(200);
    assert_eq!(phone.pending_email().await, NONE);
}

async fn a_pending_email_change_expires_with_its_link_r55(app: App) {
    let phone = ann(&app).await;
    let link = app.email_link(&phone, "new@example.org").await;
    let script = phone.create_access_token("a script", "read").await;
    app.clock.advance(Duration::from_hours(24) - Duration::from_millis(1));
    assert_eq!(script.pending_email().await, "new@example.org");
    app.clock.advance(Duration::from_millis(1));
    assert_eq!(script.pending_email().await, NONE);
    app.confirm_email(&link, PASSWORD).await.assert_status(410);
}

async fn a_cancelled_email_change_sends_nothing_and_revokes_its_link(app: App) {
    let phone = ann(&app).await;
    phone.change_email("new@example.org").await.assert_status(200);
    phone.cancel_email_change().await;
    assert_eq!(phone.pending_email().await, NONE);
    app.assert_no_mail().await;

    let link = app.email_link(&phone, "new@example.org").await;
    phone.cancel_email_change().await;
    assert_eq!(phone.pending_email().await, NONE);
    app.confirm_email(&link, PASSWORD).await.assert_status(410);
    assert_eq!(phone.me().await["email"], "ann@example.org");

    // A repeated request succeeds too.
    phone.cancel_email_change().await;
}

async fn a_newer_email_change_replaces_the_pending_one(app: App) {
    let phone = ann(&app).await;
    app.email_link(&phone, "first@example.org").await;
    app.clock.advance(Duration::from_secs(1));
    phone.change_email("second@example.org").await.assert_status(200);
    assert_eq!(phone.pending_email().await, "second@example.org");
    app.deliver_link().await;
    assert_eq!(phone.pending_email().await, "second@example.org");
}

async fn a_pending_email_does_not_reveal_whether_it_has_an_account_r2(app: App) {
    app.register_confirmed("bob").await;
    let phone = ann(&app).await;
    for email in ["free@example.org", "bob@example.org"] {
        phone.change_email(email).await.assert_status(200);
        assert_eq!(phone.pending_email().await, email, "its mail is queued");
        app.deliver_one().await;
        assert_eq!(phone.pending_email().await, email, "its mail was sent");
        phone.cancel_email_change().await;
        assert_eq!(phone.pending_email().await, NONE);
        app.clock.advance(Duration::from_secs(1));
    }
}

async fn a_pending_email_is_shown_to_its_account_only(app: App) {
    let bobs = app.register_confirmed("bob").await.log_in().await;
    let phone = ann(&app).await;
    let link = app.email_link(&phone, "new@example.org").await;
    assert_eq!(bobs.pending_email().await, NONE);
    bobs.cancel_email_change().await;
    assert_eq!(phone.pending_email().await, "new@example.org");
    app.confirm_email(&link, PASSWORD).await.assert_status(200);
}

async fn a_new_password_cancels_the_pending_email_change_r55(app: App) {
    let mut phone = ann(&app).await;
    phone.change_email("new@example.org").await.assert_status(200);
    phone.change_password(NEW).await;
    assert_eq!(phone.pending_email().await, NONE);
}

async fn the_page_shows_and_cancels_a_pending_email_change(app: App) {
    let phone = ann(&app).await;
    assert_eq!(phone.call("email_change", &json!({})).await.assert_status(200).json(), NONE);
    let link = app.email_link(&phone, "new@example.org").await;
    let shown = phone.call("email_change", &json!({})).await.assert_status(200).json();
    assert_eq!(shown["new_email"], "new@example.org");
    assert!(phone.cancel_on_the_page().await);
    assert_eq!(phone.call("email_change", &json!({})).await.json(), NONE);
    app.confirm_email(&link, PASSWORD).await.assert_status(410);
}

async fn an_ended_session_cancels_no_email_change(app: App) {
    let phone = ann(&app).await;
    let ended = app.user("ann").log_in().await;
    app.email_link(&phone, "new@example.org").await;
    ended.log_out().await.assert_status(204);
    ended.get("email_change/").await.assert_status(401);
    ended.delete("email_change/").await.assert_status(401);
    assert_eq!(phone.pending_email().await, "new@example.org");
}

async fn a_cancellation_after_the_confirmation_cancels_nothing(app: App) {
    let phone = ann(&app).await;
    let link = app.email_link(&phone, "new@example.org").await;
    app.confirm_email(&link, PASSWORD).await.assert_status(200);
    assert!(!phone.cancel_on_the_page().await);
    assert_eq!(phone.me().await["email"], "new@example.org");
}

async fn of_a_cancellation_and_a_confirmation_at_once_one_succeeds(app: App) {
    let phone = ann(&app).await;
    let link = app.email_link(&phone, "new@example.org").await;
    let (cancelled, confirmed) = tokio::join!(phone.cancel_on_the_page(), app.confirm_email(&link, PASSWORD).send());
    assert_eq!(confirmed.status, if cancelled { 410 } else { 200 });
    let email = if cancelled { "ann@example.org" } else { "new@example.org" };
    assert_eq!(phone.me().await["email"], email);
}

async fn a_mail_being_sent_gets_no_link_after_a_cancellation(app: App) {
    let phone = ann(&app).await;
    phone.change_email("new@example.org").await.assert_status(200);
    let now = app.now();
    let mail = app.store.claim_mail(now, Duration::from_mins(10)).await.unwrap().unwrap();
    phone.cancel_email_change().await;
    let link = NewLink {
        mail: &mail.id,
        token_hash: Token::generate(TokenKind::Link, || 7).hash(),
        kind: LinkKind::ChangeEmail,
        user_id: &phone.user_id().await,
        address: "new@example.org",
        created_at: now,
        now,
    };
    assert!(!app.store.create_link(link, None).await.unwrap());
    assert_eq!(phone.pending_email().await, NONE);
}

async fn a_cancelled_email_change_stays_cancelled_whatever_the_clock_r99(app: App) {
    let script = ann(&app).await.create_access_token("a script", "full").await;
    app.deliver_one().await;
    app.clock.advance(Duration::from_hours(12));
    let later = app.user("ann").log_in().await;
    let link = app.email_link(&later, "new@example.org").await;
    app.clock.go_back(Duration::from_hours(12));
    assert_eq!(script.pending_email().await, NONE, "the link is not valid yet");
    script.cancel_email_change().await;
    app.clock.advance(Duration::from_hours(12));
    app.confirm_email(&link, PASSWORD).await.assert_status(410);
}

async fn an_email_change_to_a_domain_denied_since_is_not_pending_r10(app: App) {
    let phone = ann(&app).await;
    let link = app.email_link(&phone, "ann@example.com").await;
    let denied = vec![EmailDomain::parse("example.com").unwrap()];
    let app = app.restart_changed(|config| config.registration.denied_domains = denied).await;
    assert_eq!(phone.pending_email().await, NONE);
    app.confirm_email(&link, PASSWORD).await.assert_status(410);
}

async fn a_restore_cancels_a_queued_email_change_r107(app: App) {
    let phone = ann(&app).await;
    phone.change_email("new@example.org").await.assert_status(200);
    app.service.revoke_after_restore(operator(), RestoreOptions::default()).await.unwrap();
    app.assert_no_mail().await;
}
