//! The queue: when each mail is sent, and failures to send it.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use vestibule::service::{BoxFuture, MailTransport};

use super::*;

#[tokio::test]
async fn without_mail_what_needs_it_says_so() {
    let app = App::start_with(Backend::Sqlite, |config| config.mail.url = MailUrl::Off).await;
    app.register("ann").await;
    let token = app.token("ann").await;
    let answers = [
        app.forgot("ann@example.org").await,
        app.ask("POST", RESEND, &token, &json!({})).await,
        app.ask("POST", CHANGE_EMAIL, &token, &json!({ "new_email": "new@example.org" })).await,
    ];
    for answer in answers {
        assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (501, &json!("mail_off")), "{}", answer.text);
    }
    let body = json!({ "current_password": PASSWORD, "new_password": NEW });
    assert_eq!(app.ask("POST", CHANGE_PASSWORD, &token, &body).await.status, 200);
    assert!(app.deliver().await.is_empty());
}

on_both! {
    async fn mail_that_cannot_be_sent_waits_longer_each_time_and_outlives_a_restart(app: App) {
        app.register("ann").await;
        app.mail_capture.broken.store(true, Ordering::SeqCst);
        assert!(app.deliver().await.is_empty());
        app.clock.advance(Duration::from_secs(29));
        app.mail_capture.broken.store(false, Ordering::SeqCst);
        assert!(app.deliver().await.is_empty(), "not yet");
        app.clock.advance(Duration::from_secs(1));
        app.mail_capture.broken.store(true, Ordering::SeqCst);
        assert!(app.deliver().await.is_empty());
        let app = app.restart().await;
        app.clock.advance(Duration::from_secs(59));
        assert!(app.deliver().await.is_empty(), "twice as long");
        app.clock.advance(Duration::from_secs(1));
        let link = token_of(&app.deliver_one().await);
        assert_eq!(app.verify(&link, PASSWORD).await, 200);
    }
}

/// Delivers the one mail of an account each time it is due, until the worker gives up. Returns the number of tries, and
/// the hours they took.
async fn try_to_the_end(app: &App) -> (usize, f64) {
    app.register("ann").await;
    app.mail_capture.broken.store(true, Ordering::SeqCst);
    let user = app.id_of(&app.token("ann").await).await;
    let (start, mut tries) = (app.now(), 0);
    while let Some(mail) = app.store.mails_of(&user).await.unwrap().pop() {
        assert!(tries < 100, "the worker never gives up");
        app.clock.advance(Timestamp::from_millis(mail.due_at).since(app.now()));
        assert!(app.deliver().await.is_empty());
        tries += 1;
    }
    (tries, app.now().since(start).as_secs_f64() / 3600.0)
}

on_both! {
    async fn mail_that_cannot_be_sent_for_three_days_is_given_up(app: App) {
        let (tries, hours) = try_to_the_end(&app).await;
        assert!(tries == 79 && (72.0..73.0).contains(&hours), "{tries} tries in {hours} hours");
    }
}

on_both! {
    async fn mail_that_is_refused_for_good_is_given_up_after_a_day(app: App) {
        app.mail_capture.permanent.store(true, Ordering::SeqCst);
        let (tries, hours) = try_to_the_end(&app).await;
        assert!(tries == 31 && (24.0..25.0).contains(&hours), "{tries} tries in {hours} hours");
    }
}

on_both! {
    async fn mail_that_nobody_brings_to_an_end_is_given_up_as_well(app: App) {
        let lease = Duration::from_mins(10);
        for (broken_off, arrive) in [(78, 1), (79, 0)] {
            let name = format!("user{broken_off}");
            app.register(&name).await;
            for _ in 0..broken_off {
                assert!(app.store.claim_mail(app.now(), lease).await.unwrap().is_some());
                app.clock.advance(lease);
            }
            assert_eq!(app.deliver().await.len(), arrive, "after {broken_off} tries");
            let user = app.id_of(&app.token(&name).await).await;
            assert!(app.store.mails_of(&user).await.unwrap().is_empty());
        }
    }
}

on_both! {
    async fn mail_is_not_given_up_for_time_in_which_nobody_tried_r99(app: App) {
        app.register("ann").await;
        app.mail_capture.broken.store(true, Ordering::SeqCst);
        assert!(app.deliver().await.is_empty());
        app.clock.advance(Duration::from_hours(24 * 365));
        app.mail_capture.permanent.store(true, Ordering::SeqCst);
        assert!(app.deliver().await.is_empty());
        app.mail_capture.broken.store(false, Ordering::SeqCst);
        app.clock.advance(Duration::from_mins(1));
        assert_eq!(app.deliver_one().await.to, "ann@example.org");
    }
}

on_both! {
    async fn a_refusal_after_a_failure_of_hours_costs_no_mail(app: App) {
        app.register("ann").await;
        app.mail_capture.broken.store(true, Ordering::SeqCst);
        for _ in 0..20 {
            assert!(app.deliver().await.is_empty());
            app.clock.advance(Duration::from_hours(1));
        }
        app.mail_capture.permanent.store(true, Ordering::SeqCst);
        assert!(app.deliver().await.is_empty());
        app.mail_capture.broken.store(false, Ordering::SeqCst);
        app.clock.advance(Duration::from_hours(1));
        assert_eq!(app.deliver_one().await.to, "ann@example.org");
    }
}

on_both! {
    async fn mail_that_waits_goes_out_after_the_clock_was_put_back_r99(app: App) {
        let year = Duration::from_hours(24 * 365);
        app.clock.advance(year);
        app.register("ann").await;
        app.mail_capture.broken.store(true, Ordering::SeqCst);
        assert!(app.deliver().await.is_empty());
        app.mail_capture.broken.store(false, Ordering::SeqCst);
        app.clock.go_back(year);
        assert_eq!(app.deliver_one().await.to, "ann@example.org");
    }
}

on_both! {
    async fn a_mail_that_comes_late_voids_no_younger_link_r55(app: App) {
        app.register_confirmed("ann").await;
        app.mail_capture.broken.store(true, Ordering::SeqCst);
        assert_eq!(app.forgot("ann@example.org").await.status, 200);
        assert!(app.deliver().await.is_empty());
        app.mail_capture.broken.store(false, Ordering::SeqCst);
        app.clock.advance(Duration::from_secs(1));
        let link = app.reset_link("ann").await;
        app.clock.advance(Duration::from_mins(5));
        assert!(app.deliver().await.is_empty(), "the first one is obsolete");
        assert_eq!(app.reset(&link, NEW).await, 200);
    }
}

on_both! {
    async fn a_mail_on_its_way_confirms_no_email_twice(app: App) {
        app.register_confirmed("ann").await;
        let user = app.id_of(&app.token("ann").await).await;
        let now = app.now();
        assert_eq!(app.ask("POST", RESEND, &app.token("ann").await, &json!({})).await.status, 200);
        let mail = app.store.claim_mail(now, Duration::from_mins(10)).await.unwrap().unwrap();
        let token = Token::generate(TokenKind::Link, || 7);
        let link = NewLink {
            mail: &mail.id, token_hash: token.hash(), kind: LinkKind::Verify, user_id: &user, address: "ann@example.org",
            created_at: now, made_at: now,
        };
        assert!(!app.store.make_link(link).await.unwrap());
        assert!(app.store.links_of(&user).await.unwrap().is_empty());
    }
}

on_both! {
    async fn an_owner_whose_account_was_closed_is_told_of_everything_once_it_is_open_again(app: App) {
        app.register_confirmed("ann").await;
        let token = app.token("ann").await;
        let user = app.id_of(&token).await;
        let change = json!({ "current_password": PASSWORD, "new_password": NEW });
        let changed = app.ask("POST", CHANGE_PASSWORD, &token, &change).await;
        let token = changed.json()["token"].as_str().unwrap().to_owned();
        let request = json!({ "name": "backup", "scope": "read", "days": 30 });
        assert_eq!(app.ask("POST", "/api/accounts/tokens/", &token, &request).await.status, 200);
        app.mail_capture.broken.store(true, Ordering::SeqCst);
        assert!(app.deliver().await.is_empty());
        app.mail_capture.broken.store(false, Ordering::SeqCst);
        let link = app.email_link(&token, "new@example.org").await;
        assert_eq!(app.confirm_email_with(&link, NEW).await, 200);
        app.store.disable_user(&user, app.now()).await.unwrap();
        app.clock.advance(Duration::from_hours(24 * 7));
        assert!(app.deliver().await.is_empty(), "while it is disabled");
        app.store.enable_user(&user, app.now()).await.unwrap();
        let notices = app.deliver().await;
        let mut subjects: Vec<&str> = notices.iter().map(|message| message.subject.as_str()).collect();
        subjects.sort_unstable();
        assert_eq!(subjects, ["A new access token at Vestibule", "Your email at Vestibule was changed", "Your password at Vestibule was changed"]);
        let undo = notices.iter().find(|message| message.to == "ann@example.org").map(token_of).unwrap();
        assert_eq!(app.send(UNDO_EMAIL, json!({ "token": undo, "new_password": PASSWORD })).await.status, 200);
        app.store.disable_user(&user, app.now()).await.unwrap();
        assert!(app.deliver().await.is_empty());
        app.store.enable_user(&user, app.now()).await.unwrap();
        assert_eq!(app.deliver_one().await.to, "new@example.org", "also after the account has lost the email again");
    }
}

#[tokio::test]
async fn a_mail_over_which_its_postman_panics_keeps_no_other_from_going_out() {
    let app = App::start(Backend::Sqlite).await;
    app.mail_capture.panics.store(true, Ordering::SeqCst);
    app.register("ann").await;
    let unstopped = CancellationToken::new();
    let others = async {
        while app.mail_capture.panics.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for at in 0..8 {
            app.register(&format!("user{at}")).await;
        }
        while app.mail_capture.len() < 8 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = app.mail_worker.run(unstopped) => panic!("the mail worker was not stopped"),
        assert_in_time = tokio::time::timeout(Duration::from_mins(1), others) => assert!(assert_in_time.is_ok()),
    }
}

on_both! {
    async fn what_a_postman_leaves_half_done_another_takes_up(app: App) {
        app.register("ann").await;
        let now = app.now();
        let lease = Duration::from_mins(10);
        let claimed = app.store.claim_mail(now, lease).await.unwrap().unwrap();
        assert!(app.deliver().await.is_empty(), "another worker has it");
        app.clock.advance(lease);
        assert_eq!(app.deliver().await.len(), 1);
        assert_eq!(claimed.attempts, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_postmen_send_each_mail_once() {
    let app = App::start(Backend::Postgres).await;
    let other = app.sibling().await;
    for name in ["ann", "bob", "cyd", "dan", "eve", "fay", "gil", "hal"] {
        app.register(name).await;
    }
    let (here, there): (Vec<MailMessage>, Vec<MailMessage>) = tokio::join!(app.deliver(), other.deliver());
    let mut addressees: Vec<String> = here.into_iter().chain(there).map(|message| message.to).collect();
    addressees.sort();
    assert_eq!(addressees.len(), 8, "{addressees:?}");
    addressees.dedup();
    assert_eq!(addressees.len(), 8, "{addressees:?}");
}

on_both! {
    async fn whoever_looks_for_mail_finds_some_while_there_is_any(app: App) {
        for at in 0..8 {
            app.register(&format!("user{at}")).await;
        }
        let now = app.now();
        let claims = (0..8).map(|_| app.store.claim_mail(now, Duration::from_mins(10)));
        let claimed = futures_util::future::join_all(claims).await;
        let mut ids: Vec<String> = claimed.into_iter().map(|claim| claim.unwrap().expect("one for each").id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 8, "each worker has its own mail");
    }
}

#[tokio::test]
async fn a_postman_who_comes_second_to_a_mail_takes_the_next() {
    let app = App::start(Backend::Postgres).await;
    app.register("ann").await;
    app.register("bob").await;
    let first = "UPDATE mails SET due_at = due_at + 600000 WHERE id = (SELECT MIN(id) FROM mails)";
    let claim = Box::pin(app.store.claim_mail(app.now(), Duration::from_mins(10)));
    let second = app.run_blocked(first, claim).await;
    assert!(second.unwrap().is_some(), "there is one more");
}

on_both! {
    async fn whoever_leaves_or_is_disabled_gets_no_mail_and_their_links_are_dead(app: App) {
        app.register_confirmed("ann").await;
        let link = app.reset_link("ann").await;
        assert_eq!(app.forgot("ann@example.org").await.status, 200);
        let user = app.who(&app.token("ann").await).await["id"].as_str().unwrap().to_owned();
        app.store.disable_user(&user, app.now()).await.unwrap();
        assert!(app.deliver().await.is_empty());
        assert_eq!(app.reset(&link, NEW).await, 410);
        app.store.enable_user(&user, app.now()).await.unwrap();
        let token = app.token("ann").await;
        assert_eq!(app.forgot("ann@example.org").await.status, 200);
        let link = token_of(&app.deliver_one().await);
        assert_eq!(app.ask("POST", "/api/accounts/delete/", &token, &json!({ "username": "ann" })).await.status, 204);
        assert_eq!(app.reset(&link, NEW).await, 410);
        assert!(app.store.links_of(&user).await.unwrap().is_empty());
    }
}

on_both! {
    async fn links_that_are_too_old_are_swept_out(app: App) {
        app.register_confirmed("ann").await;
        app.reset_link("ann").await;
        let user = app.who(&app.token("ann").await).await["id"].as_str().unwrap().to_owned();
        let mut app = app;
        let mut maintenance = app.maintenance.take().unwrap();
        app.clock.advance(Duration::from_secs(30 * 60 - 1));
        maintenance.sweep_all().await.unwrap();
        assert_eq!(app.store.links_of(&user).await.unwrap().len(), 1);
        app.clock.advance(Duration::from_secs(1));
        assert_eq!(maintenance.sweep_all().await.unwrap(), 1);
        assert!(app.store.links_of(&user).await.unwrap().is_empty());
        assert_eq!(maintenance.sweep_all().await.unwrap(), 0);
    }
}

on_both! {
    async fn whoever_leaves_takes_a_mail_that_they_asked_for_along_r110(app: App) {
        for (email, name, spelling) in
            [("ann@example.org", "ann", "Ann@example.org"), ("Bob@bücher.example", "bob", "BOB@BÜCHER.example")]
        {
            let request = json!({ "email": email, "username": name, "password": PASSWORD });
            assert_eq!(app.send(REGISTER, request).await.status, 200);
            let link = token_of(&app.deliver_one().await);
            assert_eq!(app.verify(&link, PASSWORD).await, 200);
            assert_eq!(app.forgot(spelling).await.status, 200);
            let token = app.token(name).await;
            let gone = app.ask("POST", "/api/accounts/delete/", &token, &json!({ "username": name })).await;
            assert_eq!(gone.status, 204);
            let mail = app.store.claim_mail(app.now(), Duration::from_mins(1)).await.unwrap();
            assert!(mail.is_none(), "{mail:?}");
        }
    }
}

#[tokio::test]
async fn a_mail_goes_out_as_soon_as_somebody_wants_it() {
    let app = App::start(Backend::Sqlite).await;
    app.register_confirmed("ann").await;
    let unstopped = CancellationToken::new();
    let arrives = async {
        while app.mail_capture.len() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let asked = async {
        // The mail worker has found nothing, and polls again in ten seconds.
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(app.forgot("ann@example.org").await.status, 200);
        tokio::time::timeout(Duration::from_secs(5), arrives).await
    };
    tokio::select! {
        () = app.mail_worker.run(unstopped) => panic!("the mail worker was not stopped"),
        assert_in_time = asked => assert!(assert_in_time.is_ok(), "long before the next poll"),
    }
}

/// A mail transport that finishes each mail when the test allows it, and notifies the test when it has begun one.
#[derive(Debug, Default)]
struct Slow {
    begun: Notify,
    go_on: Notify,
}

impl MailTransport for Slow {
    fn send<'a>(&'a self, _id: &'a str, _message: &'a MailMessage) -> BoxFuture<'a> {
        Box::pin(async {
            self.begun.notify_one();
            self.go_on.notified().await;
            Ok("in the end".to_owned())
        })
    }
}

#[tokio::test]
async fn a_postman_that_is_told_to_stop_brings_the_mail_in_hand_to_an_end_and_takes_no_other() {
    let app = App::start(Backend::Sqlite).await;
    app.register("ann").await;
    let (slow, stop) = (Arc::new(Slow::default()), CancellationToken::new());
    let head = app.config.mail_templates(app.config.server.address);
    let mail_worker = app.service.mail_worker(Arc::clone(&slow) as Arc<dyn MailTransport>, head);
    let driver = async {
        slow.begun.notified().await;
        stop.cancel();
        app.register("bob").await;
        slow.go_on.notify_one();
    };
    tokio::join!(mail_worker.run(stop.clone()), driver);
    assert_eq!(app.deliver_one().await.to, "bob@example.org");
}
