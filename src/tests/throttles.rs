//! How attempts are held back, on both databases and through both doors.

use std::time::Duration;

use serde_json::json;

use crate::{
    on_both,
    util::{App, Backend, PASSWORD, some_address},
};

const AUTH: &str = "/api/accounts/api_auth/";
const REGISTER: &str = "/api/accounts/api_register/";

on_both! {
    async fn five_hundred_parallel_wrong_passwords_reach_argon2_at_most_ten_times_r87(app: App) {
        let mut config = app.config.clone();
        (config.password.hashing_queue, config.password.hashing_patience) = (500, Duration::from_mins(5));
        (config.throttle.account_free_failures, config.throttle.account_delay) = (10, Duration::from_mins(15));
        let app = app.restart_with(config).await;
        app.register("ann").await;
        let siblings = if app.backend == Backend::Postgres { vec![app.sibling().await, app.sibling().await] } else { vec![] };
        let all: Vec<&App> = siblings.iter().chain([&app]).collect();
        let before: u64 = all.iter().map(|app| app.service.hashes_run()).sum();
        let body = json!({ "email": "ann", "password": "wrong" });
        let calls = (0..500).map(|n| all[n % all.len()].post(AUTH, &body).from(&some_address()).send());
        let answers = futures_util::future::join_all(calls).await;
        let spent: u64 = all.iter().map(|app| app.service.hashes_run()).sum::<u64>() - before;
        let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
        assert_eq!((spent, count(400), count(429)), (10, 10, 490));
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
        assert_eq!(app.me(&session).await, 200, "a session lives on");
        app.clock.advance(Duration::from_mins(15));
        assert_eq!(app.log_in("ann", PASSWORD).await.status, 200, "its owner gets in");
        assert_eq!(app.log_in("ann", "wrong").await.status, 400, "and starts afresh");
        assert_eq!(app.log_in("ann", PASSWORD).await.status, 200);
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
            {"throttled":{"retry_after":1}}
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
        assert_eq!(log_in("ann".to_owned()).await.status, 429, "R91: a success gives nothing back");
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
            assert_eq!(app.post(REGISTER, &weak).from("192.0.2.1").send().await.status, 400, "a weak try costs nothing");
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
        assert_eq!(app.post("/fn/register", &body).from("192.0.2.1").send().await.status, 429, "the other door too");
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
                // What a client writes to the left of the trusted proxy's word counts for nothing.
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
            // Each reads the clock a little earlier than the one before, as requests side by side do.
            app.clock.go_back(moment);
            let answer = app.post(AUTH, &body).from("192.0.2.1").send().await;
            waits += u32::from(answer.status == 429);
        }
        assert!(waits >= 20, "ten got through, and no more: {waits}");
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
