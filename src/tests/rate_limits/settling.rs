//! Attempts that are cancelled, swept, or counted under another name.

use std::time::Duration;

use sqlx::{Connection, Executor};
use vestibule::{
    domain::time::Timestamp,
    store::{Cutoffs, Expired},
};

use super::{HOME, LONGEST_WAIT};
use crate::util::{App, Backend, PASSWORD, Request, Response, is_lock_awaited, macros::both, until};

both! {
    an_attempt_lost_in_a_crash_counts_as_failed_later_r87,
    a_cancelled_login_is_settled_r87,
    a_login_cancelled_while_waiting_adds_no_failure_r87,
    a_sweep_keeps_attempts_in_progress_r87,
    a_new_username_allows_no_further_guesses_r87,
}

impl App {
    /// The key of the failed logins from the account's one known network.
    async fn known_network_key(&self, username: &str) -> String {
        let sql = "SELECT key FROM known_networks JOIN users ON users.id = user_id WHERE username_key = $1";
        self.query_text(sql, username).await
    }

    /// The number of attempts in progress.
    async fn count_reserved(&self, key: &str) -> i64 {
        let sql = "SELECT CAST(COALESCE(MAX(reserved), 0) AS TEXT) FROM account_throttles WHERE key = $1";
        self.query_text(sql, key).await.parse().unwrap()
    }

    /// The number of stored failures.
    async fn count_failures(&self, key: &str) -> i64 {
        let sql = "SELECT CAST(COALESCE(MAX(failures), 0) AS TEXT) FROM account_throttles WHERE key = $1";
        self.query_text(sql, key).await.parse().unwrap()
    }

    async fn count_sessions(&self, username: &str) -> i64 {
        let sql = "SELECT CAST(COUNT(*) AS TEXT) FROM sessions JOIN users ON users.id = user_id \
                   WHERE username_key = $1";
        self.query_text(sql, username).await.parse().unwrap()
    }
}

/// Sends a request, and cancels it once a condition holds. Returns the response if it arrived earlier.
async fn cancel_once(request: Request, what: &str, condition: impl AsyncFnMut() -> bool) -> Option<Response> {
    tokio::select! {
        biased;
        () = until(what, condition) => None,
        response = request.send() => Some(response),
    }
}

async fn an_attempt_lost_in_a_crash_counts_as_failed_later_r87(app: App) {
    let app = app.with_hashing_timeout(Duration::from_millis(100)).await;
    let ann = app.register("ann").await;
    ann.assert_can_log_in_from(HOME, PASSWORD).await;
    let key = app.known_network_key("ann").await;
    // A server that was killed during five logins leaves this state.
    app.reserve_attempts(&key, 5).await;
    // A login waits for the end of these attempts, and is then rejected.
    assert_eq!(ann.try_log_in(PASSWORD).from(HOME).await.assert_rate_limited(), 1);

    app.clock.advance(app.service.policy().account.settled_within);
    // The attempts count as failed, because each may have compared a wrong password.
    ann.assert_rate_limited_from(HOME, PASSWORD).await;
    app.clock.advance(Duration::from_secs(1));
    ann.assert_can_log_in_from(HOME, PASSWORD).await;
}

async fn a_cancelled_login_is_settled_r87(app: App) {
    let ann = app.register("ann").await;
    ann.assert_can_log_in_from(HOME, PASSWORD).await;
    let key = app.known_network_key("ann").await;
    for _ in 0..5 {
        let login = ann.try_log_in(PASSWORD).from(HOME);
        let early = cancel_once(login, "it is counted", async || app.count_reserved(&key).await > 0).await;
        if let Some(response) = early {
            response.assert_status(200);
        }
        until("the attempt is settled", async || app.count_reserved(&key).await == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_cancelled_as_its_session_starts_is_settled_once_r87() {
    let app = App::start(Backend::Postgres).await;
    let ann = app.register("ann").await;
    ann.assert_can_log_in_from(HOME, PASSWORD).await;
    let key = app.known_network_key("ann").await;
    app.reserve_attempts(&key, 1).await;

    let (mut other, mut observer) = (app.observer().await, app.observer().await);
    let mut holder = other.begin().await.unwrap();
    // A login counts its attempt without this lock, but needs the lock to create its session.
    holder.execute("SELECT id FROM users FOR UPDATE").await.unwrap();
    let login = ann.try_log_in(PASSWORD).from(HOME);
    let early = cancel_once(login, "the login waits", async || is_lock_awaited(&mut observer).await).await;
    assert!(early.is_none(), "{early:?}");
    holder.rollback().await.unwrap();

    until("its session", async || app.count_sessions("ann").await == 2).await;
    ann.assert_can_log_in_from(HOME, PASSWORD).await;
    assert_eq!(app.count_reserved(&key).await, 1, "the other attempt is still in progress");
}

async fn a_login_cancelled_while_waiting_adds_no_failure_r87(app: App) {
    let rule = app.service.policy().account;
    let ann = app.register("ann").await;
    ann.assert_can_log_in_from(HOME, PASSWORD).await;
    let key = app.known_network_key("ann").await;
    app.reserve_attempts(&key, 5).await;

    let logins_at_home = async || {
        app.query_text("SELECT CAST(full_at AS TEXT) FROM address_throttles WHERE key = $1", "login:192.0.2.7").await
    };
    let before = logins_at_home().await;
    let login = ann.try_log_in(PASSWORD).from(HOME);
    let early = cancel_once(login, "the login waits", async || logins_at_home().await != before).await;
    assert!(early.is_none(), "{early:?}");

    for _ in 0..5 {
        app.store.settle_failed(&key, rule, app.now(), None).await.unwrap();
    }
    assert_eq!(app.count_reserved(&key).await, 0);
    assert_eq!(app.count_failures(&key).await, 5);
    app.clock.advance(rule.first_delay);
    ann.assert_can_log_in_from(HOME, PASSWORD).await;
}

async fn a_sweep_keeps_attempts_in_progress_r87(mut app: App) {
    let (mut maintenance, rule) = (app.maintenance.take().unwrap(), app.service.policy().account);
    for key in ["before", "after"] {
        app.reserve_attempts(key, 1).await;
        app.store.settle_failed(key, rule, app.now(), None).await.unwrap();
    }
    let moment = Duration::from_secs(1);
    app.clock.advance(rule.reset_after.saturating_sub(moment));
    app.reserve_attempts("before", 1).await;
    app.clock.advance(2 * moment);
    maintenance.sweep_all().await.unwrap();
    assert_eq!(app.count_reserved("before").await, 1, "failures are forgotten while an attempt is in progress");

    app.clock.advance(rule.settled_within.saturating_sub(moment));
    app.reserve_attempts("after", 1).await;
    app.clock.advance(moment);
    maintenance.sweep_all().await.unwrap();
    assert_eq!(app.count_reserved("after").await, 1, "failures were forgotten before the attempt");
}

async fn a_new_username_allows_no_further_guesses_r87(app: App) {
    let (ann, anna) = (app.register("ann").await, app.user("anna"));
    let mut phone = ann.log_in().await;
    app.pass_longest_wait(&ann).await;
    anna.guess_times(1).await;
    phone.confirm_password().await;
    phone.change_username("anna").await.assert_status(200);
    app.clock.advance(LONGEST_WAIT);
    anna.assert_guesses_left(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_skips_rows_locked_by_another_transaction() {
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
