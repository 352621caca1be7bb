//! Changing an email, and undoing the change.

use std::time::Duration;

use sqlx::Executor;
use vestibule::{
    domain::{
        email::Email,
        token::{Token, TokenKind},
    },
    service::admin::Command,
    store::{
        EmailChange, InheritFailures, LimitedAction, LinkKind, MailKind, MoveEmailOutcome, NewLink, NewMail, RateLimit,
        Redemption, Squatter,
    },
};

use super::assert_mail;
use crate::util::{App, Backend, NEW, PASSWORD, actors::Client, macros::both, mail_capture::token_of};

both! {
    a_new_email_confirms_a_change_and_the_old_one_can_undo_it_r59,
    an_intruders_second_change_does_not_keep_the_owner_out_r59,
    an_email_change_neither_reveals_nor_takes_a_used_email_r59,
    a_new_password_revokes_an_intruders_requested_email_change_r55,
    an_intruders_link_is_invalid_after_the_owners_late_undo_r59,
    an_undo_removes_an_account_registered_with_the_old_email_r59,
    an_unconfirmed_old_email_gets_no_notice_of_a_change_r6,
    a_link_to_a_new_email_is_revoked_with_the_sessions_r55,
    no_link_is_made_for_a_mail_that_is_obsolete_r55,
    a_disabled_accounts_undo_link_keeps_its_remaining_time_r59,
    an_undo_link_that_expired_before_a_disabling_stays_expired_r59,
    changes_are_undone_in_their_order_whatever_the_clock_did_r59_r99,
    changes_are_undone_in_their_order_whenever_mails_are_sent_r59,
    accounts_together_send_a_mailbox_no_flood_r56,
    a_link_whose_time_was_extended_is_not_deleted_r59,
    a_stranger_keeps_nobody_from_moving_to_an_email_r56,
    an_undos_new_password_is_rated_with_the_restored_email_r8,
    a_squatter_who_moved_away_keeps_the_account_and_its_counts_r59,
}

async fn a_new_email_confirms_a_change_and_the_old_one_can_undo_it_r59(app: App) {
    let ann = app.register_confirmed("ann").await;
    let phone = ann.log_in().await;
    let first = app.email_link(&phone, "first@example.org").await;
    let second = app.email_link(&phone, "second@example.org").await;
    assert_eq!(phone.me().await["email"], "ann@example.org", "until it is confirmed");
    // Only the newer link is valid, for one purpose, and with the password.
    app.confirm_email(&first, PASSWORD).await.assert_status(410);
    app.undo_email(&second, NEW).await.assert_status(410);
    app.confirm_email(&second, "wrong").await.assert_status(403);

    app.confirm_email(&second, PASSWORD).await.assert_status(200);

    app.confirm_email(&second, PASSWORD).await.assert_status(410);
    let me = phone.me().await;
    assert_eq!(me["email"], "second@example.org");
    assert_eq!(me["email_verified"], true);
    app.user("ann@example.org").assert_cannot_log_in(PASSWORD).await;
    let notice = app.deliver_one().await;
    assert_mail(&notice, "ann@example.org", "Your email at Vestibule was changed");
    let undo = token_of(&notice);
    app.clock.advance(Duration::from_hours(72) - Duration::from_millis(1));
    let phone = app.user("second@example.org").log_in().await;
    app.undo_email(&undo, "short").await.assert_status(400);
    // The person who changed the email may know this password.
    app.undo_email(&undo, PASSWORD).await.assert_status(400);

    app.undo_email(&undo, NEW).await.assert_status(200);

    // An intruder may have a session or the password.
    phone.assert_logged_out().await;
    app.undo_email(&undo, NEW).await.assert_status(410);
    ann.assert_cannot_log_in(PASSWORD).await;
    assert_mail(&app.deliver_one().await, "second@example.org", "Your email at Vestibule was changed back");
    app.assert_restored("ann@example.org").await;
}

async fn an_intruders_second_change_does_not_keep_the_owner_out_r59(app: App) {
    let phone = app.register_confirmed("ann").await.log_in().await;
    app.move_to(&phone, "evil@example.org").await;
    let owners = app.deliver_link().await;
    app.clock.advance(Duration::from_secs(1));
    app.move_to(&phone, "worse@example.org").await;
    let intruders = app.deliver_link().await;
    app.undo_email(&owners, NEW).await.assert_status(200);
    app.undo_email(&intruders, NEW).await.assert_status(410);
    app.assert_restored("ann@example.org").await;
}

async fn an_email_change_neither_reveals_nor_takes_a_used_email_r59(app: App) {
    let ann = app.register_confirmed("ann").await;
    app.register_confirmed("bob").await;
    let phone = ann.log_in().await;
    let taken = phone.change_email("bob@example.org").await;
    assert_mail(&app.deliver_one().await, "bob@example.org", "You already have an account at Vestibule");
    let free = phone.change_email("free@example.org").await;
    assert_eq!(taken.shape(), free.shape());

    // Another person registers with the email before it is confirmed.
    let link = app.deliver_link().await;
    app.try_register("free@example.org", "fred").await.assert_status(200);
    app.confirm_email(&link, PASSWORD).await.assert_status(409);
    assert_eq!(phone.me().await["email"], "ann@example.org");

    for bad in ["ann@example.org", "", "no address"] {
        phone.change_email(bad).await.assert_status(400);
    }
    app.clock.advance(Duration::from_mins(10));
    phone.change_email("late@example.org").await.assert_code("reauth_required");
}

async fn a_new_password_revokes_an_intruders_requested_email_change_r55(app: App) {
    let ann = app.register_confirmed("ann").await;
    let intruder = ann.log_in().await;
    let sent = app.email_link(&intruder, "evil@example.org").await;
    intruder.change_email("worse@example.org").await.assert_status(200);
    ann.log_in().await.change_password(NEW).await;
    app.confirm_email(&sent, PASSWORD).await.assert_status(410);
    // The mail of the second request is not sent.
    assert_eq!(app.deliver_one().await.subject, "Your password at Vestibule was changed");
}

async fn an_intruders_link_is_invalid_after_the_owners_late_undo_r59(app: App) {
    let phone = app.register_confirmed("ann").await.log_in().await;
    app.move_to(&phone, "evil@example.org").await;
    // The owner's mail is delayed, so the intruder's mail is sent first.
    app.break_mail();
    app.assert_no_mail().await;
    app.clock.advance(Duration::from_secs(1));
    app.repair_mail();
    app.move_to(&phone, "worse@example.org").await;
    let intruders = app.deliver_one().await;
    assert_eq!(intruders.to, "evil@example.org");
    app.clock.advance(Duration::from_secs(30));
    let owners = app.deliver_one().await;
    assert_eq!(owners.to, "ann@example.org");
    phone.change_email("worst@example.org").await.assert_status(200);

    app.undo_email(&token_of(&owners), NEW).await.assert_status(200);

    // The order of the changes decides, not the order of the mails.
    app.undo_email(&token_of(&intruders), NEW).await.assert_status(410);
    // The undo has revoked the last request, so only the notice is sent.
    assert_eq!(app.deliver_one().await.subject, "Your email at Vestibule was changed back");
}

async fn an_undo_removes_an_account_registered_with_the_old_email_r59(app: App) {
    let ann = app.register_confirmed("ann").await;
    app.move_to(&ann.log_in().await, "evil@example.org").await;
    let undo = app.deliver_link().await;
    app.try_register("ann@example.org", "squatter").await.assert_status(200);
    let squatter = app.user("squatter");
    let device = squatter.log_in().await;
    let id = device.user_id().await;
    let strangers = app.service.unknown_network_key("ann@example.org");
    squatter.assert_cannot_log_in("wrong").await;
    assert!(app.store.attempts_of(&id, &strangers).await.unwrap().1.is_some());

    app.undo_email(&undo, NEW).await.assert_status(200);

    device.assert_logged_out().await;
    assert_eq!(app.store.attempts_of(&id, &strangers).await.unwrap().1, None, "the squatter's counters are deleted");
    assert_eq!(ann.log_in_with(NEW).await.me().await["email"], "ann@example.org");
}

async fn an_unconfirmed_old_email_gets_no_notice_of_a_change_r6(app: App) {
    let ann = app.register("ann").await;
    app.deliver().await;
    app.move_to(&ann.log_in().await, "right@example.org").await;
    // The unconfirmed address may belong to a stranger.
    app.assert_no_mail().await;
}

async fn a_link_to_a_new_email_is_revoked_with_the_sessions_r55(app: App) {
    let ann = app.register_confirmed("ann").await;
    let (intruder, phone) = (ann.log_in().await, ann.log_in().await);
    let link = app.email_link(&intruder, "evil@example.org").await;
    phone.end_other_sessions().await.assert_status(200);
    app.confirm_email(&link, PASSWORD).await.assert_status(410);

    let link = app.email_link(&phone, "evil@example.org").await;
    app.operate(Command::RevokeSessions { who: "ann".to_owned() }).await;
    app.confirm_email(&link, PASSWORD).await.assert_status(410);

    let link = app.email_link(&ann.log_in().await, "evil@example.org").await;
    app.disable("ann").await;
    app.enable("ann").await;
    app.confirm_email(&link, PASSWORD).await.assert_status(410);
}

async fn no_link_is_made_for_a_mail_that_is_obsolete_r55(app: App) {
    let ann = app.register_confirmed("ann").await;
    let user = ann.log_in().await.user_id().await;
    let now = app.now();
    let token = Token::generate(TokenKind::Link, || 7);
    let make = async |mail: &str, address: &str| {
        let link = NewLink {
            mail,
            token_hash: token.hash(),
            kind: LinkKind::Reset,
            user_id: &user,
            address,
            created_at: now,
            now,
        };
        app.store.create_link(link, None).await.unwrap()
    };
    assert!(!make("no such mail", "ann@example.org").await);
    ann.forgot_password().await.assert_status(200);
    let mail = app.store.claim_mail(now, Duration::from_mins(1)).await.unwrap().unwrap();
    assert!(!make(&mail.id, "other@example.org").await, "the account has another email by now");
    assert!(make(&mail.id, "ann@example.org").await);
}

/// Only an email that is in use is reported as such. Any other rejection by the database is an internal error.
#[tokio::test]
async fn an_email_that_the_database_rejects_is_an_internal_error() {
    let app = App::start(Backend::Sqlite).await;
    let phone = app.register_confirmed("ann").await.log_in().await;
    let link = app.email_link(&phone, "new@example.org").await;
    app.refuse("UPDATE OF email ON users").await;
    app.confirm_email(&link, PASSWORD).await.assert_status(500);
}

async fn a_disabled_accounts_undo_link_keeps_its_remaining_time_r59(mut app: App) {
    let phone = app.register_confirmed("ann").await.log_in().await;
    app.move_to(&phone, "evil@example.org").await;
    let owners = app.deliver_link().await;
    app.move_to(&phone, "worse@example.org").await;
    app.clock.advance(Duration::from_hours(70));
    app.disable("ann").await;
    for _ in 0..96 {
        app.clock.advance(Duration::from_hours(1));
        app.assert_no_mail().await;
        app.maintenance.as_mut().unwrap().sweep_all().await.unwrap();
    }
    app.undo_email(&owners, NEW).await.assert_status(410);

    app.enable("ann").await;
    assert_eq!(app.deliver_one().await.to, "evil@example.org", "the queued mail is sent");
    app.clock.advance(Duration::from_hours(2) - Duration::from_millis(1));
    app.undo_email(&owners, NEW).await.assert_status(200);
    app.assert_restored("ann@example.org").await;
}

async fn an_undo_link_that_expired_before_a_disabling_stays_expired_r59(app: App) {
    let phone = app.register_confirmed("ann").await.log_in().await;
    app.move_to(&phone, "new@example.org").await;
    let undo = app.deliver_link().await;
    app.clock.advance(Duration::from_hours(72));
    app.disable("ann").await;
    app.clock.advance(Duration::from_hours(1));
    app.enable("ann").await;
    app.undo_email(&undo, NEW).await.assert_status(410);
}

async fn changes_are_undone_in_their_order_whatever_the_clock_did_r59_r99(app: App) {
    let phone = app.register_confirmed("ann").await.log_in().await;
    let link = app.email_link(&phone, "evil@example.org").await;
    app.clock.advance(Duration::from_mins(1));
    app.confirm_email(&link, PASSWORD).await.assert_status(200);
    let owners = app.deliver_link().await;
    app.clock.go_back(Duration::from_mins(1));
    app.move_to(&phone, "worse@example.org").await;
    app.clock.advance(Duration::from_mins(1));
    let intruders = app.deliver_link().await;
    app.undo_email(&owners, NEW).await.assert_status(200);
    app.undo_email(&intruders, NEW).await.assert_status(410);
}

async fn changes_are_undone_in_their_order_whenever_mails_are_sent_r59(app: App) {
    let phone = app.register_confirmed("ann").await.log_in().await;
    app.move_to(&phone, "evil@example.org").await;
    // The owner's mail is delayed.
    app.break_mail();
    app.assert_no_mail().await;
    app.repair_mail();
    app.clock.advance(Duration::from_secs(1));
    app.move_to(&phone, "worse@example.org").await;
    let intruders = app.deliver_link().await;
    app.disable("ann").await;
    app.clock.advance(Duration::from_hours(1));
    app.enable("ann").await;
    let notice = app.deliver_one().await;
    assert_eq!(notice.to, "ann@example.org");
    app.undo_email(&token_of(&notice), NEW).await.assert_status(200);
    app.undo_email(&intruders, NEW).await.assert_status(410);
}

async fn accounts_together_send_a_mailbox_no_flood_r56(app: App) {
    let mut sent = 0;
    for n in 0..7 {
        let device = app.register_confirmed(&format!("user{n}")).await.log_in().await;
        for _ in 0..6 {
            device.change_email("new@example.org").await.assert_status(200);
        }
        sent += app.deliver().await.len();
    }
    assert_eq!(sent, 30);
}

#[tokio::test]
async fn an_expired_link_is_refused_even_if_it_cannot_be_deleted() {
    let app = App::start(Backend::Sqlite).await;
    let phone = app.register_confirmed("ann").await.log_in().await;
    let link = app.email_link(&phone, "new@example.org").await;
    app.clock.advance(Duration::from_hours(24));
    app.refuse("DELETE ON links").await;
    app.confirm_email(&link, PASSWORD).await.assert_status(410);
}

async fn a_link_whose_time_was_extended_is_not_deleted_r59(app: App) {
    let phone = app.register_confirmed("ann").await.log_in().await;
    app.move_to(&phone, "new@example.org").await;
    let undo = app.deliver_link().await;
    let hash = Token::parse(TokenKind::Link, &undo).unwrap().hash();
    app.disable("ann").await;
    app.clock.advance(Duration::from_hours(72));
    // A request has found that the link is expired. The account is enabled before that request deletes the link.
    app.enable("ann").await;
    app.store.void_link(&hash, app.now()).await.unwrap();
    app.undo_email(&undo, NEW).await.assert_status(200);
}

async fn a_stranger_keeps_nobody_from_moving_to_an_email_r56(app: App) {
    let (ann, eve) = (app.register_confirmed("ann").await, app.register_confirmed("eve").await);
    let (phone, stranger) = (ann.log_in().await, eve.log_in().await);
    for _ in 0..8 {
        stranger.change_email("new@example.org").await.assert_status(200);
    }
    assert_eq!(app.deliver().await.len(), 5);
    app.move_to(&phone, "new@example.org").await;
}

async fn an_undos_new_password_is_rated_with_the_restored_email_r8(app: App) {
    app.try_register("ann.walrus-lantern@example.org", "ann").await.assert_status(200);
    app.follow_verification().await;
    app.move_to(&app.user("ann").log_in().await, "evil@example.org").await;
    let undo = app.deliver_link().await;
    app.undo_email(&undo, "ann.walrus-lantern@example.org").await.assert_status(400);
    app.undo_email(&undo, NEW).await.assert_status(200);
}

/// Undoes a change of ann's email, as the service does if another account uses the former email.
async fn undo_beside(app: &App, undo: &str, squatter: &str) -> MoveEmailOutcome {
    let hash = Token::parse(TokenKind::Link, undo).unwrap().hash();
    let link = app.store.find_link(&hash).await.unwrap().unwrap();
    let (email, at) = (Email::parse("ann@example.org").unwrap(), app.now());
    let inherit = || InheritFailures { from: String::new(), to: String::new(), since: at };
    let notice = NewMail { id: "notice".to_owned(), kind: MailKind::EmailUndone, created_at: at, due_at: at };
    let squatter = Some(Squatter { user: squatter.to_owned(), failures: inherit() });
    let redemption = Redemption { hash, link, network: "network".to_owned() };
    let change = EmailChange { email, failures: inherit() };
    app.store.undo_email(redemption, String::new(), change, squatter, notice, app.stamp()).await.unwrap()
}

/// A link that restores ann's former email.
async fn undo_link(app: &App) -> String {
    let phone = app.register_confirmed("ann").await.log_in().await;
    app.move_to(&phone, "evil@example.org").await;
    app.deliver_link().await
}

async fn a_squatter_who_moved_away_keeps_the_account_and_its_counts_r59(app: App) {
    let undo = undo_link(&app).await;
    let eve = app.register("eve").await;
    let id = eve.log_in().await.user_id().await;
    let (key, once) = (LimitedAction::Tokens.key(&id), RateLimit { burst: 1, interval: Duration::from_hours(1) });
    assert!(app.store.take(&key, once, app.now()).await.unwrap().is_ok());
    assert_eq!(undo_beside(&app, &undo, &id).await, MoveEmailOutcome::Done);
    assert!(app.store.take(&key, once, app.now()).await.unwrap().is_err());
    eve.assert_can_log_in(PASSWORD).await;
}

/// A login locks its account first, and its counters afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undo_locks_nothing_that_a_squatters_login_waits_for_r59() {
    let app = App::start(Backend::Postgres).await;
    let undo = undo_link(&app).await;
    let squat = "INSERT INTO users (id, email, email_key, username, username_key, password_hash, created_at) \
                 VALUES ('0', 'ann@example.org', 'ann@example.org', 'squatter', 'squatter', '', 0); \
                 INSERT INTO address_throttles (key, full_at) VALUES ('token:0', 0)";
    app.observer().await.execute(squat).await.unwrap();
    let first = "SELECT id FROM users WHERE id = '0' FOR UPDATE";
    let then = "UPDATE address_throttles SET full_at = 1 WHERE key = 'token:0'; SELECT id FROM users FOR UPDATE";
    let undone = app.run_blocked_then(first, Box::pin(undo_beside(&app, &undo, "0")), then).await;
    assert_eq!(undone, MoveEmailOutcome::Done);
    let left = "SELECT (SELECT COUNT(*) FROM users) + (SELECT COUNT(*) FROM address_throttles WHERE key = 'token:0')";
    let left: i64 = sqlx::query_scalar(left).fetch_one(&mut app.observer().await).await.unwrap();
    assert_eq!(left, 1, "the squatter is removed");
}
