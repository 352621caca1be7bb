//! A forgotten password.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use super::assert_mail;
use crate::util::{
    App, Backend, NEW, PASSWORD,
    actors::Client,
    macros::{both, snapshot},
    mail_capture::token_of,
    some_address,
};

both! {
    a_forgotten_password_is_reset_by_a_link_r55_r57,
    a_password_of_two_repeated_characters_uses_up_no_link_r16_r84,
    a_reset_link_is_invalid_once_expired_or_overtaken_r55,
    a_reset_mail_warns_only_while_the_email_is_unconfirmed_r6,
    a_reset_link_followed_fifty_times_at_once_works_once_r55,
    a_request_for_a_reset_link_reveals_no_account_r56,
    mail_is_sent_only_to_the_stored_address_r54,
    no_request_decides_where_a_link_leads_r53,
    requested_mails_are_limited_by_mailbox_and_by_address_r56,
    a_retried_mail_is_counted_once_r56,
    strangers_requests_use_up_none_of_the_owners_links_r56,
    notices_to_an_unconfirmed_mailbox_are_limited_as_well_r56,
    a_clock_put_back_neither_extends_nor_prevents_a_link_r99,
    an_expired_link_stays_expired_if_the_clock_goes_back_r99,
}

async fn a_forgotten_password_is_reset_by_a_link_r55_r57(app: App) {
    let ann = app.register_confirmed("ann").await;
    let (phone, laptop) = (ann.log_in().await, ann.log_in().await);
    let link = app.reset_link(&ann).await;
    // The request alone revokes nothing.
    phone.assert_logged_in().await;
    ann.assert_can_log_in(PASSWORD).await;
    // A rejected password doesn't use up the link.
    for weak in ["ann@example.org", "short"] {
        app.reset_password(&link, weak).await.assert_status(400);
    }

    let reset = app.reset_password(&link, NEW).await;

    // The link creates no session.
    assert_eq!(reset.assert_status(200).json(), json!({ "status": "ok" }));
    phone.assert_logged_out().await;
    laptop.assert_logged_out().await;
    ann.assert_cannot_log_in(PASSWORD).await;
    ann.assert_can_log_in(NEW).await;
    app.reset_password(&link, PASSWORD).await.assert_status(410);
    let notice = app.deliver_one().await;
    assert_mail(&notice, "ann@example.org", "Your password at Vestibule was changed");
    assert!(notice.to_text().contains("22 November 2026, 12:00 UTC"), "{}", notice.to_text());
}

async fn a_password_of_two_repeated_characters_uses_up_no_link_r16_r84(app: App) {
    let ann = app.register_confirmed("ann").await;
    let link = app.reset_link(&ann).await;
    let periodic = "12".repeat(20);
    app.reset_password(&link, &periodic).await.assert_status(400);
    let fields = json!({ "token": link, "new_password": periodic });
    app.send("/fn/reset_password", &fields).await.assert_status(400);
    app.reset_password(&link, NEW).await.assert_status(200);
}

async fn a_reset_link_is_invalid_once_expired_or_overtaken_r55(app: App) {
    let ann = app.register_confirmed("ann").await;
    let old = app.reset_link(&ann).await;
    app.clock.advance(Duration::from_mins(30));
    app.reset_password(&old, NEW).await.assert_status(410);

    // A newer link revokes it.
    let (first, second) = (app.reset_link(&ann).await, app.reset_link(&ann).await);
    app.reset_password(&first, NEW).await.assert_status(410);

    // A change of the password revokes it.
    ann.log_in().await.change_password(NEW).await;
    app.reset_password(&second, PASSWORD).await.assert_status(410);
    assert_eq!(app.deliver_one().await.subject, "Your password at Vestibule was changed");

    // A change of the email revokes it.
    let third = app.reset_link(&ann).await;
    let moved = app.email_link(&ann.log_in_with(NEW).await, "new@example.org").await;
    app.confirm_email(&moved, NEW).await.assert_status(200);
    app.reset_password(&third, PASSWORD).await.assert_status(410);
}

async fn a_reset_mail_warns_only_while_the_email_is_unconfirmed_r6(app: App) {
    let ann = app.register("ann").await;
    app.deliver().await;
    ann.forgot_password().await.assert_status(200);
    let unconfirmed = app.deliver_one().await;
    let text = unconfirmed.to_text();
    assert!(text.contains("locks out the person who created the account"), "{text}");
    // The reset confirms the email.
    app.reset_password(&token_of(&unconfirmed), NEW).await.assert_status(200);
    app.deliver().await;

    ann.forgot_password().await.assert_status(200);
    let text = app.deliver_one().await.to_text();
    assert!(!text.contains("locks out"), "{text}");
    assert!(text.contains("Your password stays the same"), "{text}");
}

async fn a_reset_link_followed_fifty_times_at_once_works_once_r55(app: App) {
    let ann = app.register_confirmed("ann").await;
    let link = app.reset_link(&ann).await;
    let siblings = match app.backend {
        Backend::Sqlite => vec![],
        Backend::Postgres => vec![app.sibling().await, app.sibling().await],
    };
    let servers: Vec<&App> = siblings.iter().chain([&app]).collect();
    let following = (0..50).map(|at| {
        let (server, password) = (servers[at % servers.len()], format!("{NEW} {at}"));
        let link = &link;
        async move {
            loop {
                match server.reset_password(link, &password).await.status.as_u16() {
                    // The queue for hashing is full.
                    503 => tokio::time::sleep(Duration::from_millis(50)).await,
                    status => return status,
                }
            }
        }
    });
    let statuses = join_all(following).await;
    let count = |expected: u16| statuses.iter().filter(|status| **status == expected).count();
    assert_eq!(count(200), 1, "{statuses:?}");
    assert_eq!(count(410), 49, "{statuses:?}");
    assert_eq!(app.deliver().await.len(), 1);
}

async fn a_request_for_a_reset_link_reveals_no_account_r56(app: App) {
    let (ann, bob) = (app.register_confirmed("ann").await, app.register("bob").await);
    app.deliver().await;
    let known = ann.forgot_password().await;
    snapshot!(known.shape(), @r#"
    200 OK
    cache-control: no-store
    content-type: application/json; charset=utf-8
    vary: Authorization, Origin, Sec-Fetch-Site
    {"status":"ok","response":"If there is an account with this email, a message is on its way."}
    "#);
    assert_eq!(bob.forgot_password().await.shape(), known.shape(), "the email is unconfirmed");
    assert_eq!(app.user("nobody").forgot_password().await.shape(), known.shape(), "there is no account");
    app.break_mail();
    assert_eq!(ann.forgot_password().await.shape(), known.shape(), "mail can't be sent");
    app.assert_no_mail().await;
}

async fn mail_is_sent_only_to_the_stored_address_r54(app: App) {
    app.register_confirmed("ann").await;
    app.forgot_password(" ANN@example.ORG ").await.assert_status(200);
    assert_eq!(app.deliver_one().await.to, "ann@example.org");
    let hostile = [
        json!(["ann@example.org", "eve@example.org"]),
        json!({ "0": "ann@example.org" }),
        json!("ann@example.org,eve@example.org"),
        json!("ann@example.org\r\nBcc: eve@example.org"),
        json!("ann@example.org\0eve@example.org"),
        json!("\"ann@example.org\"@example.net"),
        json!("ann@example.org@eve.example"),
        json!(null),
        json!(7),
    ];
    for email in hostile {
        let refused = app.send("forgot_password/", &json!({ "email": email })).await;
        refused.assert_status(400).assert_code("invalid");
    }
    // A similar address gets no mail.
    app.forgot_password("änn@example.org").await.assert_status(400);
    app.assert_no_mail().await;
}

async fn no_request_decides_where_a_link_leads_r53(app: App) {
    let ann = app.register_confirmed("ann").await;
    let headers = [
        ("x-forwarded-host", "evil.example"),
        ("forwarded", "host=evil.example;proto=https"),
        ("x-forwarded-proto", "gopher"),
        ("x-original-host", "evil.example"),
        ("referer", "https://evil.example/"),
        ("x-http-host-override", "evil.example"),
    ];
    for (name, value) in headers {
        ann.forgot_password().header(name, value).await.assert_status(200);
        let text = app.deliver_one().await.to_text();
        assert!(text.contains("http://127.0.0.1:8000/reset#vsl_"), "{name}: {text}");
        assert!(!text.contains("evil"), "{name}: {text}");
        app.clock.advance(Duration::from_mins(10));
    }
    ann.forgot_password().replace_host("evil.example").await.assert_status(421);
}

async fn requested_mails_are_limited_by_mailbox_and_by_address_r56(app: App) {
    let ann = app.register_confirmed("ann").await;
    for _ in 0..20 {
        ann.forgot_password().await.assert_status(200);
    }
    // The mail of the registration is the first of five.
    assert_eq!(app.deliver().await.len(), 4);
    app.clock.advance(Duration::from_mins(10));
    ann.forgot_password().await.assert_status(200);
    assert_eq!(app.deliver().await.len(), 1);

    let address = some_address();
    let stranger = app.user("stranger");
    for _ in 0..5 {
        stranger.forgot_password().from(&address).await.assert_status(200);
    }
    for _ in 0..2 {
        stranger.forgot_password().from(&address).await.assert_status(429);
    }
}

async fn a_retried_mail_is_counted_once_r56(app: App) {
    let ann = app.register_confirmed("ann").await;
    for _ in 0..3 {
        app.reset_link(&ann).await;
    }
    app.break_mail();
    // This request is the fifth of five.
    ann.forgot_password().await.assert_status(200);
    app.assert_no_mail().await;
    app.repair_mail();
    app.clock.advance(Duration::from_secs(30));
    assert_eq!(app.deliver().await.len(), 1);
}

async fn strangers_requests_use_up_none_of_the_owners_links_r56(app: App) {
    let ann = app.register_confirmed("ann").await;
    for at in 0..6 {
        let stranger = app.register(&format!("eve{at}")).await.log_in().await;
        stranger.change_email(&ann.email()).await.assert_status(200);
    }
    let to_ann = app.deliver().await.into_iter().filter(|message| message.to == ann.email()).count();
    assert_eq!(to_ann, 6, "as many as for any other email");
    app.reset_link(&ann).await;
}

async fn notices_to_an_unconfirmed_mailbox_are_limited_as_well_r56(app: App) {
    let mut phone = app.register("ann").await.log_in().await;
    app.deliver().await;
    for at in 0..8 {
        phone.change_password(&format!("{NEW} {at}")).await;
    }
    assert_eq!(app.deliver().await.len(), 5);
}

async fn a_clock_put_back_neither_extends_nor_prevents_a_link_r99(app: App) {
    let year = Duration::from_hours(24 * 365);
    let ann = app.register_confirmed("ann").await;
    app.clock.advance(year);
    let early = app.reset_link(&ann).await;
    app.clock.go_back(year);
    app.reset_password(&early, NEW).await.assert_status(410);
    let link = app.reset_link(&ann).await;
    app.reset_password(&early, NEW).await.assert_status(410);
    app.reset_password(&link, NEW).await.assert_status(200);
}

async fn an_expired_link_stays_expired_if_the_clock_goes_back_r99(app: App) {
    let ann = app.register_confirmed("ann").await;
    let link = app.reset_link(&ann).await;
    app.clock.advance(Duration::from_mins(30));
    app.reset_password(&link, NEW).await.assert_status(410);
    app.clock.go_back(Duration::from_mins(29));
    app.reset_password(&link, NEW).await.assert_status(410);
}
