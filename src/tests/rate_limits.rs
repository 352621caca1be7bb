//! Rate limits of logins, on both databases, through the API and the page.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use sqlx::{Connection, PgConnection, SqliteConnection};
use vestibule::store::{DatabaseUrl, Reservation};

use crate::{
    on_both,
    util::{
        App, Backend, PASSWORD, Response, default_config, hash_like_the_program, is_lock_awaited,
        mail_capture::token_of, some_address, until,
    },
};

mod bounds;
mod settling;
mod taking_back;

const AUTH: &str = "/api/accounts/api_auth/";
const REGISTER: &str = "/api/accounts/api_register/";
const NEW: &str = "walrus orchard lantern";
/// The address where an owner logs in.
const HOME: &str = "192.0.2.7";

impl App {
    async fn log_in_from(&self, address: &str, who: &str, password: &str) -> Response {
        self.post(AUTH, &json!({ "email": who, "password": password })).from(address).send().await
    }

    /// The statuses of attempts by strangers, each from another network, in sequence.
    async fn guesses(&self, who: &str, count: usize) -> Vec<u16> {
        let mut statuses = Vec::new();
        for _ in 0..count {
            statuses.push(self.log_in(who, "wrong").await.status.as_u16());
        }
        statuses
    }

    /// Makes strangers guess until the wait reaches its maximum, and returns when it ends.
    async fn guess_up_to_the_longest_wait(&self, who: &str) {
        self.guesses(who, 5).await;
        loop {
            let wait: u64 = self.log_in(who, "wrong").await.header("retry-after").parse().unwrap();
            self.clock.advance(Duration::from_secs(wait));
            if wait == 900 {
                return;
            }
            assert_eq!(self.guesses(who, 1).await, [400]);
        }
    }

    /// A link to a new password, from a mail.
    async fn link_to_a_new_password(&self, email: &str) -> String {
        let asked = self.post("/api/accounts/forgot_password/", &json!({ "email": email })).from(&some_address());
        assert_eq!(asked.send().await.status, 200);
        token_of(self.deliver().await.last().unwrap())
    }

    /// The key that counts an account's failed logins from the one network that it remembers.
    async fn known_network_key(&self, who: &str) -> String {
        let sql = "SELECT key FROM known_networks JOIN users ON users.id = user_id WHERE username_key = $1";
        self.query(sql, who).await
    }

    /// The number of attempts in progress.
    async fn reserved(&self, key: &str) -> i64 {
        let sql = "SELECT CAST(COALESCE(MAX(reserved), 0) AS TEXT) FROM account_throttles WHERE key = $1";
        self.query(sql, key).await.parse().unwrap()
    }

    /// The number of stored failures.
    async fn failures(&self, key: &str) -> i64 {
        let sql = "SELECT CAST(COALESCE(MAX(failures), 0) AS TEXT) FROM account_throttles WHERE key = $1";
        self.query(sql, key).await.parse().unwrap()
    }

    /// The one text that a statement returns.
    async fn query(&self, sql: &'static str, value: &str) -> String {
        match &self.config.database.url {
            DatabaseUrl::Sqlite(file) => {
                let mut connection = SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.unwrap();
                sqlx::query_scalar(sql).bind(value).fetch_one(&mut connection).await.unwrap()
            }
            DatabaseUrl::Postgres(url) => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                sqlx::query_scalar(sql).bind(value).fetch_one(&mut connection).await.unwrap()
            }
        }
    }

    /// Runs an owner's operation while a stranger guesses.
    async fn act_as(&self, person: &str, name: &str) {
        match person {
            "ann" => drop(self.token(name).await),
            "bob" => {
                assert_eq!(self.log_in_from(HOME, name, PASSWORD).await.status, 200, "from a network that is known");
            }
            "cyd" => {
                let link = self.link_to_a_new_password(&format!("{name}@example.org")).await;
                assert_eq!(self.set_password_from(&some_address(), &link).await, 200);
            }
            "dan" => {
                let (path, gone) = ("/api/accounts/delete/", json!({ "username": name }));
                assert_eq!(self.ask("POST", path, &self.token(name).await, &gone).await.status, 204);
            }
            "eve" => {
                let (path, new) = ("/api/accounts/change_username/", json!({ "username": format!("new.{name}") }));
                assert_eq!(self.ask("POST", path, &self.token(name).await, &new).await.status, 200);
            }
            _ => {}
        }
    }

    async fn set_password_from(&self, address: &str, link: &str) -> u16 {
        let body = json!({ "token": link, "new_password": NEW });
        self.post("/api/accounts/reset_password/", &body).from(address).send().await.status.as_u16()
    }
}

on_both! {
    async fn five_hundred_parallel_wrong_passwords_reach_argon2_at_most_ten_times_r87(app: App) {
        let mut config = app.config.clone();
        hash_like_the_program(&mut config);
        (config.password.hashing_queue, config.password.hashing_timeout) = (500, Duration::from_mins(5));
        (config.rate_limit.account_free_failures, config.rate_limit.account_delay) = (10, Duration::from_mins(15));
        let app = app.restart_with(config).await;
        app.register("ann").await;
        let siblings = if app.backend == Backend::Postgres { vec![app.sibling().await, app.sibling().await] } else { vec![] };
        let all: Vec<&App> = siblings.iter().chain([&app]).collect();
        let before: u64 = all.iter().map(|app| app.service.hashes_run()).sum();
        let body = json!({ "email": "ann", "password": "wrong" });
        let calls = (0..500).map(|n| all[n % all.len()].post(AUTH, &body).from(&some_address()).send());
        let answers = join_all(calls).await;
        let hashes: u64 = all.iter().map(|app| app.service.hashes_run()).sum::<u64>() - before;
        let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
        assert_eq!((hashes, count(400), count(429)), (10, 10, 490));
    }
}

on_both! {
    async fn an_account_waits_longer_after_each_failure_up_to_a_quarter_of_an_hour_r92(app: App) {
        app.register("ann").await;
        let session = app.token("ann").await;
        for _ in 0..5 {
            assert_eq!(app.log_in("ann", "wrong").await.status, 400);
        }
        let mut waits = Vec::new();
        for _ in 0..13 {
            let answer = app.log_in("ann", PASSWORD).await;
            assert_eq!(answer.status, 429, "even with the right password");
            let wait: u64 = answer.header("retry-after").parse().unwrap();
            waits.push(wait);
            app.clock.advance(Duration::from_secs(wait));
            assert_eq!(app.log_in("ann", "wrong").await.status, 400);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
        assert_eq!(app.me(&session).await, 200, "a session stays active");
        app.clock.advance(Duration::from_mins(15));
        assert_eq!(app.log_in_from(HOME, "ann", PASSWORD).await.status, 200, "the owner can log in");
        assert_eq!(app.log_in_from(HOME, "ann", "wrong").await.status, 400, "and has free failures again: the network is known now");
        assert_eq!(app.log_in_from(HOME, "ann", PASSWORD).await.status, 200);
        assert_eq!(app.log_in("ann", "wrong").await.status, 400);
        assert_eq!(app.log_in("ann", PASSWORD).await.status, 429, "strangers can't");
    }
}

on_both! {
    async fn real_and_ghost_accounts_are_held_back_alike_r13_r88(app: App) {
        app.register("ann").await;
        let mut shapes = Vec::new();
        for names in [["ann", "ANN@example.org", " Ann "], ["ghost@example.org", "Ghost@EXAMPLE.org", " ghost@example.org"]] {
            for n in 0..5 {
                assert_eq!(app.log_in(names[n % 3], "wrong").await.status, 400);
            }
            for name in names {
                let answer = app.log_in(name, PASSWORD).await;
                assert_eq!(answer.status, 429, "{name}: all spellings share one count");
                shapes.push(answer.shape());
            }
        }
        shapes.dedup();
        assert_eq!(shapes.len(), 1, "{shapes:?}");
    }
}

on_both! {
    async fn the_page_and_the_api_share_their_throttles_r15(app: App) {
        app.register("ann").await;
        for _ in 0..5 {
            assert_eq!(app.log_in("ann", "wrong").await.status, 400);
        }
        let page = app.post("/fn/login", &json!({ "email": "ann", "password": PASSWORD })).from(&some_address()).send().await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(page.shape(), @r#"
            429 Too Many Requests
            retry-after: 1
            cache-control: no-store
            content-type: application/json
            vary: Authorization, Origin, Sec-Fetch-Site
            {"rate_limited":{"retry_after":1}}
            "#);
        }
    }
}

on_both! {
    async fn an_address_has_ten_logins_and_then_ten_a_minute_r91_r93(app: App) {
        app.register("ann").await;
        let log_in = |who: String| app.post(AUTH, &json!({ "email": who, "password": PASSWORD })).from("192.0.2.1").send();
        for n in 0..10 {
            assert_eq!(log_in(format!("ghost{n}")).await.status, 400);
        }
        let refused = log_in("ann".to_owned()).await;
        assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, "6"));
        app.clock.advance(Duration::from_secs(6));
        assert_eq!(log_in("ann".to_owned()).await.status, 200);
        assert_eq!(log_in("ann".to_owned()).await.status, 429, "R91: a success resets nothing");
        app.clock.advance(Duration::from_mins(1));
        for n in 0..10 {
            assert_eq!(log_in(format!("phantom{n}")).await.status, 400);
        }
        assert_eq!(log_in("ann".to_owned()).await.status, 429);
    }
}

on_both! {
    async fn an_address_has_five_registrations_and_then_twenty_an_hour_r93(app: App) {
        let register = |n: u32| {
            let body = json!({ "email": format!("a{n}@example.org"), "username": format!("ann{n}"), "password": PASSWORD });
            app.post(REGISTER, &body).from("192.0.2.1").send()
        };
        let weak = json!({ "email": "a@example.org", "username": "ann", "password": "password" });
        for _ in 0..8 {
            assert_eq!(app.post(REGISTER, &weak).from("192.0.2.1").send().await.status, 400, "a try with a weak password isn't counted");
        }
        for n in 0..5 {
            assert_eq!(register(n).await.status, 200);
        }
        let refused = register(5).await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(refused.shape(), @r#"
            429 Too Many Requests
            retry-after: 180
            cache-control: no-store
            content-type: application/json; charset=utf-8
            vary: Authorization, Origin, Sec-Fetch-Site
            {"status":"fail","errors":{"account":["Too many attempts. Try again in 3 minutes."]}}
            "#);
        }
        let body = json!({ "email": "b@example.org", "username": "bob", "password": PASSWORD });
        assert_eq!(app.post("/fn/register", &body).from("192.0.2.1").send().await.status, 429, "the page, too");
        app.clock.advance(Duration::from_mins(3));
        assert_eq!(register(6).await.status, 200);
        assert_eq!(register(7).await.status, 429);
    }
}

on_both! {
    async fn throttles_survive_a_restart_r93(app: App) {
        app.register("ann").await;
        for _ in 0..5 {
            assert_eq!(app.log_in("ann", "wrong").await.status, 400);
        }
        let app = app.restart().await;
        assert_eq!(app.log_in("ann", PASSWORD).await.status, 429);
    }
}

on_both! {
    async fn nothing_that_a_stranger_chooses_resets_a_throttle_r89_r90(app: App) {
        for n in 0..30_u32 {
            let body = json!({ "email": format!("ghost{n}"), "password": "x", format!("extra{n}"): n });
            let answer = app.post(AUTH, &body)
                // Addresses that the client writes before the trusted proxy's entry are ignored.
                .header("x-forwarded-for", format!("203.0.113.{n}, 192.0.2.1"))
                .header("forwarded", format!("for=203.0.113.{n}"))
                .header("x-real-ip", format!("203.0.113.{n}"))
                .header("user-agent", format!("agent {n}"))
                .send()
                .await;
            assert_eq!(answer.status.as_u16(), if n < 10 { 400 } else { 429 });
        }
    }
}

on_both! {
    async fn an_attempt_that_was_overtaken_resets_nothing_r87(app: App) {
        let (moment, mut waits) = (Duration::from_millis(3), 0);
        for n in 0..30 {
            let body = json!({ "email": format!("ghost{n}"), "password": "x" });
            // Each attempt reads the clock slightly earlier than the one before, as concurrent requests do.
            app.clock.go_back(moment);
            let answer = app.post(AUTH, &body).from("192.0.2.1").send().await;
            waits += u32::from(answer.status == 429);
        }
        assert!(waits >= 20, "ten succeeded, and no more: {waits}");
        for n in 0..20 {
            app.clock.go_back(moment);
            let expected = if n < 5 { 400 } else { 429 };
            assert_eq!(app.log_in("phantom", "x").await.status, expected, "attempt {n}");
        }
    }
}

on_both! {
    async fn a_clock_put_back_locks_nobody_out_r99(app: App) {
        app.register("ann").await;
        app.clock.advance(Duration::from_hours(8760));
        for _ in 0..5 {
            assert_eq!(app.log_in("ann", "wrong").await.status, 400);
        }
        for n in 0..11 {
            let body = json!({ "email": format!("ghost{n}"), "password": "x" });
            app.post(AUTH, &body).from("192.0.2.1").send().await;
        }
        app.clock.go_back(Duration::from_hours(8760));
        let body = json!({ "email": "ann", "password": PASSWORD });
        assert_eq!(app.post(AUTH, &body).from("192.0.2.1").send().await.status, 200);
    }
}

on_both! {
    async fn strangers_who_guess_keep_no_owner_out_of_a_network_that_is_known_r92(app: App) {
        app.register("ann").await;
        let known = ["192.0.2.7", "2001:db8:1:2::7"];
        for home in known {
            assert_eq!(app.log_in_from(home, "ann", PASSWORD).await.status, 200);
        }
        // Sixty networks that guess at every moment.
        for round in 0..5 {
            app.guesses("ann", 60).await;
            for (home, name) in [(known[0], "ann"), (known[1], "ann@example.org")] {
                assert_eq!(app.log_in_from(home, name, PASSWORD).await.status, 200, "round {round}, {home}");
            }
            app.clock.advance(Duration::from_secs(13));
        }
        // Then one guess in each window, when the wait is at its maximum.
        app.guess_up_to_the_longest_wait("ann").await;
        for _ in 0..3 {
            assert_eq!(app.guesses("ann", 2).await, [400, 429]);
            assert_eq!(app.log_in_from(known[0], "ann", PASSWORD).await.status, 200);
            app.clock.advance(Duration::from_mins(15));
        }
    }
}

on_both! {
    async fn a_known_network_is_held_back_by_a_count_of_its_own_r87_r92(app: App) {
        app.register("ann").await;
        assert_eq!(app.log_in_from(HOME, "ann", PASSWORD).await.status, 200);
        for _ in 0..5 {
            assert_eq!(app.log_in_from(HOME, "ann", "wrong").await.status, 400);
        }
        assert_eq!(app.log_in_from(HOME, "ann", PASSWORD).await.status, 429);
        assert_eq!(app.log_in("ann", PASSWORD).await.status, 200, "strangers have their own count");
        app.clock.advance(Duration::from_hours(24 * 90));
        assert_eq!(app.guesses("ann", 6).await.last(), Some(&429));
        assert_eq!(app.log_in_from(HOME, "ann", PASSWORD).await.status, 429, "the network is forgotten after 90 days");
    }
}

on_both! {
    async fn an_account_knows_its_ten_latest_networks_and_no_more_r92(app: App) {
        app.register("ann").await;
        for home in 1..=11 {
            app.clock.advance(Duration::from_secs(1));
            assert_eq!(app.log_in_from(&format!("192.0.2.{home}"), "ann", PASSWORD).await.status, 200);
        }
        app.guesses("ann", 6).await;
        assert_eq!(app.log_in_from("192.0.2.1", "ann", PASSWORD).await.status, 429, "the oldest was removed");
        for home in 2..=11 {
            assert_eq!(app.log_in_from(&format!("192.0.2.{home}"), "ann", PASSWORD).await.status, 200, "{home}");
        }
    }
}

on_both! {
    async fn after_a_new_password_by_mail_the_owner_gets_in_whatever_strangers_do_r92(app: App) {
        app.register("ann").await;
        app.guess_up_to_the_longest_wait("ann").await;
        let link = app.link_to_a_new_password("ann@example.org").await;
        assert_eq!(app.guesses("ann", 2).await, [400, 429]);
        assert_eq!(app.set_password_from("198.51.100.9", &link).await, 200);
        app.guesses("ann", 60).await;
        assert_eq!(app.log_in_from("198.51.100.9", "ann", PASSWORD).await.status, 400, "the former one is still known");
        assert_eq!(app.log_in_from("198.51.100.9", "ann", NEW).await.status, 200);
        assert_eq!(app.log_in_from("198.51.100.10", "ann", NEW).await.status, 429, "a link helps no other person");
    }
}

on_both! {
    async fn strangers_who_guess_keep_no_owner_from_proving_the_password_r92(app: App) {
        app.register("ann").await;
        let token = app.token("ann").await;
        app.guess_up_to_the_longest_wait("ann").await;
        assert_eq!(app.guesses("ann", 2).await, [400, 429]);
        app.proof(&token).await;
        let verify = json!({ "token": token_of(&app.deliver_one().await), "password": PASSWORD });
        let confirmed = app.post("/api/accounts/verify_email/", &verify).from(&some_address()).send().await;
        assert_eq!(confirmed.status, 200, "by a link as well: {}", confirmed.text);
    }
}

on_both! {
    async fn a_throttle_tells_no_stranger_of_an_account_or_of_what_its_owner_does_r13_r88(app: App) {
        let people = ["idle", "ghost", "ann", "bob", "cyd", "dan", "eve"];
        let mut answers = Vec::new();
        // Guessers know the email, or the username.
        for domain in ["@example.org", ""] {
            let names = people.map(|person| if domain.is_empty() { format!("{person}.2") } else { person.to_owned() });
            for name in names.iter().filter(|name| !name.starts_with("ghost")) {
                app.register(name).await;
            }
            app.deliver().await;
            for (person, name) in people.into_iter().zip(&names) {
                let typed = format!("{name}{domain}");
                if person == "bob" {
                    assert_eq!(app.log_in_from(HOME, name, PASSWORD).await.status, 200);
                }
                let mut seen = app.guesses(&typed, 4).await;
                app.act_as(person, name).await;
                seen.extend(app.guesses(&typed, 2).await);
                answers.push(seen);
            }
        }
        answers.dedup();
        assert_eq!(answers, [[400, 400, 400, 400, 400, 429]]);
    }
}

on_both! {
    async fn a_name_that_is_held_back_stays_so_when_it_becomes_an_accounts_r88(app: App) {
        assert_eq!(app.guesses("ann@example.org", 6).await.last(), Some(&429));
        app.register("ann").await;
        assert_eq!(app.log_in("ann@example.org", PASSWORD).await.status, 429);
        assert_eq!(app.guesses("bob", 6).await.last(), Some(&429));
        app.register("bob").await;
        assert_eq!(app.log_in("bob", PASSWORD).await.status, 429);
        app.register("cyd").await;
        let token = app.token("cyd").await;
        assert_eq!(app.guesses("cydney", 6).await.last(), Some(&429));
        let renamed = app.ask("POST", "/api/accounts/change_username/", &token, &json!({ "username": "cydney" })).await;
        assert_eq!((renamed.status.as_u16(), app.log_in("cydney", PASSWORD).await.status.as_u16()), (200, 429));
    }
}

/// Restarts the app with another time limit for the wait in the hashing queue.
async fn with_hashing_timeout(app: App, timeout: Duration) -> App {
    app.restart_changed(|config| {
        hash_like_the_program(config);
        config.password.hashing_timeout = timeout;
    })
    .await
}

on_both! {
    async fn right_logins_of_one_account_at_the_same_moment_all_succeed_r87(app: App) {
        let app = with_hashing_timeout(app, Duration::from_mins(5)).await;
        app.register("ann").await;
        let sibling = if app.backend == Backend::Postgres { Some(app.sibling().await) } else { None };
        let all: Vec<&App> = sibling.iter().chain([&app]).collect();
        // With all free failures, with one left, and with none, when attempts run one at a time.
        for failures in [0, 4, 1] {
            assert!(app.guesses("ann", failures).await.iter().all(|status| *status == 400));
            if failures == 1 {
                app.clock.advance(Duration::from_secs(1));
            }
            let logins = join_all((0..20).map(|n| all[n % all.len()].log_in("ann", PASSWORD))).await;
            let statuses: Vec<u16> = logins.iter().map(|answer| answer.status.as_u16()).collect();
            assert_eq!(statuses, [200; 20], "after {failures} more failures");
        }
        assert_eq!(app.guesses("ann", 2).await, [400, 429], "strangers' failures are unchanged");
    }
}

on_both! {
    async fn of_guesses_at_one_moment_only_one_is_tried_once_there_was_a_wait_r87(app: App) {
        let app = with_hashing_timeout(app, Duration::from_mins(5)).await;
        app.register("ann").await;
        let sibling = if app.backend == Backend::Postgres { Some(app.sibling().await) } else { None };
        let all: Vec<&App> = sibling.iter().chain([&app]).collect();
        let count = |answers: &[Response], status: u16| answers.iter().filter(|answer| answer.status == status).count();
        let first = join_all((0..40).map(|n| all[n % all.len()].log_in("ann", "wrong"))).await;
        assert_eq!((count(&first, 400), count(&first, 429)), (5, 35));
        app.clock.advance(Duration::from_secs(1));
        let second = join_all((0..40).map(|n| all[n % all.len()].log_in("ann", "wrong"))).await;
        assert_eq!((count(&second, 400), count(&second, 429)), (1, 39));
    }
}

on_both! {
    async fn an_attempt_whose_server_has_died_counts_as_failed_after_its_time_r87(app: App) {
        let app = with_hashing_timeout(app, Duration::from_millis(100)).await;
        let rule = app.service.policy().account;
        app.register("ann").await;
        assert_eq!(app.log_in_from(HOME, "ann", PASSWORD).await.status, 200);
        let key = app.known_network_key("ann").await;
        // The state after a server ends during five logins.
        for _ in 0..5 {
            assert_eq!(app.store.reserve_login(&key, rule, app.now()).await.unwrap(), Reservation::Now);
        }
        let waited = app.log_in_from(HOME, "ann", PASSWORD).await;
        assert_eq!((waited.status.as_u16(), waited.header("retry-after")), (429, "1"), "the wait was in vain");
        app.clock.advance(rule.settled_within);
        let held = app.log_in_from(HOME, "ann", PASSWORD).await;
        assert_eq!(held.status, 429, "five guesses may have been made");
        app.clock.advance(Duration::from_secs(1));
        assert_eq!(app.log_in_from(HOME, "ann", PASSWORD).await.status, 200);
    }
}

on_both! {
    async fn a_login_that_is_broken_off_is_settled_r87(app: App) {
        app.register("ann").await;
        assert_eq!(app.log_in_from(HOME, "ann", PASSWORD).await.status, 200);
        let key = app.known_network_key("ann").await;
        for _ in 0..5 {
            let mut broken_off = Box::pin(app.log_in_from(HOME, "ann", PASSWORD));
            tokio::select! {
                biased;
                () = until("it is counted", async || app.reserved(&key).await > 0) => {}
                answer = &mut broken_off => assert_eq!(answer.status, 200),
            }
            drop(broken_off);
            until("the attempt is settled", async || app.reserved(&key).await == 0).await;
        }
    }
}

on_both! {
    async fn wider_networks_of_ipv6_have_allowances_of_their_own_r89(app: App) {
        let mut tried = 0;
        let mut last_of = async |addresses: std::ops::Range<u32>, form: fn(u32) -> String| {
            let mut allowed = 0;
            for address in addresses {
                for _ in 0..10 {
                    tried += 1;
                    let answer = app.log_in_from(&form(address), &format!("ghost{tried}"), "x").await;
                    allowed += u32::from(answer.status == 400);
                }
            }
            allowed
        };
        assert_eq!(last_of(0..1, |_| "2001:db8::1".to_owned()).await, 10, "a /64 is one address");
        assert_eq!(last_of(1..4, |lan| format!("2001:db8:0:{lan}::1")).await, 10, "a /56 has twice as much");
        assert_eq!(last_of(1..12, |home| format!("2001:db8:0:{home:x}00::1")).await, 60, "a /48 has eight times as much");
        let refused = app.log_in_from("2001:db8:0:ff00::1", "ann", "x").await;
        assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, "1"), "its limit refills as much faster");
        assert_eq!(app.log_in_from("2001:db8:1::1", "ann", "x").await.status, 400, "the next network has its own limit");
    }
}

on_both! {
    async fn a_token_has_three_hundred_calls_a_minute_on_the_api_and_the_page_together_r93(app: App) {
        let mut config = app.config.clone();
        config.rate_limit.token_calls_per_minute = default_config().rate_limit.token_calls_per_minute;
        let app = app.restart_with(config).await;
        app.register("ann").await;
        let (token, other) = (app.token("ann").await, app.token("ann").await);
        let page = || app.post("/fn/me", &json!({})).bearer(&token).send();
        for call in 0..300 {
            let status = if call % 2 == 0 { app.me(&token).await } else { page().await.status };
            assert_eq!(status, 200, "call {call}");
        }
        let refused = app.get("/api/accounts/me/").bearer(&token).send().await;
        assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, "1"), "{}", refused.text);
        assert_eq!(page().await.status, 429);
        assert_eq!(app.me(&other).await, 200, "another token has its own limit");
        app.clock.advance(Duration::from_millis(200));
        assert_eq!((app.me(&token).await.as_u16(), app.me(&token).await.as_u16()), (200, 429));
        app.clock.advance(Duration::from_secs(1));
        let request = json!({ "name": "a script", "scope": "read", "days": 1 });
        let made = app.ask("POST", "/api/accounts/tokens/", &token, &request).await;
        let personal = made.json()["token"].as_str().unwrap().to_owned();
        for call in 0..300 {
            assert_eq!(app.me(&personal).await, 200, "call {call}");
        }
        assert_eq!(app.me(&personal).await, 429);
    }
}
