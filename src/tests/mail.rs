//! Mail: what is sent to whom, what its links do, and what happens when it can't be sent.

use std::{sync::atomic::Ordering, time::Duration};

use serde_json::{Value, json};
use vestibule::{
    domain::token::{Kind, Token},
    mail::MailUrl,
    server::config::Config,
    service::Letter,
    store::{LinkKind, NewLink},
};

use crate::{
    on_both,
    util::{Answer, App, Backend, PASSWORD, letterbox::token_of, some_address},
};

const REGISTER: &str = "/api/accounts/api_register/";
const VERIFY: &str = "/api/accounts/verify_email/";
const RESEND: &str = "/api/accounts/resend_verification/";
const FORGOT: &str = "/api/accounts/forgot_password/";
const RESET: &str = "/api/accounts/reset_password/";
const CHANGE_PASSWORD: &str = "/api/accounts/change_password/";
const CHANGE_EMAIL: &str = "/api/accounts/change_email/";
const CONFIRM_EMAIL: &str = "/api/accounts/confirm_email/";
const UNDO_EMAIL: &str = "/api/accounts/undo_email/";
const NEW: &str = "walrus orchard lantern";

impl App {
    async fn send(&self, path: &str, body: Value) -> Answer {
        self.post(path, &body).from(&some_address()).send().await
    }

    async fn verify(&self, link: &str, password: &str) -> u16 {
        self.send(VERIFY, json!({ "token": link, "password": password })).await.status.as_u16()
    }

    async fn forgot(&self, email: &str) -> Answer {
        self.send(FORGOT, json!({ "email": email })).await
    }

    async fn reset(&self, link: &str, password: &str) -> u16 {
        self.send(RESET, json!({ "token": link, "new_password": password })).await.status.as_u16()
    }

    async fn confirm_email(&self, link: &str) -> u16 {
        self.confirm_email_with(link, PASSWORD).await
    }

    async fn confirm_email_with(&self, link: &str, password: &str) -> u16 {
        self.send(CONFIRM_EMAIL, json!({ "token": link, "password": password })).await.status.as_u16()
    }

    async fn undo_email(&self, link: &str) -> u16 {
        self.send(UNDO_EMAIL, json!({ "token": link, "new_password": NEW })).await.status.as_u16()
    }

    /// Registers somebody whose email is confirmed.
    async fn register_confirmed(&self, name: &str) {
        self.register(name).await;
        let link = token_of(&self.deliver_one().await);
        assert_eq!(self.verify(&link, PASSWORD).await, 200);
    }

    /// A link to a new password for somebody.
    async fn reset_link(&self, name: &str) -> String {
        assert_eq!(self.forgot(&format!("{name}@example.org")).await.status, 200);
        let letter = self.deliver_one().await;
        assert_eq!(letter.subject, "Choose a new password for Vestibule");
        token_of(&letter)
    }

    /// Asks for another email and returns the link that arrives there.
    async fn email_link(&self, token: &str, email: &str) -> String {
        let asked = self.ask("POST", CHANGE_EMAIL, token, &json!({ "new_email": email })).await;
        assert_eq!(asked.status, 200, "{}", asked.text);
        let letter = self.deliver_one().await;
        assert_eq!((letter.to.as_str(), letter.subject.as_str()), (email, "Confirm your new email for Vestibule"));
        token_of(&letter)
    }

    /// Logs in with the new password.
    async fn new_token(&self, who: &str) -> String {
        let answer = self.log_in(who, NEW).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["token"].as_str().unwrap().to_owned()
    }

    async fn id_of(&self, token: &str) -> String {
        self.who(token).await["id"].as_str().unwrap().to_owned()
    }

    async fn who(&self, token: &str) -> Value {
        self.get("/api/accounts/me/").bearer(token).send().await.json()
    }
}

/// A server whose mail is sent.
fn sends(config: &mut Config) {
    config.mail.url = MailUrl::parse("smtp://localhost").unwrap();
    config.server.public_url = Some("https://accounts.example.org".parse().unwrap());
}

on_both! {
    async fn an_email_is_confirmed_by_its_link_and_the_password_once_r6_r58(app: App) {
        app.register("ann").await;
        let token = app.token("ann").await;
        assert_eq!(app.who(&token).await["email_verified"], false);
        let letter = app.deliver_one().await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(letter.to_text().replace(&token_of(&letter), "…"), @r#"
            Hello,

            An account called ann was made at Vestibule with this email.

            If that was you, please confirm that the email is yours. You will be asked for your password.

            Confirm your email:
            http://127.0.0.1:8000/verify#…

            The link works once, for 24 hours.

            If it wasn't you, you need not do anything. You may also follow the link and choose a password of your own: then the account is yours, and whoever made it is locked out.
            "#);
        }
        assert_eq!(letter.to, "ann@example.org");
        let link = token_of(&letter);
        for wrong in ["wrong", "", NEW] {
            assert!([400, 403].contains(&app.verify(&link, wrong).await), "{wrong}");
        }
        for wrong in ["", "vsl_", &token, &link[..52], &link.replace("vsl_", "vst_")] {
            assert_eq!(app.verify(wrong, PASSWORD).await, 410, "{wrong}");
        }
        assert_eq!(app.who(&token).await["email_verified"], false);
        assert_eq!(app.verify(&link, PASSWORD).await, 200);
        assert_eq!(app.who(&token).await["email_verified"], true, "at once, in every session");
        assert_eq!(app.verify(&link, PASSWORD).await, 410);
        assert_eq!(app.ask("POST", RESEND, &token, &json!({})).await.status, 200);
        assert!(app.deliver().await.is_empty(), "there is nothing left to confirm");
    }
}

on_both! {
    async fn a_link_that_confirms_works_for_a_day_and_the_last_one_only(app: App) {
        app.register("ann").await;
        let token = app.token("ann").await;
        let first = token_of(&app.deliver_one().await);
        assert_eq!(app.ask("POST", RESEND, &token, &json!({})).await.status, 200);
        let second = token_of(&app.deliver_one().await);
        assert_eq!(app.verify(&first, PASSWORD).await, 410);
        app.clock.advance(Duration::from_hours(24));
        assert_eq!(app.verify(&second, PASSWORD).await, 410);
        let token = app.token("ann").await;
        assert_eq!(app.ask("POST", RESEND, &token, &json!({})).await.status, 200);
        let third = token_of(&app.deliver_one().await);
        app.clock.advance(Duration::from_hours(24) - Duration::from_millis(1));
        assert_eq!(app.verify(&third, PASSWORD).await, 200);
    }
}

on_both! {
    async fn an_email_taken_by_a_stranger_is_its_owners_in_the_end_r6(app: App) {
        app.register("ann").await;
        let squatter = app.token("ann").await;
        let link = token_of(&app.deliver_one().await);
        // A forgotten password is none of theirs whose email is not proven: they get the same letter as at the beginning.
        assert_eq!(app.forgot("ann@example.org").await.status, 200);
        let letter = app.deliver_one().await;
        assert_eq!(letter.subject, "Confirm your email for Vestibule");
        assert_eq!(app.reset(&link, NEW).await, 410, "the younger letter counts");
        assert_eq!(app.reset(&token_of(&letter), NEW).await, 200);
        assert_eq!(app.me(&squatter).await, 401);
        assert_eq!((app.log_in("ann", PASSWORD).await.status.as_u16(), app.log_in("ann", NEW).await.status.as_u16()), (400, 200));
        let answer = app.log_in("ann", NEW).await.json();
        assert_eq!(app.who(answer["token"].as_str().unwrap()).await["email_verified"], true);
    }
}

on_both! {
    async fn a_forgotten_password_is_chosen_anew_by_mail_r55_r57(app: App) {
        app.register_confirmed("ann").await;
        let (here, there) = (app.token("ann").await, app.token("ann").await);
        let link = app.reset_link("ann").await;
        assert_eq!((app.me(&here).await.as_u16(), app.log_in("ann", PASSWORD).await.status.as_u16()), (200, 200), "asking changes nothing");
        assert_eq!((app.reset(&link, "ann@example.org").await, app.reset(&link, "short").await), (400, 400), "it works still");
        let done = app.send(RESET, json!({ "token": link, "new_password": NEW })).await;
        assert_eq!((done.status.as_u16(), done.json()), (200, json!({ "status": "ok" })), "nobody is logged in by it");
        assert_eq!((app.me(&here).await.as_u16(), app.me(&there).await.as_u16()), (401, 401));
        assert_eq!((app.log_in("ann", PASSWORD).await.status.as_u16(), app.log_in("ann", NEW).await.status.as_u16()), (400, 200));
        assert_eq!(app.reset(&link, PASSWORD).await, 410);
        let told = app.deliver_one().await;
        assert_eq!((told.to.as_str(), told.subject.as_str()), ("ann@example.org", "Your password at Vestibule was changed"));
        assert!(told.to_text().contains("22 November 2026, 12:00 UTC"), "{}", told.to_text());
    }
}

on_both! {
    async fn a_link_to_a_new_password_is_void_once_it_is_old_or_overtaken_r55(app: App) {
        app.register_confirmed("ann").await;
        let old = app.reset_link("ann").await;
        app.clock.advance(Duration::from_mins(30));
        assert_eq!(app.reset(&old, NEW).await, 410);
        let (first, second) = (app.reset_link("ann").await, app.reset_link("ann").await);
        assert_eq!(app.reset(&first, NEW).await, 410, "a younger one");
        let body = json!({ "current_password": PASSWORD, "new_password": NEW });
        assert_eq!(app.ask("POST", CHANGE_PASSWORD, &app.token("ann").await, &body).await.status, 200);
        assert_eq!(app.reset(&second, PASSWORD).await, 410, "another password");
        assert_eq!(app.deliver_one().await.subject, "Your password at Vestibule was changed");
        let third = app.reset_link("ann").await;
        let token = app.new_token("ann").await;
        let moved = app.email_link(&token, "new@example.org").await;
        assert_eq!(app.confirm_email_with(&moved, NEW).await, 200);
        assert_eq!(app.reset(&third, PASSWORD).await, 410, "another email");
    }
}

on_both! {
    async fn fifty_who_follow_one_link_at_once_succeed_once_r55(app: App) {
        app.register_confirmed("ann").await;
        let link = app.reset_link("ann").await;
        let servers = match app.backend {
            Backend::Sqlite => vec![&app],
            Backend::Postgres => vec![&app, Box::leak(Box::new(app.sibling().await)), Box::leak(Box::new(app.sibling().await))],
        };
        let following = (0..50).map(|at| {
            let (server, password) = (servers[at % servers.len()], format!("{NEW} {at}"));
            let link = &link;
            async move {
                loop {
                    match server.reset(link, &password).await {
                        // The queue for hashing is full.
                        503 => tokio::time::sleep(Duration::from_millis(50)).await,
                        status => return status,
                    }
                }
            }
        });
        let statuses = futures_util::future::join_all(following).await;
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
        assert!(statuses.iter().all(|status| [200, 410].contains(status)), "{statuses:?}");
        assert_eq!(app.deliver().await.len(), 1);
    }
}

on_both! {
    async fn whoever_asks_learns_nothing_of_who_has_an_account_r56(app: App) {
        app.register_confirmed("ann").await;
        app.register("bob").await;
        app.deliver().await;
        let known = app.forgot("ann@example.org").await;
        let told = [app.forgot("bob@example.org").await, app.forgot("nobody@example.org").await];
        insta::allow_duplicates! {
            insta::assert_snapshot!(known.shape(), @r#"
            200 OK
            cache-control: no-store
            content-type: application/json; charset=utf-8
            vary: Authorization, Origin, Sec-Fetch-Site
            {"response":"If there is an account with this email, a mail is on its way.","status":"ok"}
            "#);
        }
        for answer in told {
            assert_eq!(answer.shape(), known.shape());
        }
        app.letterbox.broken.store(true, Ordering::SeqCst);
        assert_eq!(app.forgot("ann@example.org").await.shape(), known.shape(), "with the mail out of order, too");
        let addressees: Vec<String> = app.deliver().await.into_iter().map(|letter| letter.to).collect();
        assert!(addressees.is_empty(), "{addressees:?}");
    }
}

on_both! {
    async fn mail_goes_to_the_one_address_that_is_kept_r54(app: App) {
        app.register_confirmed("ann").await;
        assert_eq!(app.forgot(" ANN@example.ORG ").await.status, 200);
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
            let answer = app.send(FORGOT, json!({ "email": email })).await;
            assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (400, &json!("invalid")), "{email}");
        }
        assert_eq!(app.forgot("änn@example.org").await.status, 400, "what looks alike is no address of hers");
        assert!(app.deliver().await.is_empty());
    }
}

on_both! {
    async fn no_request_decides_where_a_link_leads_r53(app: App) {
        app.register_confirmed("ann").await;
        let headers = [
            ("x-forwarded-host", "evil.example"),
            ("forwarded", "host=evil.example;proto=https"),
            ("x-forwarded-proto", "gopher"),
            ("x-original-host", "evil.example"),
            ("referer", "https://evil.example/"),
            ("x-http-host-override", "evil.example"),
        ];
        for (name, value) in headers {
            let call = app.post(FORGOT, &json!({ "email": "ann@example.org" })).from(&some_address());
            assert_eq!(call.header(name, value).send().await.status, 200);
            let text = app.deliver_one().await.to_text();
            assert!(text.contains("http://127.0.0.1:8000/reset#vsl_") && !text.contains("evil"), "{text}");
            app.clock.advance(Duration::from_mins(10));
        }
        let call = app.post(FORGOT, &json!({ "email": "ann@example.org" })).replace_host("evil.example");
        assert_eq!(call.send().await.status, 421);
    }
}

on_both! {
    async fn a_mailbox_gets_only_so_many_mails_that_somebody_asked_for_r56(app: App) {
        app.register_confirmed("ann").await;
        for _ in 0..20 {
            assert_eq!(app.forgot("ann@example.org").await.status, 200);
        }
        // The one of the registration counts, too.
        assert_eq!(app.deliver().await.len(), 4);
        app.clock.advance(Duration::from_mins(10));
        assert_eq!(app.forgot("ann@example.org").await.status, 200);
        assert_eq!(app.deliver().await.len(), 1);
        let address = some_address();
        let ask = async || app.post(FORGOT, &json!({ "email": "x@example.org" })).from(&address).send().await.status.as_u16();
        let mut answers = Vec::new();
        for _ in 0..7 {
            answers.push(ask().await);
        }
        assert_eq!(answers, [200, 200, 200, 200, 200, 429, 429]);
    }
}

on_both! {
    async fn an_email_is_changed_by_whoever_reads_the_new_one_and_undone_at_the_old_r59(app: App) {
        app.register_confirmed("ann").await;
        let token = app.token("ann").await;
        let first = app.email_link(&token, "first@example.org").await;
        let second = app.email_link(&token, "second@example.org").await;
        assert_eq!(app.who(&token).await["email"], "ann@example.org", "until it is confirmed");
        assert_eq!(app.confirm_email(&first).await, 410, "the younger wish counts");
        assert_eq!(app.undo_email(&second).await, 410, "a link does one thing");
        assert_eq!(app.confirm_email_with(&second, "wrong").await, 403, "a click alone proves nothing");
        assert_eq!(app.confirm_email(&second).await, 200);
        assert_eq!(app.confirm_email(&second).await, 410);
        let me = app.who(&token).await;
        assert_eq!((&me["email"], &me["email_verified"]), (&json!("second@example.org"), &json!(true)));
        assert_eq!(app.log_in("ann@example.org", PASSWORD).await.status, 400);
        let told = app.deliver_one().await;
        assert_eq!((told.to.as_str(), told.subject.as_str()), ("ann@example.org", "Your email at Vestibule was changed"));
        let undo = token_of(&told);
        app.clock.advance(Duration::from_hours(72) - Duration::from_millis(1));
        let token = app.token("second@example.org").await;
        assert_eq!(app.send(UNDO_EMAIL, json!({ "token": undo, "new_password": "short" })).await.status, 400);
        assert_eq!(app.undo_email(&undo).await, 200);
        assert_eq!(app.me(&token).await, 401, "somebody else may have done it");
        assert_eq!(app.undo_email(&undo).await, 410);
        assert_eq!(app.log_in("ann", PASSWORD).await.status, 400, "they may know the password");
        let told = app.deliver_one().await;
        assert_eq!((told.to.as_str(), told.subject.as_str()), ("second@example.org", "Your email at Vestibule was changed back"));
        assert_eq!(app.who(&app.new_token("ann@example.org").await).await["email"], "ann@example.org");
    }
}

on_both! {
    async fn an_intruders_second_change_does_not_keep_the_owner_out_r59(app: App) {
        app.register_confirmed("ann").await;
        let token = app.token("ann").await;
        let link = app.email_link(&token, "evil@example.org").await;
        assert_eq!(app.confirm_email(&link).await, 200);
        let owners = token_of(&app.deliver_one().await);
        app.clock.advance(Duration::from_secs(1));
        let link = app.email_link(&token, "worse@example.org").await;
        assert_eq!(app.confirm_email(&link).await, 200);
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
        let wish = |email: &str| json!({ "new_email": email });
        let refused = app.ask("POST", CHANGE_EMAIL, &token, &wish("bob@example.org")).await;
        let told = app.deliver_one().await;
        assert_eq!((told.to.as_str(), told.subject.as_str()), ("bob@example.org", "You have an account at Vestibule already"));
        let free = app.ask("POST", CHANGE_EMAIL, &token, &wish("free@example.org")).await;
        assert_eq!(refused.shape(), free.shape());
        // Somebody registers with it before it is confirmed.
        let link = token_of(&app.deliver_one().await);
        app.send(REGISTER, json!({ "email": "free@example.org", "username": "fred", "password": PASSWORD })).await;
        assert_eq!(app.confirm_email(&link).await, 409);
        assert_eq!(app.who(&token).await["email"], "ann@example.org");
        for (bad, status) in [("ann@example.org", 400), ("", 400), ("no address", 400)] {
            assert_eq!(app.ask("POST", CHANGE_EMAIL, &token, &wish(bad)).await.status, status, "{bad}");
        }
        app.clock.advance(Duration::from_mins(10));
        let late = app.ask("POST", CHANGE_EMAIL, &token, &wish("late@example.org")).await;
        assert_eq!(late.json()["code"], "reauth_required");
    }
}

on_both! {
    async fn a_new_password_voids_an_intruders_wish_for_another_email_r55(app: App) {
        app.register_confirmed("ann").await;
        let intruder = app.token("ann").await;
        let sent = app.email_link(&intruder, "evil@example.org").await;
        let wish = json!({ "new_email": "worse@example.org" });
        assert_eq!(app.ask("POST", CHANGE_EMAIL, &intruder, &wish).await.status, 200);
        let mine = app.token("ann").await;
        let body = json!({ "current_password": PASSWORD, "new_password": NEW });
        assert_eq!(app.ask("POST", CHANGE_PASSWORD, &mine, &body).await.status, 200);
        assert_eq!(app.confirm_email(&sent).await, 410);
        assert_eq!(app.deliver_one().await.subject, "Your password at Vestibule was changed", "the second wish is not sent");
    }
}

/// Runs a test with a server that sends its mail, on both databases.
async fn on_both_sending(test: impl AsyncFn(App)) {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        test(App::start_with(backend, sends).await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registering_tells_no_stranger_who_has_an_account_r2() {
    Box::pin(on_both_sending(async |app| {
        app.register_confirmed("ann").await;
        let register = async |email: &str, username: &str| {
            let before = app.service.hashes_run();
            let answer =
                app.send(REGISTER, json!({ "email": email, "username": username, "password": PASSWORD })).await;
            (answer.shape(), app.service.hashes_run() - before)
        };
        let new = register("new@example.org", "new").await;
        assert_eq!(app.deliver_one().await.subject, "Confirm your email for Vestibule");
        let taken = register("ANN@example.org", "another").await;
        assert_eq!(taken, new, "the same answer, after the same work");
        let told = app.deliver_one().await;
        assert_eq!(
            (told.to.as_str(), told.subject.as_str()),
            ("ann@example.org", "You have an account at Vestibule already")
        );
        assert!(told.to_text().contains("https://accounts.example.org/forgot"));
        assert_eq!(app.log_in("another", PASSWORD).await.status, 400, "nothing was made");
        let (username, _) = register("third@example.org", "ANN").await;
        assert!(username.contains("This name is taken. Choose another."), "names are public: {username}");
        assert!(app.deliver().await.is_empty());
        // Whoever registered with an email that isn't theirs is found out in the same way.
        let again = register("new@example.org", "newer").await;
        assert_eq!(again, new);
        assert_eq!(app.deliver_one().await.subject, "Confirm your email for Vestibule");
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_it_is_wanted_nobody_logs_in_before_the_email_is_confirmed_r6() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let app = App::start_with(backend, |config| config.registration.require_verified_email = true).await;
        app.register("ann").await;
        let refused = app.log_in("ann", PASSWORD).await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(refused.shape(), @r#"
            403 Forbidden
            cache-control: no-store
            content-type: application/json; charset=utf-8
            vary: Authorization, Origin, Sec-Fetch-Site
            {"error":"Confirm your email first: follow the link in the mail that was sent to you.","status":"fail","token":""}
            "#);
        }
        assert_eq!(app.log_in("ann", "wrong").await.status, 400, "only who knows the password is told");
        let link = token_of(&app.deliver_one().await);
        assert_eq!(app.verify(&link, PASSWORD).await, 200);
        assert_eq!(app.log_in("ann", PASSWORD).await.status, 200);
    }
}

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
        app.letterbox.broken.store(true, Ordering::SeqCst);
        assert!(app.deliver().await.is_empty());
        app.clock.advance(Duration::from_secs(29));
        app.letterbox.broken.store(false, Ordering::SeqCst);
        assert!(app.deliver().await.is_empty(), "not yet");
        app.clock.advance(Duration::from_secs(1));
        app.letterbox.broken.store(true, Ordering::SeqCst);
        assert!(app.deliver().await.is_empty());
        let app = app.restart().await;
        app.clock.advance(Duration::from_secs(59));
        assert!(app.deliver().await.is_empty(), "twice as long");
        app.clock.advance(Duration::from_secs(1));
        let link = token_of(&app.deliver_one().await);
        assert_eq!(app.verify(&link, PASSWORD).await, 200);
    }
}

on_both! {
    async fn mail_that_cannot_be_sent_for_three_days_is_given_up(app: App) {
        app.register("ann").await;
        app.letterbox.broken.store(true, Ordering::SeqCst);
        let user = app.who(&app.token("ann").await).await["id"].as_str().unwrap().to_owned();
        let mut rounds = 0;
        while app.store.mails_of(&user).await.unwrap().len() == 1 {
            assert!(app.deliver().await.is_empty());
            app.clock.advance(Duration::from_hours(1));
            rounds += 1;
            assert!(rounds < 80, "it is never given up");
        }
        assert!(rounds >= 72, "{rounds}");
    }
}

on_both! {
    async fn what_a_postman_leaves_half_done_another_takes_up(app: App) {
        app.register("ann").await;
        let now = vestibule::service::clock::Clock::now(&*app.clock);
        let lease = Duration::from_mins(10);
        let claimed = app.store.claim_mail(now, lease).await.unwrap().unwrap();
        assert!(app.deliver().await.is_empty(), "it is in other hands");
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
    let (here, there): (Vec<Letter>, Vec<Letter>) = tokio::join!(app.deliver(), other.deliver());
    let mut addressees: Vec<String> = here.into_iter().chain(there).map(|letter| letter.to).collect();
    addressees.sort();
    assert_eq!(addressees.len(), 8, "{addressees:?}");
    addressees.dedup();
    assert_eq!(addressees.len(), 8, "{addressees:?}");
}

on_both! {
    async fn whoever_leaves_or_is_disabled_gets_no_mail_and_their_links_are_dead(app: App) {
        app.register_confirmed("ann").await;
        let link = app.reset_link("ann").await;
        assert_eq!(app.forgot("ann@example.org").await.status, 200);
        let user = app.who(&app.token("ann").await).await["id"].as_str().unwrap().to_owned();
        app.store.disable_user(&user, vestibule::service::clock::Clock::now(&*app.clock)).await.unwrap();
        assert!(app.deliver().await.is_empty());
        assert_eq!(app.reset(&link, NEW).await, 410);
        app.store.enable_user(&user).await.unwrap();
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
        let mut upkeep = app.upkeep.take().unwrap();
        upkeep.sweep_all().await.unwrap();
        assert_eq!(app.store.links_of(&user).await.unwrap().len(), 1);
        app.clock.advance(Duration::from_mins(30));
        upkeep.sweep_all().await.unwrap();
        assert!(app.store.links_of(&user).await.unwrap().is_empty());
    }
}

on_both! {
    async fn an_intruders_mail_that_waits_gives_nothing_back_once_the_owner_has_undone_r59(app: App) {
        app.register_confirmed("ann").await;
        let token = app.token("ann").await;
        let evil = app.email_link(&token, "evil@example.org").await;
        assert_eq!(app.confirm_email(&evil).await, 200);
        // The owner's mail is late, and the intruder's is sent before it.
        app.letterbox.broken.store(true, Ordering::SeqCst);
        assert!(app.deliver().await.is_empty());
        app.clock.advance(Duration::from_secs(1));
        app.letterbox.broken.store(false, Ordering::SeqCst);
        let worse = app.email_link(&token, "worse@example.org").await;
        assert_eq!(app.confirm_email(&worse).await, 200);
        let intruders = app.deliver_one().await;
        assert_eq!(intruders.to, "evil@example.org");
        app.clock.advance(Duration::from_secs(30));
        let owners = app.deliver_one().await;
        assert_eq!(owners.to, "ann@example.org");
        let wish = json!({ "new_email": "worst@example.org" });
        assert_eq!(app.ask("POST", CHANGE_EMAIL, &token, &wish).await.status, 200);
        assert_eq!(app.undo_email(&token_of(&owners)).await, 200);
        assert_eq!(app.undo_email(&token_of(&intruders)).await, 410, "what counts is when it happened");
        let subjects: Vec<String> = app.deliver().await.into_iter().map(|letter| letter.subject).collect();
        assert_eq!(subjects, ["Your email at Vestibule was changed back"], "the last wish is void");
    }
}

on_both! {
    async fn nobody_keeps_an_owner_out_by_registering_with_the_address_before_r59(app: App) {
        app.register_confirmed("ann").await;
        let evil = app.email_link(&app.token("ann").await, "evil@example.org").await;
        assert_eq!(app.confirm_email(&evil).await, 200);
        let undo = token_of(&app.deliver_one().await);
        let squat = json!({ "email": "ann@example.org", "username": "squatter", "password": PASSWORD });
        assert_eq!(app.send(REGISTER, squat).await.status, 200);
        let squatter = app.token("squatter").await;
        assert_eq!(app.me(&squatter).await, 200);
        assert_eq!(app.undo_email(&undo).await, 200);
        assert_eq!(app.me(&squatter).await, 401);
        assert_eq!(app.who(&app.new_token("ann").await).await["email"], "ann@example.org");
    }
}

on_both! {
    async fn an_address_that_was_never_proven_learns_nothing_and_undoes_nothing_r6(app: App) {
        app.register("ann").await;
        app.deliver().await;
        let link = app.email_link(&app.token("ann").await, "right@example.org").await;
        assert_eq!(app.confirm_email(&link).await, 200);
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
        app.store.disable_user(&user, vestibule::service::clock::Clock::now(&*app.clock)).await.unwrap();
        app.store.enable_user(&user).await.unwrap();
        assert_eq!(app.confirm_email(&third).await, 410);
    }
}

on_both! {
    async fn a_link_is_not_made_for_a_mail_that_is_no_longer_wanted_r55(app: App) {
        app.register_confirmed("ann").await;
        let user = app.id_of(&app.token("ann").await).await;
        let now = vestibule::service::clock::Clock::now(&*app.clock);
        let token = Token::generate(Kind::Link, || 7);
        let make = async |mail: &str, address: &str, kind: LinkKind| {
            let link = NewLink {
                mail,
                token_hash: token.hash(),
                kind,
                user_id: &user,
                address,
                created_at: now,
                expires_at: now.plus(Duration::from_mins(1)),
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

#[tokio::test]
async fn ones_own_username_is_no_way_to_ask_for_an_email_r2() {
    let app = App::start_with(Backend::Sqlite, sends).await;
    app.register("ann").await;
    app.register("eve").await;
    app.deliver().await;
    let ask = async |email: &str| {
        app.send(REGISTER, json!({ "email": email, "username": "eve", "password": PASSWORD })).await.shape()
    };
    assert_eq!(ask("ann@example.org").await, ask("nobody@example.org").await);
    assert!(app.deliver().await.is_empty());
}

on_both! {
    async fn an_unproven_mailbox_is_spared_notices_as_well_r56(app: App) {
        app.register("ann").await;
        let mut token = app.token("ann").await;
        app.deliver().await;
        let mut old = PASSWORD.to_owned();
        for at in 0..8 {
            let new = format!("{NEW} {at}");
            let body = json!({ "current_password": old, "new_password": new });
            let changed = app.ask("POST", CHANGE_PASSWORD, &token, &body).await;
            assert_eq!(changed.status, 200, "{}", changed.text);
            changed.json()["token"].as_str().unwrap().clone_into(&mut token);
            old = new;
        }
        assert_eq!(app.deliver().await.len(), 4);
    }
}

on_both! {
    async fn a_right_password_before_the_email_is_confirmed_is_no_failure_r92(app: App) {
        let mut config = app.config.clone();
        config.registration.require_verified_email = true;
        let app = app.restart_with(config).await;
        app.register("ann").await;
        for _ in 0..8 {
            assert_eq!(app.log_in("ann", PASSWORD).await.status, 403);
        }
        let link = token_of(&app.deliver_one().await);
        assert_eq!(app.verify(&link, PASSWORD).await, 200);
    }
}

on_both! {
    async fn whoever_leaves_takes_a_mail_that_they_asked_for_along_r110(app: App) {
        app.register_confirmed("ann").await;
        assert_eq!(app.forgot("Ann@example.org").await.status, 200);
        let token = app.token("ann").await;
        assert_eq!(app.ask("POST", "/api/accounts/delete/", &token, &json!({ "username": "ann" })).await.status, 204);
        let now = vestibule::service::clock::Clock::now(&*app.clock);
        assert!(app.store.claim_mail(now, Duration::from_mins(1)).await.unwrap().is_none());
    }
}
