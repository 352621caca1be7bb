//! The queue: when each mail is sent, and failures to send it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use vestibule::{
    domain::{
        time::Timestamp,
        token::{Token, TokenKind},
    },
    mail::MailUrl,
    service::{BoxFuture, MailMessage, MailTransport},
    store::{LinkKind, NewLink},
};

use crate::util::{App, Backend, NEW, PASSWORD, macros::both, mail_capture::token_of};

both! {
    a_failed_mail_waits_longer_each_time_also_over_a_restart,
    mail_that_cannot_be_sent_for_three_days_is_given_up,
    mail_that_is_rejected_permanently_is_given_up_after_a_day,
    mail_whose_workers_all_stop_halfway_is_given_up_as_well,
    mail_is_not_given_up_for_time_in_which_nobody_tried_r99,
    a_rejection_after_hours_of_failures_loses_no_mail,
    queued_mail_is_sent_after_the_clock_was_put_back_r99,
    a_late_mail_revokes_no_newer_link_r55,
    no_link_is_made_to_confirm_an_email_twice,
    an_account_that_is_enabled_again_gets_its_queued_notices,
    a_mail_that_a_worker_left_is_sent_by_another_after_its_lease,
    workers_that_claim_mail_at_once_each_get_one,
    a_disabled_or_deleted_account_has_no_mail_and_no_valid_links,
    a_sweep_deletes_expired_links,
    a_deleted_accounts_requested_mail_is_deleted_with_it_r110,
}

/// How long a worker may take for a mail that it has claimed.
const LEASE: Duration = Duration::from_mins(10);

#[tokio::test]
async fn without_mail_a_request_for_one_is_refused() {
    let app = App::start_with(Backend::Sqlite, |config| config.mail.url = MailUrl::Off).await;
    let ann = app.register("ann").await;
    let mut phone = ann.log_in().await;
    ann.forgot_password().await.assert_status(501).assert_code("mail_off");
    phone.resend_verification().await.assert_status(501).assert_code("mail_off");
    phone.change_email("new@example.org").await.assert_status(501).assert_code("mail_off");
    // The password can be changed without a notice.
    phone.change_password(NEW).await;
    app.assert_no_mail().await;
}

async fn a_failed_mail_waits_longer_each_time_also_over_a_restart(app: App) {
    app.register("ann").await;
    app.break_mail();
    app.assert_no_mail().await;
    app.clock.advance(Duration::from_secs(29));
    app.repair_mail();
    app.assert_no_mail().await;
    app.clock.advance(Duration::from_secs(1));
    app.break_mail();
    app.assert_no_mail().await;

    // The next wait is twice as long.
    let app = app.restart().await;
    app.clock.advance(Duration::from_secs(59));
    app.assert_no_mail().await;
    app.clock.advance(Duration::from_secs(1));
    app.follow_verification().await;
}

/// Attempts to deliver the one mail of an account each time it is due, until the worker gives up. Returns the number
/// of attempts and the hours they took.
async fn attempt_to_the_end(app: &App) -> (usize, f64) {
    let ann = app.register("ann").await;
    app.break_mail();
    let user = ann.log_in().await.user_id().await;
    let (start, mut attempts) = (app.now(), 0);
    while let Some(mail) = app.store.mails_of(&user).await.unwrap().pop() {
        assert!(attempts < 100, "the worker never gives up");
        app.clock.advance(Timestamp::from_millis(mail.due_at).since(app.now()));
        app.assert_no_mail().await;
        attempts += 1;
    }
    (attempts, app.now().since(start).as_secs_f64() / 3600.0)
}

async fn mail_that_cannot_be_sent_for_three_days_is_given_up(app: App) {
    let (attempts, hours) = attempt_to_the_end(&app).await;
    assert_eq!(attempts, 79);
    assert!((72.0..73.0).contains(&hours), "{hours} hours");
}

async fn mail_that_is_rejected_permanently_is_given_up_after_a_day(app: App) {
    app.fail_permanently();
    let (attempts, hours) = attempt_to_the_end(&app).await;
    assert_eq!(attempts, 31);
    assert!((24.0..25.0).contains(&hours), "{hours} hours");
}

async fn mail_whose_workers_all_stop_halfway_is_given_up_as_well(app: App) {
    for (stopped, arrive) in [(78, 1), (79, 0)] {
        let user = app.register(&format!("user{stopped}")).await;
        for _ in 0..stopped {
            assert!(app.store.claim_mail(app.now(), LEASE).await.unwrap().is_some());
            app.clock.advance(LEASE);
        }
        assert_eq!(app.deliver().await.len(), arrive, "after {stopped} attempts");
        let id = user.log_in().await.user_id().await;
        assert!(app.store.mails_of(&id).await.unwrap().is_empty());
    }
}

async fn mail_is_not_given_up_for_time_in_which_nobody_tried_r99(app: App) {
    app.register("ann").await;
    app.break_mail();
    app.assert_no_mail().await;
    app.clock.advance(Duration::from_hours(24 * 365));
    app.fail_permanently();
    app.assert_no_mail().await;
    app.repair_mail();
    app.clock.advance(Duration::from_mins(1));
    assert_eq!(app.deliver_one().await.to, "ann@example.org");
}

async fn a_rejection_after_hours_of_failures_loses_no_mail(app: App) {
    app.register("ann").await;
    app.break_mail();
    for _ in 0..20 {
        app.assert_no_mail().await;
        app.clock.advance(Duration::from_hours(1));
    }
    app.fail_permanently();
    app.assert_no_mail().await;
    app.repair_mail();
    app.clock.advance(Duration::from_hours(1));
    assert_eq!(app.deliver_one().await.to, "ann@example.org");
}

async fn queued_mail_is_sent_after_the_clock_was_put_back_r99(app: App) {
    let year = Duration::from_hours(24 * 365);
    app.clock.advance(year);
    app.register("ann").await;
    app.break_mail();
    app.assert_no_mail().await;
    app.repair_mail();
    app.clock.go_back(year);
    assert_eq!(app.deliver_one().await.to, "ann@example.org");
}

async fn a_late_mail_revokes_no_newer_link_r55(app: App) {
    let ann = app.register_confirmed("ann").await;
    app.break_mail();
    ann.forgot_password().await.assert_status(200);
    app.assert_no_mail().await;
    app.repair_mail();
    app.clock.advance(Duration::from_secs(1));
    let link = app.reset_link(&ann).await;
    // The first mail is obsolete.
    app.clock.advance(Duration::from_mins(5));
    app.assert_no_mail().await;
    app.reset_password(&link, NEW).await.assert_status(200);
}

async fn no_link_is_made_to_confirm_an_email_twice(app: App) {
    let phone = app.register_confirmed("ann").await.log_in().await;
    let user = phone.user_id().await;
    let now = app.now();
    phone.resend_verification().await.assert_status(200);
    let mail = app.store.claim_mail(now, LEASE).await.unwrap().unwrap();
    let link = NewLink {
        mail: &mail.id,
        token_hash: Token::generate(TokenKind::Link, || 7).hash(),
        kind: LinkKind::Verify,
        user_id: &user,
        address: "ann@example.org",
        created_at: now,
        now,
    };
    assert!(!app.store.create_link(link, None).await.unwrap());
    assert!(app.store.links_of(&user).await.unwrap().is_empty());
}

async fn an_account_that_is_enabled_again_gets_its_queued_notices(app: App) {
    let mut phone = app.register_confirmed("ann").await.log_in().await;
    phone.change_password(NEW).await;
    phone.create_access_token("backup", "read").await;
    app.break_mail();
    app.assert_no_mail().await;
    app.repair_mail();
    let link = app.email_link(&phone, "new@example.org").await;
    app.confirm_email(&link, NEW).await.assert_status(200);

    app.disable("ann").await;
    app.clock.advance(Duration::from_hours(24 * 7));
    app.assert_no_mail().await;
    app.enable("ann").await;

    let notices = app.deliver().await;
    let mut subjects: Vec<&str> = notices.iter().map(|message| message.subject.as_str()).collect();
    subjects.sort_unstable();
    let expected = [
        "A new access token at Vestibule",
        "Your email at Vestibule was changed",
        "Your password at Vestibule was changed",
    ];
    assert_eq!(subjects, expected);

    // The notice to the new email is queued too, although the account has lost that email.
    let undo = notices.iter().find(|message| message.to == "ann@example.org").map(token_of).unwrap();
    app.undo_email(&undo, PASSWORD).await.assert_status(200);
    app.disable("ann").await;
    app.assert_no_mail().await;
    app.enable("ann").await;
    assert_eq!(app.deliver_one().await.to, "new@example.org");
}

#[tokio::test]
async fn a_panic_over_one_mail_keeps_no_other_from_being_sent() {
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
        in_time = tokio::time::timeout(Duration::from_mins(1), others) => assert!(in_time.is_ok()),
    }
}

async fn a_mail_that_a_worker_left_is_sent_by_another_after_its_lease(app: App) {
    app.register("ann").await;
    let claimed = app.store.claim_mail(app.now(), LEASE).await.unwrap().unwrap();
    assert_eq!(claimed.attempts, 1);
    app.assert_no_mail().await;
    app.clock.advance(LEASE);
    assert_eq!(app.deliver().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_workers_send_each_mail_once() {
    let app = App::start(Backend::Postgres).await;
    let other = app.sibling().await;
    for name in ["ann", "bob", "cyd", "dan", "eve", "fay", "gil", "hal"] {
        app.register(name).await;
    }
    let (here, there): (Vec<MailMessage>, Vec<MailMessage>) = tokio::join!(app.deliver(), other.deliver());
    let mut recipients: Vec<String> = here.into_iter().chain(there).map(|message| message.to).collect();
    recipients.sort();
    assert_eq!(recipients.len(), 8, "{recipients:?}");
    recipients.dedup();
    assert_eq!(recipients.len(), 8, "{recipients:?}");
}

async fn workers_that_claim_mail_at_once_each_get_one(app: App) {
    for at in 0..8 {
        app.register(&format!("user{at}")).await;
    }
    let now = app.now();
    let claims = join_all((0..8).map(|_| app.store.claim_mail(now, LEASE))).await;
    let mut ids: Vec<String> =
        claims.into_iter().map(|claim| claim.unwrap().expect("a mail for each worker").id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 8, "each worker has its own mail");
}

#[tokio::test]
async fn a_worker_skips_a_mail_that_another_is_claiming() {
    let app = App::start(Backend::Postgres).await;
    app.register("ann").await;
    app.register("bob").await;
    let first = "UPDATE mails SET due_at = due_at + 600000 WHERE id = (SELECT MIN(id) FROM mails)";
    let claim = Box::pin(app.store.claim_mail(app.now(), LEASE));
    let second = app.run_blocked(first, claim).await;
    assert!(second.unwrap().is_some(), "another mail is due");
}

async fn a_disabled_or_deleted_account_has_no_mail_and_no_valid_links(app: App) {
    let ann = app.register_confirmed("ann").await;
    let user = ann.log_in().await.user_id().await;
    let link = app.reset_link(&ann).await;
    ann.forgot_password().await.assert_status(200);
    app.disable("ann").await;
    app.assert_no_mail().await;
    app.reset_password(&link, NEW).await.assert_status(410);

    app.enable("ann").await;
    let phone = ann.log_in().await;
    let link = app.reset_link(&ann).await;
    phone.delete_account("ann").await.assert_status(204);
    app.reset_password(&link, NEW).await.assert_status(410);
    assert!(app.store.links_of(&user).await.unwrap().is_empty());
}

async fn a_sweep_deletes_expired_links(mut app: App) {
    let ann = app.register_confirmed("ann").await;
    app.reset_link(&ann).await;
    let user = ann.log_in().await.user_id().await;
    let mut maintenance = app.maintenance.take().unwrap();
    app.clock.advance(Duration::from_secs(30 * 60 - 1));
    maintenance.sweep_all().await.unwrap();
    assert_eq!(app.store.links_of(&user).await.unwrap().len(), 1);
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(maintenance.sweep_all().await.unwrap(), 1);
    assert!(app.store.links_of(&user).await.unwrap().is_empty());
    assert_eq!(maintenance.sweep_all().await.unwrap(), 0);
}

async fn a_deleted_accounts_requested_mail_is_deleted_with_it_r110(app: App) {
    for (email, name, spelling) in
        [("ann@example.org", "ann", "Ann@example.org"), ("Bob@bücher.example", "bob", "BOB@BÜCHER.example")]
    {
        app.try_register(email, name).await.assert_status(200);
        app.follow_verification().await;
        app.forgot_password(spelling).await.assert_status(200);
        app.user(name).log_in().await.delete_account(name).await.assert_status(204);
        let mail = app.store.claim_mail(app.now(), Duration::from_mins(1)).await.unwrap();
        assert!(mail.is_none(), "{mail:?}");
    }
}

#[tokio::test]
async fn a_requested_mail_is_sent_at_once() {
    let app = App::start(Backend::Sqlite).await;
    let ann = app.register_confirmed("ann").await;
    let unstopped = CancellationToken::new();
    let arrives = async {
        while app.mail_capture.len() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let requested = async {
        // The mail worker has found no mail, and its next poll is in ten seconds.
        tokio::time::sleep(Duration::from_millis(300)).await;
        ann.forgot_password().await.assert_status(200);
        tokio::time::timeout(Duration::from_secs(5), arrives).await
    };
    tokio::select! {
        () = app.mail_worker.run(unstopped) => panic!("the mail worker was not stopped"),
        in_time = requested => assert!(in_time.is_ok(), "the mail arrives before the next poll"),
    }
}

/// A mail transport that finishes each mail when the test allows it, and notifies the test when it has begun one.
#[derive(Debug, Default)]
struct Slow {
    begun: Notify,
    finish: Notify,
}

impl MailTransport for Slow {
    fn send<'a>(&'a self, _id: &'a str, _message: &'a MailMessage) -> BoxFuture<'a> {
        Box::pin(async {
            self.begun.notify_one();
            self.finish.notified().await;
            Ok("delivered".to_owned())
        })
    }
}

#[tokio::test]
async fn a_stopped_worker_finishes_its_mail_and_takes_no_other() {
    let app = App::start(Backend::Sqlite).await;
    app.register("ann").await;
    let (slow, stop) = (Arc::new(Slow::default()), CancellationToken::new());
    let head = app.config.mail_templates(app.config.server.address);
    let mail_worker = app.service.mail_worker(Arc::clone(&slow) as Arc<dyn MailTransport>, head);
    let driver = async {
        slow.begun.notified().await;
        stop.cancel();
        app.register("bob").await;
        slow.finish.notify_one();
    };
    tokio::join!(mail_worker.run(stop.clone()), driver);
    assert_eq!(app.deliver_one().await.to, "bob@example.org");
}
