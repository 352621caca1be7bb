//! Attempts that are interrupted, swept, or counted under another name.

use sqlx::Executor;
use vestibule::{
    domain::time::Timestamp,
    store::{Cutoffs, Expired},
};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_is_broken_off_while_its_session_begins_is_settled_once_r87() {
    let app = App::start(Backend::Postgres).await;
    app.register("ann").await;
    assert_eq!(app.log_in_from(HOME, "ann", PASSWORD).await.status, 200);
    let key = app.known_network_key("ann").await;
    let another = app.store.reserve_login(&key, app.service.policy().account, app.now()).await.unwrap();
    assert_eq!(another, Reservation::Now);
    let DatabaseUrl::Postgres(url) = &app.config.database.url else { panic!("PostgreSQL") };
    let mut holder = PgConnection::connect(url).await.unwrap();
    sqlx::query("BEGIN").execute(&mut holder).await.unwrap();
    // A login counts its attempt without this lock, and needs it to create its session.
    sqlx::query("SELECT id FROM users FOR UPDATE").execute(&mut holder).await.unwrap();
    let mut observer = app.observer().await;
    let mut broken_off = Box::pin(app.log_in_from(HOME, "ann", PASSWORD));
    tokio::select! {
        biased;
        () = until("the login waits", async || is_lock_awaited(&mut observer).await) => {}
        answer = &mut broken_off => panic!("it ended before: {}", answer.text),
    }
    drop(broken_off);
    sqlx::query("ROLLBACK").execute(&mut holder).await.unwrap();
    let sessions =
        "SELECT CAST(COUNT(*) AS TEXT) FROM sessions JOIN users ON users.id = user_id WHERE username_key = $1";
    until("its session", async || app.query(sessions, "ann").await == "2").await;
    assert_eq!(app.log_in_from(HOME, "ann", PASSWORD).await.status, 200);
    assert_eq!(app.reserved(&key).await, 1, "the other attempt is still in progress");
}

on_both! {
    async fn a_login_that_goes_away_while_it_waits_costs_nothing_r87(app: App) {
        let rule = app.service.policy().account;
        app.register("ann").await;
        assert_eq!(app.log_in_from(HOME, "ann", PASSWORD).await.status, 200);
        let key = app.known_network_key("ann").await;
        for _ in 0..5 {
            assert_eq!(app.store.reserve_login(&key, rule, app.now()).await.unwrap(), Reservation::Now);
        }
        let counted = "SELECT CAST(full_at AS TEXT) FROM address_throttles WHERE key = $1";
        let before = app.query(counted, "login:192.0.2.7").await;
        let mut gone = Box::pin(app.log_in_from(HOME, "ann", PASSWORD));
        tokio::select! {
            biased;
            () = until("the login waits", async || app.query(counted, "login:192.0.2.7").await != before) => {}
            answer = &mut gone => panic!("it didn't wait: {}", answer.text),
        }
        drop(gone);
        for _ in 0..5 {
            app.store.settle_failed(&key, rule, app.now()).await.unwrap();
        }
        assert_eq!((app.reserved(&key).await, app.failures(&key).await), (0, 5));
        app.clock.advance(rule.first_delay);
        assert_eq!(app.log_in_from(HOME, "ann", PASSWORD).await.status, 200);
    }
}

on_both! {
    async fn a_sweep_leaves_attempts_that_are_under_way_r87(app: App) {
        let mut app = app;
        let (mut maintenance, rule) = (app.maintenance.take().unwrap(), app.service.policy().account);
        let reserve = async |key: &str| assert_eq!(app.store.reserve_login(key, rule, app.now()).await.unwrap(), Reservation::Now);
        for key in ["before", "after"] {
            reserve(key).await;
            app.store.settle_failed(key, rule, app.now()).await.unwrap();
        }
        let moment = Duration::from_secs(1);
        app.clock.advance(rule.reset_after.saturating_sub(moment));
        reserve("before").await;
        app.clock.advance(2 * moment);
        maintenance.sweep_all().await.unwrap();
        assert_eq!(app.reserved("before").await, 1, "failures are forgotten while an attempt is in progress");
        app.clock.advance(rule.settled_within.saturating_sub(moment));
        reserve("after").await;
        app.clock.advance(moment);
        maintenance.sweep_all().await.unwrap();
        assert_eq!(app.reserved("after").await, 1, "failures were forgotten before the attempt");
    }
}

on_both! {
    async fn a_new_name_gives_no_further_guesses_r87(app: App) {
        app.register("ann").await;
        let token = app.token("ann").await;
        app.guess_up_to_the_longest_wait("ann").await;
        assert_eq!(app.guesses("anna", 1).await, [400]);
        let token = app.proof(&token).await;
        let renamed = app.ask("POST", "/api/accounts/change_username/", &token, &json!({ "username": "anna" })).await;
        assert_eq!(renamed.status, 200, "{}", renamed.text);
        app.clock.advance(Duration::from_mins(15));
        assert_eq!(app.guesses("anna", 2).await, [400, 429]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_waits_for_no_row_that_another_transaction_holds() {
    let app = App::start(Backend::Postgres).await;
    app.register("ann").await;
    let (mut holder, keys) = (app.observer().await, ["free".to_owned(), "held".to_owned()]);
    let rows = "INSERT INTO address_throttles (key, full_at) VALUES ('free', 0), ('held', 0); \
        INSERT INTO account_throttles (key, failures, delay, last_at) VALUES ('free', 0, 0, 0), ('held', 0, 0, 0); \
        INSERT INTO known_networks (key, user_id, seen_at) \
            SELECT k, id, 0 FROM users, (VALUES ('free'), ('held')) AS keys (k); \
        INSERT INTO sessions (id, user_id, token_hash, name, created_at, last_seen_at, proven_at, expires_at, network) \
            SELECT k, id, CAST(k AS BYTEA), '', 0, 0, 0, 0, '' FROM users, (VALUES ('free'), ('held')) AS keys (k)";
    holder.execute(rows).await.unwrap();
    let hold = "SELECT key FROM address_throttles WHERE key = 'held' FOR UPDATE; \
        SELECT key FROM account_throttles WHERE key = 'held' FOR UPDATE; \
        SELECT key FROM known_networks WHERE key = 'held' FOR UPDATE; \
        SELECT id FROM sessions WHERE id = 'held' FOR UPDATE";
    let mut holding = holder.begin().await.unwrap();
    holding.execute(hold).await.unwrap();
    let long_ago = Timestamp::from_millis(1);
    let cutoffs = Cutoffs { allowances: long_ago, failures: long_ago, networks: long_ago, sessions: long_ago };
    for kind in Expired::ALL {
        assert_eq!(app.store.find_expired(kind, cutoffs, 10).await.unwrap(), keys, "{kind:?}");
        assert_eq!(app.store.purge_expired(kind, &keys, cutoffs).await.unwrap(), 1, "{kind:?}");
    }
    holding.commit().await.unwrap();
    for kind in Expired::ALL {
        assert_eq!(app.store.purge_expired(kind, &keys, cutoffs).await.unwrap(), 1, "{kind:?}: only the other one");
    }
}
