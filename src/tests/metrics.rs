//! Metrics, on both databases.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::http::Method;
use vestibule::server::metrics::{Metrics, RequestCounts};

use crate::util::{App, Backend, NEW, PASSWORD, actors::Client, macros::both};

both! {
    metrics_count_requests_logins_and_registrations,
    only_events_that_were_added_are_counted,
    no_metric_holds_a_person_an_address_or_a_secret_r115,
}

/// The samples of a scrape, by their names with their labels.
struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    async fn of(app: &App) -> Self {
        app.metrics.refresh().await;
        let text = app.metrics.text().unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.map(|line| line.rsplit_once(' ').unwrap());
        Self(samples.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect())
    }

    #[track_caller]
    fn expect(&self, name: &str, value: f64) {
        assert_eq!(self.0.get(name), Some(&value), "{name} in {:#?}", self.0);
    }
}

async fn metrics_count_requests_logins_and_registrations(app: App) {
    let ann = app.register("ann").await;
    let phone = ann.log_in().await;
    ann.assert_cannot_log_in("wrong").await;
    ann.register().await.assert_status(409);
    app.get("api_auth/").await.assert_status(405);
    app.get("/api/accounts/nothing").await.assert_status(404);
    phone.me().await;
    phone.me().await;
    let scrape = Scrape::of(&app).await;
    let requests = |route: &str, method: &str, status: u32| {
        format!(r#"vestibule_http_requests_total{{route="{route}",method="{method}",status="{status}"}}"#)
    };
    scrape.expect(&requests("/api/accounts/me/", "GET", 200), 2.0);
    scrape.expect(&requests("/api/accounts/api_auth/", "POST", 200), 1.0);
    scrape.expect(&requests("/api/accounts/api_auth/", "POST", 400), 1.0);
    scrape.expect(&requests("/api/accounts/api_auth/", "GET", 405), 1.0);
    scrape.expect(&requests("other", "GET", 404), 1.0);
    scrape.expect(r#"vestibule_http_request_seconds_count{route="/api/accounts/me/"}"#, 2.0);
    scrape.expect(r#"vestibule_http_request_seconds_bucket{route="/api/accounts/me/",le="+Inf"}"#, 2.0);
    scrape.expect(r#"vestibule_logins_total{result="ok"}"#, 1.0);
    scrape.expect(r#"vestibule_logins_total{result="bad_credentials"}"#, 1.0);
    scrape.expect(r#"vestibule_logins_total{result="error"}"#, 0.0);
    scrape.expect(r#"vestibule_registrations_total{result="ok"}"#, 1.0);
    scrape.expect(r#"vestibule_registrations_total{result="taken"}"#, 1.0);
    scrape.expect(r#"vestibule_events_total{name="account.register"}"#, 1.0);
    scrape.expect(r#"vestibule_events_total{name="session.start"}"#, 1.0);
    scrape.expect(r#"vestibule_events_total{name="login.fail"}"#, 1.0);
    scrape.expect("vestibule_sessions", 1.0);
    scrape.expect("vestibule_hashing_queue", 0.0);
    // One hash for each registration, and one comparison for each login.
    scrape.expect(r#"vestibule_hashing_seconds_count{kind="own"}"#, 4.0);
    assert!(scrape.0.contains_key(&format!(r#"vestibule_build_info{{version="{}"}}"#, env!("CARGO_PKG_VERSION"))));
    assert!(scrape.0["process_resident_memory_bytes"] > 1e6 && scrape.0["process_cpu_seconds_total"] > 0.0);
}

#[tokio::test]
async fn metrics_count_mails_by_their_result() {
    let app = App::start(Backend::Sqlite).await;
    let ann = app.register("ann").await;
    let sent = app.deliver().await.len();
    app.mail_capture.broken.store(true, Ordering::SeqCst);
    ann.forgot_password().await.assert_status(200);
    app.mail_worker.deliver_next().await.unwrap();
    let scrape = Scrape::of(&app).await;
    scrape.expect(r#"vestibule_mail_total{result="delayed"}"#, 1.0);
    scrape.expect("vestibule_mail_queue", 1.0);
    app.mail_capture.broken.store(false, Ordering::SeqCst);
    app.clock.advance(Duration::from_mins(1));
    app.mail_worker.deliver_next().await.unwrap();
    let scrape = Scrape::of(&app).await;
    assert_eq!(sent, 1);
    scrape.expect(r#"vestibule_mail_total{result="sent"}"#, 2.0);
    scrape.expect("vestibule_mail_queue", 0.0);
}

#[tokio::test]
async fn metrics_count_what_a_rate_limit_rejects() {
    let app = App::start_with(Backend::Sqlite, |config| {
        config.rate_limit.login_burst = 1;
        config.rate_limit.token_calls_per_minute = 1;
    })
    .await;
    let ann = app.register("ann").await;
    let phone = ann.log_in().await;
    for _ in 0..2 {
        ann.try_log_in("wrong").from("192.0.2.7").await;
        app.get("me/").bearer(&phone.token).await;
    }
    let scrape = Scrape::of(&app).await;
    scrape.expect(r#"vestibule_rate_limited_total{limit="login"}"#, 1.0);
    scrape.expect(r#"vestibule_logins_total{result="rate_limited"}"#, 1.0);
    scrape.expect(r#"vestibule_rate_limited_total{limit="token"}"#, 1.0);
}

#[tokio::test]
async fn a_failed_statement_is_counted_as_a_fault() {
    let app = App::start(Backend::Sqlite).await;
    app.refuse("INSERT ON users").await;
    app.user("ann").register().await.assert_status(500);
    let scrape = Scrape::of(&app).await;
    scrape.expect(r#"vestibule_database_errors_total{kind="fault"}"#, 1.0);
    scrape.expect(r#"vestibule_registrations_total{result="error"}"#, 1.0);
}

async fn only_events_that_were_added_are_counted(app: App) {
    let counted = || app.store.counts().events.read().map(|(_, count)| count).sum::<u64>();
    let before = counted();
    let stamp = app.stamp();
    let record = || app.store.record_denial(&stamp, "nobody");
    record().await.unwrap();
    assert_eq!(counted(), before, "nothing was added about an account that doesn't exist");
    app.register("ann").await;
    assert_eq!(counted(), before + 1);
}

/// Clients choose paths, methods and names. None of them adds a label.
#[tokio::test]
async fn clients_add_no_labels_r115() {
    let app = App::start(Backend::Sqlite).await;
    let flood = async |round: u32| {
        for number in 0..20 {
            let name = format!("{round}-{number}");
            app.get(&format!("/{name}")).await;
            app.get(&format!("/api/accounts/{name}/")).await;
            app.get(&format!("/api/admin/accounts/{name}/?{name}=1")).await;
            app.request(&format!("BREW{round}X{number}"), "me/").await;
            app.user(&name).try_log_in("wrong").await;
        }
    };
    flood(1).await;
    let names = Scrape::of(&app).await.0.into_keys().collect::<Vec<_>>();
    flood(2).await;
    assert_eq!(Scrape::of(&app).await.0.into_keys().collect::<Vec<_>>(), names);
    assert!(names.iter().any(|name| name.contains(r#"route="/api/accounts/me/",method="other""#)), "{names:#?}");
}

async fn no_metric_holds_a_person_an_address_or_a_secret_r115(app: App) {
    let ann = app.register("canary").await;
    let mut phone = ann.log_in().await;
    ann.try_log_in("wrong canary").from("192.0.2.77").await;
    app.get(&format!("/login?token={}", phone.token)).await;
    app.get(&format!("/{}/canary", phone.token)).from("192.0.2.78").await;
    app.deliver().await;
    ann.forgot_password().await.assert_status(200);
    let link = app.deliver_link().await;
    phone.confirm_password().await;
    let script = phone.create_access_token("canary", "read").await;
    script.me().await;
    let id = phone.session_id().await;
    app.reset_password(&link, NEW).await.assert_status(200);
    app.metrics.refresh().await;
    let text = app.metrics.text().unwrap();
    assert!(text.contains(r#"vestibule_events_total{name="token.create"} 1"#), "{text}");
    for secret in ["canary", "192.0.2", &phone.token, &script.token, &id, &link, PASSWORD, NEW, "example.org"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

/// Each status of the documented responses has a count of its own.
#[tokio::test]
async fn every_documented_status_has_a_label() {
    let app = App::start(Backend::Sqlite).await;
    let document = app.document().await;
    let operations =
        document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values());
    let documented = operations.flat_map(|operation| operation["responses"].as_object().unwrap().keys());
    for status in documented {
        let counts = RequestCounts::new(&[]);
        counts.count(None, &Method::GET, status.parse().unwrap(), Duration::ZERO);
        let text = Arc::new(Metrics::new(app.service.clone(), Arc::new(counts))).text().unwrap();
        let name = format!(r#"vestibule_http_requests_total{{route="other",method="GET",status="{status}"}} 1"#);
        assert!(text.contains(&name), "{status}");
    }
}
