//! The list of accounts for operators, and an account's details, on both databases.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};
use vestibule::{
    domain::{directory::AccountQuery, role::Role},
    error::AppError,
    service::admin::{Command, GroupAction, Reply},
    store::DatabaseUrl,
};

use crate::util::{
    App, Backend, PASSWORD,
    actors::{Client, Device},
    macros::both,
    until,
};

both! {
    only_operators_read_accounts_and_no_secret_is_among_them_r141,
    a_list_agrees_with_a_naive_filter_r149,
    a_rare_filter_examines_a_bounded_number_of_accounts_r149,
    a_whole_email_username_or_id_comes_first_r149,
    a_list_that_grows_shows_nobody_twice_r149,
    an_invalid_parameter_is_rejected,
}

const LIST: &str = "/api/admin/accounts/";

impl App {
    async fn auditor(&self) -> Device {
        self.register("auditor").await;
        self.run_done(Command::Confirm { who: "auditor".to_owned() }).await;
        let role = Some(Role::Auditor);
        self.run_done(Command::SetRole { who: "auditor".to_owned(), role, force: false }).await;
        self.user("auditor").log_in().await
    }

    /// Registers an account that is newer than the others.
    async fn register_later(&self, name: &str) {
        self.clock.advance(Duration::from_millis(1));
        self.register(name).await;
    }

    async fn run_done(&self, command: Command) {
        let reply = self.administer(command).await;
        assert!(!matches!(reply, Reply::Refused { .. } | Reply::NoSuchUser), "{reply:?}");
    }

    async fn group_action(&self, action: GroupAction) {
        self.run_done(Command::Group { action }).await;
    }

    /// Changes the database beside the server.
    async fn execute(&self, sql: &'static str) {
        match &self.config.database.url {
            DatabaseUrl::Sqlite(file) => {
                let mut connection = SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.unwrap();
                connection.execute(sql).await.unwrap();
                connection.close().await.unwrap();
            }
            DatabaseUrl::Postgres(url) => {
                PgConnection::connect(url).await.unwrap().execute(sql).await.unwrap();
            }
        }
    }
}

/// All accounts of a list, and how many requests it took.
async fn walk(device: &Device, query: &str) -> (Vec<Value>, usize) {
    let (mut accounts, mut after, mut requests) = (Vec::new(), String::new(), 0);
    loop {
        let page = device.get(&format!("{LIST}?{query}&after={after}")).await.assert_status(200).json();
        accounts.extend(page["accounts"].as_array().unwrap().iter().cloned());
        requests += 1;
        assert_eq!(page["complete"].as_bool(), Some(page["next"].is_null()), "{page}");
        let Some(next) = page["next"].as_str() else { return (accounts, requests) };
        next.replace('@', "%40").clone_into(&mut after);
    }
}

fn names(accounts: &[Value]) -> Vec<&str> {
    accounts.iter().map(|account| account["username"].as_str().unwrap()).collect()
}

async fn only_operators_read_accounts_and_no_secret_is_among_them_r141(app: App) {
    let auditor = app.auditor().await;
    let ann = app.register("ann").await;
    let phone = ann.log_in().await;
    let script = phone.create_access_token("a script", "read").await;
    ann.assert_cannot_log_in("wrong").await;
    let id = phone.me().await["id"].as_str().unwrap().to_owned();
    for path in [LIST.to_owned(), format!("{LIST}{id}/")] {
        app.get(&path).await.assert_status(401);
        phone.get(&path).await.assert_status(403).assert_code("forbidden");
        let shown = auditor.get(&path).await;
        shown.assert_status(200);
        for secret in ["argon2", "token_hash", &phone.token, &script.token] {
            shown.assert_not_contains(secret);
        }
    }
    let shown = auditor.get(&format!("{LIST}{id}/")).await.json();
    assert_eq!(shown["account"]["email"], "ann@example.org");
    assert_eq!((&shown["account"]["state"], &shown["email_verified_at"]), (&json!("enabled"), &Value::Null));
    assert_eq!(shown["failed_logins"]["count"], 1);
    assert_eq!(shown["sessions"].as_array().unwrap().len(), 1);
    assert!(shown["sessions"][0]["network"].as_str().unwrap().ends_with('x'), "{shown}");
    assert_eq!(shown["access_tokens"][0]["name"], "a script");
    for id in ["018f2f3a-0000-7000-8000-000000000000", "ann", "0"] {
        auditor.get(&format!("{LIST}{id}/")).await.assert_status(404);
    }
}

async fn a_list_agrees_with_a_naive_filter_r149(app: App) {
    let auditor = app.auditor().await;
    for name in ["editors", "Night shift"] {
        app.group_action(GroupAction::Add { name: name.to_owned() }).await;
    }
    let mut rng = StdRng::seed_from_u64(149);
    let parts = ["ann", "bob", "x_y", "c.d", "zoe"];
    for number in 0..60 {
        let part = |rng: &mut StdRng| parts[rng.random_range(0..parts.len())];
        let (username, domain) = (format!("{}{number}", part(&mut rng)), part(&mut rng).replace('_', "-"));
        let (email, password) = (format!("{}.{number}@{domain}.org", part(&mut rng)), PASSWORD.to_owned());
        if rng.random_bool(0.5) {
            let body = json!({ "email": email, "username": username, "password": password });
            app.post("api_register/", &body).with_fresh_address().await.assert_status(200);
        } else {
            let role = rng.random_bool(0.3).then(|| Role::ALL[rng.random_range(0..3)]);
            app.run_done(Command::Add { email, username: username.clone(), password, role }).await;
        }
        if rng.random_bool(0.2) {
            app.run_done(Command::Disable { who: username.clone(), force: true }).await;
        }
        for group in ["editors", "Night shift"] {
            if rng.random_bool(0.3) {
                app.group_action(GroupAction::Join { name: group.to_owned(), who: username.clone() }).await;
            }
        }
    }
    let (all, _) = walk(&auditor, "sort=oldest&limit=200").await;
    assert_eq!(all.len(), 61);
    for _ in 0..150 {
        let pick = |rng: &mut StdRng, options: &[&'static str]| options[rng.random_range(0..options.len())];
        let state = pick(&mut rng, &["", "", "enabled", "disabled"]);
        let role = pick(&mut rng, &["", "", "", "none", "any", "admin", "support"]);
        let email = pick(&mut rng, &["", "", "confirmed", "unconfirmed"]);
        let group = pick(&mut rng, &["", "", "Editors", "night shift", "unknown"]);
        let search = pick(&mut rng, &["", "", "ANN", "x_y", "x%y", "1", ".org", "c.d", "!", "zoe5"]);
        let sort = pick(&mut rng, &["newest", "oldest", "username", "email"]);
        let mut query = format!("sort={sort}&limit={}", rng.random_range(1..20));
        for (key, value) in [("state", state), ("role", role), ("email", email), ("group", group), ("search", search)] {
            if !value.is_empty() {
                query = format!("{query}&{key}={}", value.replace('%', "%25").replace(' ', "+"));
            }
        }
        let passes = |account: &&Value| {
            let text = |key: &str| account[key].as_str().unwrap_or_default().to_lowercase();
            let groups = account["groups"].as_array().unwrap();
            let part = search.to_lowercase();
            (state.is_empty() || text("state") == state)
                && match role {
                    "" => true,
                    "none" => account["role"].is_null(),
                    "any" => !account["role"].is_null(),
                    role => text("role") == role,
                }
                && (email.is_empty() || account["email_verified"] == (email == "confirmed"))
                && (group.is_empty()
                    || groups.iter().any(|name| name.as_str().unwrap().to_lowercase() == group.to_lowercase()))
                && (text("email").contains(&part) || text("username").contains(&part))
        };
        let mut expected: Vec<Value> = all.iter().filter(passes).cloned().collect();
        match sort {
            "newest" => expected.reverse(),
            "username" | "email" => expected.sort_by_key(|account| account[sort].as_str().unwrap().to_lowercase()),
            _ => {}
        }
        let (found, _) = walk(&auditor, &query).await;
        let (found, expected) = (names(&found), names(&expected));
        // A database may order punctuation in another way.
        if matches!(sort, "newest" | "oldest") && !matches!(search, "zoe5") {
            assert_eq!(found, expected, "{query}");
        }
        let set: BTreeSet<&str> = found.iter().copied().collect();
        assert_eq!(set.len(), found.len(), "nobody is listed twice: {query}");
        assert_eq!(set, expected.into_iter().collect(), "{query}");
    }
}

async fn a_rare_filter_examines_a_bounded_number_of_accounts_r149(mut app: App) {
    let auditor = app.auditor().await;
    let about = async || auditor.get(LIST).await.json()["about"].as_i64().unwrap();
    assert_eq!(about().await, 1);
    app.execute(
        "INSERT INTO users (id, email, email_key, username, username_key, password_hash, created_at) \
         WITH RECURSIVE numbers(n) AS (SELECT 100001 UNION ALL SELECT n + 1 FROM numbers WHERE n < 155000) \
         SELECT CAST(n AS TEXT), 'p' || n || '@example.org', 'p' || n || '@example.org', 'p' || n, 'p' || n, '', 0 \
         FROM numbers",
    )
    .await;
    assert_eq!(about().await, 20_001, "counted up to a limit for each request");
    app.maintenance.as_mut().unwrap().sweep().await;
    assert_eq!(about().await, 55_001);
    for (filter, budget) in [("search=nowhere", 20_000), ("state=disabled", 50_000)] {
        let page = auditor.get(&format!("{LIST}?{filter}")).await.assert_status(200).json();
        assert_eq!((&page["accounts"], &page["examined"]), (&json!([]), &json!(budget)), "{filter}");
        assert_eq!(page["complete"], false);
        let (found, requests) = walk(&auditor, filter).await;
        assert_eq!((found.len(), requests), (0, 55_001_usize.div_ceil(budget)), "{filter}");
    }
    let page = auditor.get(LIST).await.json();
    assert_eq!((page["accounts"].as_array().unwrap().len(), &page["examined"]), (50, &json!(51)), "no filter");
    let (found, _) = walk(&auditor, "search=p10000&sort=username").await;
    assert_eq!(names(&found), (1..10).map(|n| format!("p10000{n}")).collect::<Vec<_>>());
}

async fn a_whole_email_username_or_id_comes_first_r149(app: App) {
    let auditor = app.auditor().await;
    for name in ["ann", "anna", "joann"] {
        app.register_later(name).await;
    }
    let id = app.user("ann").log_in().await.me().await["id"].as_str().unwrap().to_owned();
    let (found, _) = walk(&auditor, "search=ANN").await;
    assert_eq!(names(&found), ["ann", "joann", "anna"]);
    for whole in ["ann%40example.org", &id, &id.to_uppercase()] {
        assert_eq!(names(&walk(&auditor, &format!("search={whole}")).await.0)[0], "ann", "{whole}");
    }
    let (found, _) = walk(&auditor, "search=ann&limit=1&sort=username").await;
    assert_eq!(names(&found), ["ann", "anna", "joann"]);
    assert_eq!(names(&walk(&auditor, "search=ann&state=disabled").await.0), [""; 0]);
}

async fn a_list_that_grows_shows_nobody_twice_r149(app: App) {
    let auditor = app.auditor().await;
    for name in ["ann", "bob", "cyd"] {
        app.register_later(name).await;
    }
    let first = auditor.get(&format!("{LIST}?limit=2")).await.json();
    app.register_later("dan").await;
    app.run_done(Command::Delete { who: "cyd".to_owned(), force: false }).await;
    let second = auditor.get(&format!("{LIST}?limit=2&after={}", first["next"].as_str().unwrap())).await.json();
    let both = [first["accounts"].as_array().unwrap().clone(), second["accounts"].as_array().unwrap().clone()].concat();
    assert_eq!(names(&both), ["cyd", "bob", "ann", "auditor"]);
    assert_eq!(second["complete"], true);
}

async fn an_invalid_parameter_is_rejected(app: App) {
    let auditor = app.auditor().await;
    for query in ["state=odd", "role=owner", "limit=x", "limit=0", "limit=201", "sort=id", "email=yes"] {
        auditor.get(&format!("{LIST}?{query}")).await.assert_status(400).assert_code("bad_request");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_third_list_with_a_filter_at_once_is_refused_r149() {
    let app = App::start(Backend::Postgres).await;
    let auditor = app.auditor().await;
    let operator = Arc::new(app.service.authenticate_operator(&auditor.session_token()).await.unwrap());
    let (mut other, mut observer) = (app.observer().await, app.observer().await);
    let mut transaction = other.begin().await.unwrap();
    transaction.execute("LOCK TABLE group_members IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let list = || {
        let (service, operator) = (app.service.clone(), Arc::clone(&operator));
        let query = AccountQuery { search: Some("x".to_owned()), ..AccountQuery::default() };
        tokio::spawn(async move { service.list_accounts(&operator, query).await.map_err(AppError::from) })
    };
    let waiting = [list(), list()];
    let sql = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let both_wait = async || sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut observer).await.unwrap() == 2;
    until("two lists wait", both_wait).await;
    assert_eq!(list().await.unwrap(), Err(AppError::Unavailable { retry_after: 1 }));
    transaction.commit().await.unwrap();
    for list in waiting {
        assert!(list.await.unwrap().is_ok());
    }
}
