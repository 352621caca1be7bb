//! Confirming an email.

use std::time::Duration;

use crate::util::{
    App, NEW, PASSWORD,
    actors::Client,
    macros::{both, snapshot},
    mail_capture::token_of,
};

both! {
    an_email_is_confirmed_by_its_link_and_the_password_once_r6_r58,
    only_the_last_confirmation_link_works_and_for_one_day,
    an_owner_takes_over_a_strangers_account_with_their_email_r6,
    where_required_nobody_logs_in_with_an_unconfirmed_email_r6,
    a_login_with_an_unconfirmed_email_is_no_failure_r92,
    the_page_checks_a_link_without_using_it_r58,
}

async fn an_email_is_confirmed_by_its_link_and_the_password_once_r6_r58(app: App) {
    let phone = app.register("ann").await.log_in().await;
    assert_eq!(phone.me().await["email_verified"], false);
    let message = app.deliver_one().await;
    assert_eq!(message.to, "ann@example.org");
    let link = token_of(&message);
    snapshot!(message.to_text().replace(&link, "…"), @r#"
    Vestibule

    Hello,

    Someone created the account ann at Vestibule with this address.

    If this was you, please confirm your email. You will be asked for your password.

    Confirm your email:
    http://127.0.0.1:8000/verify#…

    The link works once, for 24 hours.

    If this wasn't you, you can ignore this email. You can also open the link and choose a new password. That locks out the person who created the account.

    -- 
    You received this email because your address was entered at Vestibule.
    http://127.0.0.1:8000
    "#);
    app.verify_email(&link, "").await.assert_status(400);
    for wrong in ["wrong", NEW] {
        app.verify_email(&link, wrong).await.assert_status(403);
    }
    for wrong in ["", "vsl_", &phone.token, &link[..52], &link.replace("vsl_", "vst_")] {
        app.verify_email(wrong, PASSWORD).await.assert_status(410);
    }
    assert_eq!(phone.me().await["email_verified"], false);

    app.verify_email(&link, PASSWORD).await.assert_status(200);

    assert_eq!(phone.me().await["email_verified"], true, "every session sees the confirmation at once");
    app.verify_email(&link, PASSWORD).await.assert_status(410);
    phone.resend_verification().await.assert_status(200);
    // The email is confirmed, so no mail is sent.
    app.assert_no_mail().await;
}

async fn only_the_last_confirmation_link_works_and_for_one_day(app: App) {
    let ann = app.register("ann").await;
    let phone = ann.log_in().await;
    let first = app.deliver_link().await;
    phone.resend_verification().await.assert_status(200);
    let second = app.deliver_link().await;
    app.verify_email(&first, PASSWORD).await.assert_status(410);

    app.clock.advance(Duration::from_hours(24));
    app.verify_email(&second, PASSWORD).await.assert_status(410);

    ann.log_in().await.resend_verification().await.assert_status(200);
    let third = app.deliver_link().await;
    app.clock.advance(Duration::from_hours(24) - Duration::from_millis(1));
    app.verify_email(&third, PASSWORD).await.assert_status(200);
}

async fn an_owner_takes_over_a_strangers_account_with_their_email_r6(app: App) {
    let ann = app.register("ann").await;
    let stranger = ann.log_in().await;
    let older = app.deliver_link().await;
    ann.forgot_password().await.assert_status(200);
    let message = app.deliver_one().await;
    assert_eq!(message.subject, "Choose a new password for Vestibule");
    let text = message.to_text();
    assert!(text.contains("for 24 hours, and confirms that this address is yours"), "{text}");
    assert!(text.contains("/reset#"), "{text}");
    // Only the newer link is valid.
    app.reset_password(&older, NEW).await.assert_status(410);

    app.reset_password(&token_of(&message), NEW).await.assert_status(200);

    stranger.assert_logged_out().await;
    ann.assert_cannot_log_in(PASSWORD).await;
    assert_eq!(ann.log_in_with(NEW).await.me().await["email_verified"], true);
}

async fn where_required_nobody_logs_in_with_an_unconfirmed_email_r6(app: App) {
    let app = app.restart_changed(|config| config.registration.require_verified_email = true).await;
    let ann = app.register("ann").await;
    let refused = ann.try_log_in(PASSWORD).await;
    snapshot!(refused.shape(), @r#"
    403 Forbidden
    cache-control: no-store
    content-type: application/json; charset=utf-8
    vary: Authorization, Origin, Sec-Fetch-Site
    {"status":"fail","token":"","error":"Confirm your email first: open the link in the email that we sent you."}
    "#);
    // A wrong password gets the usual response, which reveals no account.
    ann.assert_cannot_log_in("wrong").await;
    app.follow_verification().await;
    ann.assert_can_log_in(PASSWORD).await;
}

async fn a_login_with_an_unconfirmed_email_is_no_failure_r92(app: App) {
    let app = app.restart_changed(|config| config.registration.require_verified_email = true).await;
    let ann = app.register("ann").await;
    for _ in 0..8 {
        ann.try_log_in(PASSWORD).await.assert_status(403);
    }
    app.follow_verification().await;
}

async fn the_page_checks_a_link_without_using_it_r58(app: App) {
    app.register("ann").await;
    let link = app.deliver_link().await;
    assert!(app.check_link(&link).await);
    assert!(app.check_link(&link).await);
    assert!(!app.check_link("vsl_").await);
    app.verify_email(&link, PASSWORD).await.assert_status(200);
    assert!(!app.check_link(&link).await);
}
