//! How much of the server one account or one address can occupy.

use futures_util::{StreamExt, stream::FuturesUnordered};
use vestibule::{
    domain::token::{Token, TokenKind},
    store::LoginCounter,
};

use super::*;

on_both! {
    async fn logins_that_wait_for_one_account_leave_places_for_others_r102(app: App) {
        let mut config = app.config.clone();
        hash_like_the_program(&mut config);
        // Twenty may wait, and ten for one account.
        (config.password.hashing_queue, config.password.hashing_timeout) = (20, Duration::from_mins(1));
        let app = app.restart_with(config).await;
        let mut counters = Vec::new();
        for name in ["ann", "bob"] {
            app.register(name).await;
            let counter = LoginCounter { key: app.service.unknown_network_key(&format!("{name}@example.org")), owners: false };
            for _ in 0..5 {
                let turn = app.store.reserve_login(&counter.key, app.service.policy().account, app.now()).await.unwrap();
                assert_eq!(turn, Reservation::Now);
            }
            counters.push(counter);
        }
        let mut logins: FuturesUnordered<_> = (0..16).map(|_| app.log_in("ann", PASSWORD)).collect();
        for _ in 0..6 {
            let refused = logins.next().await.unwrap();
            assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, "1"), "at once");
        }
        logins.extend((0..3).map(|_| app.log_in("bob", PASSWORD)));
        let settle = async {
            for counter in counters.iter().flat_map(|counter| std::iter::repeat_n(counter, 5)) {
                app.store.settle_right(counter).await.unwrap();
            }
        };
        let (waited, ()) = tokio::join!(logins.collect::<Vec<Response>>(), settle);
        let statuses: Vec<u16> = waited.iter().map(|answer| answer.status.as_u16()).collect();
        assert_eq!(statuses, [200; 13], "the waiting logins get their turn, and another account found a place");
    }
}

on_both! {
    async fn an_address_tries_sixty_links_that_do_not_work_and_then_one_a_second_r93(app: App) {
        app.register("ann").await;
        let good = token_of(&app.deliver_one().await);
        let dead = Token::generate(TokenKind::Link, || 7);
        let check = async |link: &str, address: &str| {
            let answer = app.post("/fn/check_link", &json!({ "token": link })).from(address).send().await;
            (answer.status.as_u16(), answer.text)
        };
        for _ in 0..70 {
            assert_eq!(check(&good, HOME).await, (200, "true".to_owned()), "a valid link isn't counted");
        }
        for _ in 0..60 {
            assert_eq!(check(dead.expose(), HOME).await, (200, "false".to_owned()));
        }
        let body = json!({ "token": dead.expose(), "password": PASSWORD, "new_password": NEW });
        let endpoints = ["verify_email", "reset_password", "confirm_email", "undo_email"];
        for path in endpoints.map(|endpoint| format!("/api/accounts/{endpoint}/")).into_iter().chain(["/fn/check_link".to_owned()]) {
            let refused = app.post(&path, &body).from(HOME).send().await;
            assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, "1"), "{path}");
        }
        assert_eq!(check(&good, "192.0.2.8").await.0, 200, "another address has its own limit");
        app.clock.advance(Duration::from_secs(1));
        assert_eq!((check(dead.expose(), HOME).await.0, check(&good, HOME).await.0), (200, 200));
        assert_eq!((check(dead.expose(), HOME).await.0, check(&good, HOME).await.0), (429, 429));
    }
}
