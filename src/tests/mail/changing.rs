//! Changing an email, and undoing the change.

use sqlx::Executor;
use vestibule::{
    domain::email::Email,
    store::{Inherit, LimitedAction, MailKind, MoveEmailOutcome, NewMail, RateLimit},
};

use super::*;

on_both! {
    async fn an_email_is_changed_by_whoever_reads_the_new_one_and_undone_at_the_old_r59(app: App) {
        app.register_confirmed("ann").await;
        let token = app.token("ann").await;
        let first = app.email_link(&token, "first@example.org").await;
        let second = app.email_link(&token, "second@example.org").await;
        assert_eq!(app.who(&token).await["email"], "ann@example.org", "until it is confirmed");
        assert_eq!(app.confirm_email(&first).await, 410, "only the newer link is valid");
        assert_eq!(app.undo_email(&second).await, 410, "a link does one thing");
        assert_eq!(app.confirm_email_with(&second, "wrong").await, 403, "a click alone proves nothing");
        assert_eq!(app.confirm_email(&second).await, 200);
        assert_eq!(app.confirm_email(&second).await, 410);
        let me = app.who(&token).await;
        assert_eq!((&me["email"], &me["email_verified"]), (&json!("second@example.org"), &json!(true)));
        assert_eq!(app.log_in("ann@example.org", PASSWORD).await.status, 400);
        let notice = app.deliver_one().await;
        assert_eq!((notice.to.as_str(), notice.subject.as_str()), ("ann@example.org", "Your email at Vestibule was changed"));
        let undo = token_of(&notice);
        app.clock.advance(Duration::from_hours(72) - Duration::from_millis(1));
        let token = app.token("second@example.org").await;
        assert_eq!(app.send(UNDO_EMAIL, json!({ "token": undo, "new_password": "short" })).await.status, 400);
        assert_eq!(app.undo_email(&undo).await, 200);
        assert_eq!(app.me(&token).await, 401, "another person may have done it");
        assert_eq!(app.undo_email(&undo).await, 410);
        assert_eq!(app.log_in("ann", PASSWORD).await.status, 400, "they may know the password");
        let notice = app.deliver_one().await;
        assert_eq!((notice.to.as_str(), notice.subject.as_str()), ("second@example.org", "Your email at Vestibule was changed back"));
        assert_eq!(app.who(&app.new_token("ann@example.org").await).await["email"], "ann@example.org");
    }
}

on_both! {
    async fn an_intruders_second_change_does_not_keep_the_owner_out_r59(app: App) {
        app.register_confirmed("ann").await;
        let token = app.token("ann").await;
        app.move_to(&token, "evil@example.org").await;
        let owners = token_of(&app.deliver_one().await);
        app.clock.advance(Duration::from_secs(1));
        app.move_to(&token, "worse@example.org").await;
        let intruders = token_of(&app.deliver_one().await);
        assert_eq!(app.undo_email(&owners).await, 200);
        assert_eq!(app.undo_email(&intruders).await, 410);
        assert_eq!(app.who(&app.new_token("ann@example.org").await).await["email"], "ann@example.org");
    }
}

on_both! {
    async fn an_email_that_has_an_account_is_not_given_away_by_a_change_r59(app: App) {
        app.register_confirmed("ann").await;
        app.register_confirmed("bob").await;
        let token = app.token("ann").await;
        let request = |email: &str| json!({ "new_email": email });
        let refused = app.ask("POST", CHANGE_EMAIL, &token, &request("bob@example.org")).await;
        let notice = app.deliver_one().await;
        assert_eq!((notice.to.as_str(), notice.subject.as_str()), ("bob@example.org", "You already have an account at Vestibule"));
        let free = app.ask("POST", CHANGE_EMAIL, &token, &request("free@example.org")).await;
        assert_eq!(refused.shape(), free.shape());
        // Another person registers with the email before it is confirmed.
        let link = token_of(&app.deliver_one().await);
        app.send(REGISTER, json!({ "email": "free@example.org", "username": "fred", "password": PASSWORD })).await;
        assert_eq!(app.confirm_email(&link).await, 409);
        assert_eq!(app.who(&token).await["email"], "ann@example.org");
        for (bad, status) in [("ann@example.org", 400), ("", 400), ("no address", 400)] {
            assert_eq!(app.ask("POST", CHANGE_EMAIL, &token, &request(bad)).await.status, status, "{bad}");
        }
        app.clock.advance(Duration::from_mins(10));
        let late = app.ask("POST", CHANGE_EMAIL, &token, &request("late@example.org")).await;
        assert_eq!(late.json()["code"], "reauth_required");
    }
}

on_both! {
    async fn a_new_password_voids_an_intruders_wish_for_another_email_r55(app: App) {
        app.register_confirmed("ann").await;
        let intruder = app.token("ann").await;
        let sent = app.email_link(&intruder, "evil@example.org").await;
        let request = json!({ "new_email": "worse@example.org" });
        assert_eq!(app.ask("POST", CHANGE_EMAIL, &intruder, &request).await.status, 200);
        let mine = app.token("ann").await;
        let body = json!({ "current_password": PASSWORD, "new_password": NEW });
        assert_eq!(app.ask("POST", CHANGE_PASSWORD, &mine, &body).await.status, 200);
        assert_eq!(app.confirm_email(&sent).await, 410);
        assert_eq!(app.deliver_one().await.subject, "Your password at Vestibule was changed", "the second request sends nothing");
    }
}

on_both! {
    async fn an_intruders_mail_that_waits_gives_nothing_back_once_the_owner_has_undone_r59(app: App) {
        app.register_confirmed("ann").await;
        let token = app.token("ann").await;
        app.move_to(&token, "evil@example.org").await;
        // The owner's mail is late, and the intruder's is sent before it.
        app.mail_capture.broken.store(true, Ordering::SeqCst);
        assert!(app.deliver().await.is_empty());
        app.clock.advance(Duration::from_secs(1));
        app.mail_capture.broken.store(false, Ordering::SeqCst);
        app.move_to(&token, "worse@example.org").await;
        let intruders = app.deliver_one().await;
        assert_eq!(intruders.to, "evil@example.org");
        app.clock.advance(Duration::from_secs(30));
        let owners = app.deliver_one().await;
        assert_eq!(owners.to, "ann@example.org");
        let request = json!({ "new_email": "worst@example.org" });
        assert_eq!(app.ask("POST", CHANGE_EMAIL, &token, &request).await.status, 200);
        assert_eq!(app.undo_email(&token_of(&owners)).await, 200);
        assert_eq!(app.undo_email(&token_of(&intruders)).await, 410, "the time of the change decides");
        let subjects: Vec<String> = app.deliver().await.into_iter().map(|message| message.subject).collect();
        assert_eq!(subjects, ["Your email at Vestibule was changed back"], "the last request is revoked");
    }
}

on_both! {
    async fn nobody_keeps_an_owner_out_by_registering_with_the_address_before_r59(app: App) {
        app.register_confirmed("ann").await;
        app.move_to(&app.token("ann").await, "evil@example.org").await;
        let undo = token_of(&app.deliver_one().await);
        let squat = json!({ "email": "ann@example.org", "username": "squatter", "password": PASSWORD });
        assert_eq!(app.send(REGISTER, squat).await.status, 200);
        let squatter = app.token("squatter").await;
        let squatters = app.id_of(&squatter).await;
        let strangers = app.service.strangers_key("ann@example.org");
        assert_eq!(app.log_in("squatter", "wrong").await.status, 400);
        assert!(app.store.attempts_of(&squatters, &strangers).await.unwrap().1.is_some());
        assert_eq!(app.undo_email(&undo).await, 200);
        assert_eq!(app.me(&squatter).await, 401);
        assert_eq!(app.store.attempts_of(&squatters, &strangers).await.unwrap().1, None, "nothing of them remains");
        assert_eq!(app.who(&app.new_token("ann").await).await["email"], "ann@example.org");
    }
}

on_both! {
    async fn an_address_that_was_never_proven_learns_nothing_and_undoes_nothing_r6(app: App) {
        app.register("ann").await;
        app.deliver().await;
        app.move_to(&app.token("ann").await, "right@example.org").await;
        assert!(app.deliver().await.is_empty(), "the mistyped address is a stranger's");
    }
}

on_both! {
    async fn a_link_to_another_email_dies_with_the_sessions_r55(app: App) {
        app.register_confirmed("ann").await;
        let (intruder, mine) = (app.token("ann").await, app.token("ann").await);
        let first = app.email_link(&intruder, "evil@example.org").await;
        assert_eq!(app.ask("DELETE", "/api/accounts/sessions/", &mine, &json!({})).await.status, 200);
        assert_eq!(app.confirm_email(&first).await, 410);
        let second = app.email_link(&mine, "evil@example.org").await;
        let user = app.id_of(&mine).await;
        app.store.end_sessions_of(&user).await.unwrap();
        assert_eq!(app.confirm_email(&second).await, 410);
        let third = app.email_link(&app.token("ann").await, "evil@example.org").await;
        app.store.disable_user(&user, app.now()).await.unwrap();
        app.store.enable_user(&user, app.now()).await.unwrap();
        assert_eq!(app.confirm_email(&third).await, 410);
    }
}

on_both! {
    async fn a_link_is_not_made_for_a_mail_that_is_no_longer_wanted_r55(app: App) {
        app.register_confirmed("ann").await;
        let user = app.id_of(&app.token("ann").await).await;
        let now = app.now();
        let token = Token::generate(TokenKind::Link, || 7);
        let make = async |mail: &str, address: &str, kind: LinkKind| {
            let link = NewLink {
                mail,
                token_hash: token.hash(),
                kind,
                user_id: &user,
                address,
                created_at: now,
                made_at: now,
            };
            app.store.make_link(link).await.unwrap()
        };
        assert!(!make("no such mail", "ann@example.org", LinkKind::Reset).await);
        assert_eq!(app.forgot("ann@example.org").await.status, 200);
        let mail = app.store.claim_mail(now, Duration::from_mins(1)).await.unwrap().unwrap();
        assert!(!make(&mail.id, "other@example.org", LinkKind::Reset).await, "the account has another address by now");
        assert!(make(&mail.id, "ann@example.org", LinkKind::Reset).await);
    }
}

/// Only an email that is in use is reported as such. Any other rejection by the database is an internal error.
#[tokio::test]
async fn an_email_that_the_database_refuses_is_none_that_is_taken() {
    let app = App::start(Backend::Sqlite).await;
    app.register_confirmed("ann").await;
    let link = app.email_link(&app.token("ann").await, "new@example.org").await;
    app.refuse("UPDATE OF email ON users").await;
    assert_eq!(app.confirm_email(&link).await, 500);
}

on_both! {
    async fn a_closed_accounts_way_back_to_its_email_has_the_time_left_that_it_had_r59(app: App) {
        app.register_confirmed("ann").await;
        let token = app.token("ann").await;
        let user = app.id_of(&token).await;
        app.move_to(&token, "evil@example.org").await;
        let owners = token_of(&app.deliver_one().await);
        app.move_to(&token, "worse@example.org").await;
        app.clock.advance(Duration::from_hours(70));
        app.store.disable_user(&user, app.now()).await.unwrap();
        let mut app = app;
        for _ in 0..96 {
            app.clock.advance(Duration::from_hours(1));
            assert!(app.deliver().await.is_empty());
            app.maintenance.as_mut().unwrap().sweep_all().await.unwrap();
        }
        assert_eq!(app.undo_email(&owners).await, 410, "while it is disabled");
        app.store.enable_user(&user, app.now()).await.unwrap();
        assert_eq!(app.deliver_one().await.to, "evil@example.org", "the queued mail is sent");
        app.clock.advance(Duration::from_hours(2) - Duration::from_millis(1));
        assert_eq!(app.undo_email(&owners).await, 200);
        assert_eq!(app.who(&app.new_token("ann@example.org").await).await["email"], "ann@example.org");
    }
}

on_both! {
    async fn a_way_back_that_was_over_when_its_account_was_closed_stays_so_r59(app: App) {
        app.register_confirmed("ann").await;
        let token = app.token("ann").await;
        let user = app.id_of(&token).await;
        app.move_to(&token, "new@example.org").await;
        let undo = token_of(&app.deliver_one().await);
        app.clock.advance(Duration::from_hours(72));
        app.store.disable_user(&user, app.now()).await.unwrap();
        app.clock.advance(Duration::from_hours(1));
        app.store.enable_user(&user, app.now()).await.unwrap();
        assert_eq!(app.undo_email(&undo).await, 410);
    }
}

on_both! {
    async fn changes_are_undone_in_their_order_whatever_the_clock_did_r59_r99(app: App) {
        app.register_confirmed("ann").await;
        let token = app.token("ann").await;
        let link = app.email_link(&token, "evil@example.org").await;
        app.clock.advance(Duration::from_mins(1));
        assert_eq!(app.confirm_email(&link).await, 200);
        let owners = token_of(&app.deliver_one().await);
        app.clock.go_back(Duration::from_mins(1));
        app.move_to(&token, "worse@example.org").await;
        app.clock.advance(Duration::from_mins(1));
        let intruders = token_of(&app.deliver_one().await);
        assert_eq!(app.undo_email(&owners).await, 200);
        assert_eq!(app.undo_email(&intruders).await, 410);
    }
}

on_both! {
    async fn changes_are_undone_in_their_order_whenever_their_mails_went_out_r59(app: App) {
        app.register_confirmed("ann").await;
        let token = app.token("ann").await;
        let user = app.id_of(&token).await;
        app.move_to(&token, "evil@example.org").await;
        app.mail_capture.broken.store(true, Ordering::SeqCst);
        assert!(app.deliver().await.is_empty(), "the owner's mail is delayed");
        app.mail_capture.broken.store(false, Ordering::SeqCst);
        app.clock.advance(Duration::from_secs(1));
        app.move_to(&token, "worse@example.org").await;
        let intruders = token_of(&app.deliver_one().await);
        app.store.disable_user(&user, app.now()).await.unwrap();
        app.clock.advance(Duration::from_hours(1));
        app.store.enable_user(&user, app.now()).await.unwrap();
        let notice = app.deliver_one().await;
        assert_eq!(notice.to, "ann@example.org");
        assert_eq!(app.undo_email(&token_of(&notice)).await, 200);
        assert_eq!(app.undo_email(&intruders).await, 410);
    }
}

on_both! {
    async fn accounts_together_send_a_mailbox_no_flood_r56(app: App) {
        let mut sent = 0;
        for n in 0..7 {
            let name = format!("user{n}");
            app.register_confirmed(&name).await;
            let token = app.token(&name).await;
            for _ in 0..6 {
                let request = json!({ "new_email": "new@example.org" });
                assert_eq!(app.ask("POST", CHANGE_EMAIL, &token, &request).await.status, 200);
            }
            sent += app.deliver().await.len();
        }
        assert_eq!(sent, 30);
    }
}

#[tokio::test]
async fn a_link_that_is_over_is_told_as_such_even_if_it_cannot_be_deleted() {
    let app = App::start(Backend::Sqlite).await;
    app.register_confirmed("ann").await;
    let link = app.email_link(&app.token("ann").await, "new@example.org").await;
    app.clock.advance(Duration::from_hours(24));
    app.refuse("DELETE ON links").await;
    assert_eq!(app.confirm_email(&link).await, 410);
}

on_both! {
    async fn a_link_that_was_given_more_time_is_not_deleted_for_its_old_one_r59(app: App) {
        app.register_confirmed("ann").await;
        let token = app.token("ann").await;
        let user = app.id_of(&token).await;
        app.move_to(&token, "new@example.org").await;
        let undo = token_of(&app.deliver_one().await);
        let hash = Token::parse(TokenKind::Link, &undo).unwrap().hash();
        app.store.disable_user(&user, app.now()).await.unwrap();
        app.clock.advance(Duration::from_hours(72));
        // A person who follows the link now has read that it expired. The account is enabled afterwards.
        let now = app.now();
        app.store.enable_user(&user, now).await.unwrap();
        app.store.void_link(&hash, now).await.unwrap();
        assert_eq!(app.undo_email(&undo).await, 200);
    }
}

on_both! {
    async fn a_stranger_keeps_nobody_from_moving_to_an_email_r56(app: App) {
        app.register_confirmed("ann").await;
        app.register_confirmed("eve").await;
        let (owner, stranger) = (app.token("ann").await, app.token("eve").await);
        for _ in 0..8 {
            assert_eq!(app.ask("POST", CHANGE_EMAIL, &stranger, &json!({ "new_email": "new@example.org" })).await.status, 200);
        }
        assert_eq!(app.deliver().await.len(), 5);
        let link = app.email_link(&owner, "new@example.org").await;
        assert_eq!(app.confirm_email(&link).await, 200);
    }
}

on_both! {
    async fn the_password_of_a_change_undone_is_judged_beside_the_email_that_comes_back_r8(app: App) {
        let body = json!({ "email": "ann.walrus-lantern@example.org", "username": "ann", "password": PASSWORD });
        assert_eq!(app.send(REGISTER, body).await.status, 200);
        let link = token_of(&app.deliver_one().await);
        assert_eq!(app.verify(&link, PASSWORD).await, 200);
        app.move_to(&app.token("ann").await, "evil@example.org").await;
        let undo = token_of(&app.deliver_one().await);
        let request = |password: &str| json!({ "token": undo, "new_password": password });
        assert_eq!(app.send(UNDO_EMAIL, request("ann.walrus-lantern@example.org")).await.status, 400);
        assert_eq!(app.send(UNDO_EMAIL, request(NEW)).await.status, 200);
    }
}

/// Undoes a change of ann's email as the service does after it has found an account that prevents it.
async fn undo_beside(app: &App, undo: &str, squatter: &str) -> MoveEmailOutcome {
    let hash = Token::parse(TokenKind::Link, undo).unwrap().hash();
    let link = app.store.find_link(&hash).await.unwrap().unwrap();
    let (email, at) = (Email::parse("ann@example.org").unwrap(), app.now());
    let inherit = || Inherit { from: String::new(), to: String::new(), since: at };
    let notice = NewMail { id: "notice".to_owned(), kind: MailKind::EmailUndone, created_at: at, due_at: at };
    let squatter = Some((squatter.to_owned(), inherit()));
    app.store.undo_email((&hash, &link), (&email, inherit()), ("", "network"), squatter, &notice).await.unwrap()
}

/// A link that restores ann's former email.
async fn way_back(app: &App) -> String {
    app.register_confirmed("ann").await;
    app.move_to(&app.token("ann").await, "evil@example.org").await;
    token_of(&app.deliver_one().await)
}

on_both! {
    async fn a_squatter_who_has_moved_away_meanwhile_keeps_what_was_counted_r59(app: App) {
        let undo = way_back(&app).await;
        app.register("eve").await;
        let eve = app.id_of(&app.token("eve").await).await;
        let (key, once) = (LimitedAction::Tokens.key(&eve), RateLimit { burst: 1, interval: Duration::from_hours(1) });
        assert!(app.store.take(&key, once, app.now()).await.unwrap().is_ok());
        assert_eq!(undo_beside(&app, &undo, &eve).await, MoveEmailOutcome::Done);
        assert!(app.store.take(&key, once, app.now()).await.unwrap().is_err());
        assert_eq!(app.log_in("eve", PASSWORD).await.status, 200);
    }
}

/// A login locks its account first, and its counters afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undo_that_waits_for_a_squatter_holds_nothing_that_the_squatter_waits_for_r59() {
    let app = App::start(Backend::Postgres).await;
    let undo = way_back(&app).await;
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
