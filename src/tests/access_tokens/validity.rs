//! When an access token stops being valid.

use std::time::Duration;

use vestibule::{domain::time::Timestamp, store::Authority};

use crate::util::{App, actors::Client, macros::both};

both! {
    a_revoked_token_is_refused_at_once_r41,
    a_token_expires_without_any_session_r42,
    an_expired_token_stays_ended_if_the_clock_goes_back_r42,
    a_sweep_deletes_expired_tokens_r42,
    disabling_an_account_revokes_its_tokens_for_good_r43,
    a_password_set_by_others_revokes_all_tokens_r43,
    ending_all_sessions_revokes_all_tokens_r43,
    deleting_an_account_revokes_its_tokens_r43,
    a_clock_that_was_put_back_lengthens_no_token_r99,
}

/// The command line, which changes an account.
fn operator(user: &str) -> Authority {
    Authority::Operator { user: user.to_owned() }
}

async fn a_revoked_token_is_refused_at_once_r41(app: App) {
    let phone = app.register("ann").await.log_in().await;
    let bobs_phone = app.register("bob").await.log_in().await;
    let (backup, report) =
        (phone.create_access_token("backup", "read").await, phone.create_access_token("report", "full").await);
    // A user can't revoke another user's token.
    bobs_phone.revoke(&backup).await.assert_status(404);
    for strange in ["0", "%00", "..", "a%20b"] {
        phone.delete(&format!("tokens/{strange}/")).await.assert_status(404);
    }
    backup.assert_logged_in().await;

    phone.revoke(&backup).await.assert_status(204);
    backup.assert_logged_out().await;
    report.assert_logged_in().await;
    phone.revoke(&backup).await.assert_status(404);
}

const MONTH: Duration = Duration::from_hours(24 * 30);

async fn a_token_expires_without_any_session_r42(app: App) {
    let ann = app.register("ann").await;
    let script = ann.log_in().await.create_access_token("a script", "full").await;
    script.assert_logged_in().await;
    app.clock.advance(MONTH.checked_sub(Duration::from_millis(1)).unwrap());
    script.assert_logged_in().await;
    app.clock.advance(Duration::from_millis(1));
    script.assert_logged_out().await;
}

async fn an_expired_token_stays_ended_if_the_clock_goes_back_r42(app: App) {
    let ann = app.register("ann").await;
    let expiring = ann.log_in().await.create_access_token("first", "full").await;
    app.clock.advance(MONTH.checked_sub(Duration::from_millis(1)).unwrap());
    let phone = ann.log_in().await;
    phone.create_access_token("second", "read").await;
    app.clock.advance(Duration::from_millis(1));
    expiring.assert_logged_out().await;
    // Its row is deleted, so it stays invalid after the clock goes back.
    let user = phone.me().await["id"].as_str().unwrap().to_owned();
    assert_eq!(app.store.list_access_tokens(&user, Timestamp::from_millis(0)).await.unwrap().len(), 1);
    app.clock.go_back(Duration::from_millis(1));
    expiring.assert_logged_out().await;
}

async fn a_sweep_deletes_expired_tokens_r42(mut app: App) {
    let phone = app.register("ann").await.log_in().await;
    let user = phone.me().await["id"].as_str().unwrap().to_owned();
    let script = phone.create_access_token("a script", "read").await;
    app.clock.advance(MONTH);
    app.maintenance.take().unwrap().sweep_all().await.unwrap();
    assert!(app.store.list_access_tokens(&user, Timestamp::from_millis(0)).await.unwrap().is_empty());
    script.assert_logged_out().await;
}

async fn disabling_an_account_revokes_its_tokens_for_good_r43(app: App) {
    let script = app.register("ann").await.log_in().await.create_access_token("a script", "full").await;
    let user = script.me().await["id"].as_str().unwrap().to_owned();
    app.store.disable_user(operator(&user), false, app.stamp()).await.unwrap();
    script.assert_logged_out().await;
    app.store.enable_user(operator(&user), &app.stamp()).await.unwrap();
    script.assert_logged_out().await;
}

async fn a_password_set_by_others_revokes_all_tokens_r43(app: App) {
    let script = app.register("ann").await.log_in().await.create_access_token("a script", "full").await;
    let user = script.me().await["id"].as_str().unwrap().to_owned();
    app.store.set_password(&user, "x", app.stamp()).await.unwrap();
    script.assert_logged_out().await;
}

async fn ending_all_sessions_revokes_all_tokens_r43(app: App) {
    let script = app.register("ann").await.log_in().await.create_access_token("a script", "full").await;
    let user = script.me().await["id"].as_str().unwrap().to_owned();
    app.store.end_sessions_of(operator(&user), app.stamp()).await.unwrap();
    script.assert_logged_out().await;
}

async fn deleting_an_account_revokes_its_tokens_r43(app: App) {
    let phone = app.register("ann").await.log_in().await;
    let script = phone.create_access_token("a script", "full").await;
    phone.delete_account("ann").await.assert_status(204);
    script.assert_logged_out().await;
}

async fn a_clock_that_was_put_back_lengthens_no_token_r99(app: App) {
    let ann = app.register("ann").await;
    let script = ann.log_in().await.create_access_token("a script", "read").await;
    // The clocks of servers may differ by up to five minutes.
    app.clock.go_back(Duration::from_mins(5));
    script.assert_logged_in().await;
    app.clock.go_back(Duration::from_millis(1));
    script.assert_logged_out().await;
    // The list contains the token, so that its owner can revoke it.
    assert_eq!(ann.log_in().await.access_tokens().await.len(), 1);
}
