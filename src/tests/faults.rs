//! The database is locked or away: responses report this in time, and the service recovers by itself.

use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    task::Poll,
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use serde_json::json;
use sqlx::{Connection, Executor, SqliteConnection};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use vestibule::{service::Caller, store::DatabaseUrl};

use crate::{
    on_both,
    util::{App, Backend, PASSWORD, assert_in_time, some_address},
};

fn is_unavailable(answer: &crate::util::Response) -> bool {
    answer.status == 503 && answer.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_database_is_a_503_in_time_and_passes_r96() {
    let app = App::start(Backend::Sqlite).await;
    app.register("ann").await;
    let token = app.token("ann").await;
    let file = app.folder().join("vestibule.db");
    let mut other = SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.unwrap();
    other.execute("BEGIN EXCLUSIVE").await.unwrap();
    let started = Instant::now();
    let body = json!({ "email": "bob@example.org", "username": "bob", "password": PASSWORD });
    let register = app.post("/api/accounts/api_register/", &body).from(&some_address()).send();
    let (log_in, register, me) = tokio::join!(app.log_in("ann", PASSWORD), register, app.me(&token));
    assert!(is_unavailable(&log_in) && is_unavailable(&register), "{log_in:?} {register:?}");
    assert_in_time(started, "SQLite locked by another process");
    assert_eq!(me, 200, "a logged-in user stays logged in");
    other.execute("ROLLBACK").await.unwrap();
    assert_eq!(app.log_in("ann", PASSWORD).await.status, 200);
    assert_eq!(app.log_in("bob", PASSWORD).await.status, 400, "nothing was stored in part");
    let again = app.post("/api/accounts/api_register/", &body).from(&some_address()).send().await;
    assert_eq!(again.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_and_writers_side_by_side_never_find_the_database_locked_r95() {
    let app = App::start_with(Backend::Sqlite, |config| config.password.hashing_queue = 500).await;
    app.register("ann").await;
    let token = app.token("ann").await;
    let writers =
        futures_util::future::join_all((0..60).map(|n| app.log_in(if n % 2 == 0 { "ghost" } else { "ann" }, "x")));
    let readers = futures_util::future::join_all((0..200).map(|_| app.me(&token)));
    // Clients that disconnect during a request leave no transaction open.
    let leavers = futures_util::future::join_all((0..40).map(|n| {
        let call = app.log_in("nobody", "x");
        async move { tokio::time::timeout(Duration::from_millis(n), call).await.is_ok() }
    }));
    let (writers, readers, _) = tokio::join!(writers, readers, leavers);
    assert!(writers.iter().all(|answer| [400, 429].contains(&answer.status.as_u16())));
    assert!(readers.iter().all(|status| *status == 200));
    app.register("bob").await;
}

/// The treatment of a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Gate {
    /// Data is forwarded.
    Open,
    /// Data is forwarded, each piece after a delay.
    Slow(Duration),
    /// The connection is closed.
    Shut,
    /// All data is discarded and nothing is ever sent back, as with a machine that has vanished.
    Stuck,
}

/// Starts a proxy that forwards connections to the tests' PostgreSQL as long as the gate is open. Returns the URL of
/// its database, and the gate.
async fn gated_database() -> (DatabaseUrl, watch::Sender<Gate>) {
    let url = crate::util::postgres::fresh_database().await;
    let target = url.split('@').nth(1).unwrap().split('/').next().unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let through = url.replace(&target, &listener.local_addr().unwrap().to_string());
    let (sender, gate) = watch::channel(Gate::Open);
    tokio::spawn(async move {
        while let Ok((here, _)) = listener.accept().await {
            tokio::spawn(pass_on(here, target.clone(), gate.clone()));
        }
    });
    (DatabaseUrl::Postgres(through), sender)
}

async fn pass_on(mut here: TcpStream, target: String, mut gate: watch::Receiver<Gate>) {
    let mut there = TcpStream::connect(&target).await.unwrap();
    let at_first = *gate.borrow_and_update();
    let passing = async {
        match at_first {
            Gate::Open => drop(copy_bidirectional(&mut here, &mut there).await),
            Gate::Slow(delay) => {
                let ((mut asked, mut answers), (mut answered, mut asks)) = (here.split(), there.split());
                let _ended = tokio::join!(drag(&mut asked, &mut asks, delay), drag(&mut answered, &mut answers, delay));
            }
            Gate::Shut => {}
            Gate::Stuck => std::future::pending().await,
        }
    };
    tokio::select! {
        () = passing => return,
        changed = gate.changed() => changed.unwrap(),
    }
    if *gate.borrow() == Gate::Stuck {
        std::future::pending::<()>().await;
    }
}

async fn drag(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    delay: Duration,
) -> io::Result<()> {
    let mut piece = [0; 4096];
    loop {
        let length = from.read(&mut piece).await?;
        tokio::time::sleep(delay).await;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&piece[..length]).await?;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_away_is_a_503_in_time_and_passes_r98_r115() {
    let (url, gate) = gated_database().await;
    let app = App::start_with(Backend::Postgres, |config| config.database.url = url).await;
    app.register("ann").await;
    let token = app.token("ann").await;
    gate.send(Gate::Shut).unwrap();
    let started = Instant::now();
    let me = app.get("/api/accounts/me/").bearer(&token).send();
    let (me, log_in, ready) = tokio::join!(me, app.log_in("ann", PASSWORD), app.get("/readyz").send());
    assert!(is_unavailable(&me), "fails closed: {me:?}");
    assert!(is_unavailable(&log_in) && is_unavailable(&ready), "{log_in:?} {ready:?}");
    assert_in_time(started, "PostgreSQL stopped");
    assert_eq!(app.get("/healthz").send().await.status, 200);
    gate.send(Gate::Open).unwrap();
    assert_eq!(app.get("/readyz").send().await.status, 200);
    assert_eq!(app.me(&token).await, 200);
    assert_eq!(app.log_in("ann", PASSWORD).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_postgres_is_waited_for_and_a_very_slow_one_is_a_503_in_time_r98() {
    let (url, gate) = gated_database().await;
    let app = App::start_with(Backend::Postgres, |config| config.database.url = url).await;
    app.register("ann").await;
    let token = app.token("ann").await;
    gate.send(Gate::Slow(Duration::from_millis(20))).unwrap();
    assert_eq!((app.me(&token).await, app.log_in("ann", PASSWORD).await.status), (StatusCode::OK, StatusCode::OK));
    gate.send(Gate::Slow(Duration::from_millis(1500))).unwrap();
    let started = Instant::now();
    let me = app.get("/api/accounts/me/").bearer(&token).send();
    let (me, log_in, ready) = tokio::join!(me, app.log_in("ann", PASSWORD), app.get("/readyz").send());
    assert!(is_unavailable(&me) && is_unavailable(&log_in) && is_unavailable(&ready), "{me:?} {log_in:?} {ready:?}");
    assert_in_time(started, "PostgreSQL slow");
    gate.send(Gate::Open).unwrap();
    assert_eq!((app.me(&token).await, app.log_in("ann", PASSWORD).await.status), (StatusCode::OK, StatusCode::OK));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_has_vanished_is_a_503_in_time_and_another_takes_its_place_r98() {
    let (url, gate) = gated_database().await;
    let app = App::start_with(Backend::Postgres, |config| config.database.url = url).await;
    app.register("ann").await;
    let token = app.token("ann").await;
    // The database vanishes while every connection runs a statement.
    let asking = futures_util::future::join_all((0..16).map(async |_| while app.me(&token).await == 200 {}));
    let vanishing = async {
        for _ in 0..20 {
            assert_eq!(app.me(&token).await, 200);
        }
        gate.send(Gate::Stuck).unwrap();
    };
    tokio::join!(asking, vanishing);
    // More requests than there are connections, so that each connection is affected.
    for _ in 0..2 {
        let started = Instant::now();
        let calls =
            (0..app.config.database.connections * 2).map(|_| app.get("/api/accounts/me/").bearer(&token).send());
        let answers = futures_util::future::join_all(calls).await;
        assert!(answers.iter().all(is_unavailable), "{answers:?}");
        assert_in_time(started, "PostgreSQL vanished");
    }
    gate.send(Gate::Open).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while app.me(&token).await != 200 {
        assert!(Instant::now() < deadline, "the earlier connections still occupy their places");
    }
    assert_eq!(app.log_in("ann", PASSWORD).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_was_told_to_wait_does_not_reach_the_database() {
    let app = App::start(Backend::Sqlite).await;
    let address = some_address();
    // A different username each time, so that the address is rate-limited and no account.
    let log_in = async |n: u32| {
        let body = json!({ "email": format!("ghost{n}"), "password": PASSWORD });
        app.post("/api/accounts/api_auth/", &body).from(&address).send().await.status
    };
    for n in 0..10 {
        assert_eq!(log_in(n).await, 400);
    }
    assert_eq!(log_in(10).await, 429);
    app.store.close().await;
    assert_eq!(log_in(11).await, 429);
    app.clock.advance(Duration::from_mins(1));
    assert_eq!(log_in(12).await, 503, "the cached rate limit has expired, and the database is queried");
}

/// Polls work until it has waited that many times, and drops it there.
async fn give_up_after<T>(waits: u32, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut left = waits;
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_is_given_up_anywhere_leaves_no_transaction_open() {
    let app = App::start(Backend::Postgres).await;
    app.register("ann").await;
    let caller = Caller { address: "192.0.2.1".parse().unwrap(), agent: String::new() };
    let DatabaseUrl::Postgres(url) = &app.config.database.url else { panic!("a PostgreSQL") };
    let mut observer = sqlx::PgConnection::connect(url).await.unwrap();
    let mut given_up = 0;
    // The number of waits of a login depends on how quickly the database responds, so each number is tried several
    // times.
    for waits in (0..8).cycle().take(80) {
        app.clock.advance(Duration::from_hours(1));
        let login = Box::pin(app.service.log_in(&caller, "ann", PASSWORD));
        let done = give_up_after(waits, login).await;
        given_up += u32::from(done.is_none());
        let deadline = Instant::now() + Duration::from_secs(2);
        while open_transactions(&mut observer).await > 0 {
            assert!(Instant::now() < deadline, "after {waits} waits a transaction stays open");
        }
    }
    assert!(given_up >= 20, "it was dropped only {given_up} times");
}

async fn open_transactions(observer: &mut sqlx::PgConnection) -> i64 {
    let sql = "SELECT COUNT(*) FROM pg_stat_activity \
               WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    sqlx::query_scalar(sql).fetch_one(observer).await.unwrap()
}

on_both! {
    async fn a_service_that_was_closed_says_that_its_database_is_away(app: App) {
        assert_eq!(app.get("/readyz").send().await.status, 200);
        app.service.close().await;
        assert_eq!(app.get("/readyz").send().await.status, 503);
        assert_eq!(app.log_in("ann", PASSWORD).await.status, 503);
    }
}

on_both! {
    async fn several_servers_go_by_the_clock_of_their_database_r99(app: App) {
        let (first, second) = (app.store.clock().await.unwrap(), app.store.clock().await.unwrap());
        assert_eq!(first.is_some(), app.backend == Backend::Postgres);
        assert!(second >= first);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_elsewhere_that_offers_no_tls_is_refused_unless_the_address_allows_it() {
    let (url, _gate) = gated_database().await;
    let DatabaseUrl::Postgres(url) = url else { panic!("a PostgreSQL") };
    // A spelling of this machine's address that the program doesn't recognize as loopback.
    let elsewhere = url.replace("127.0.0.1", "127.1");
    let refused = vestibule::store::Store::open(&DatabaseUrl::parse(&elsewhere).unwrap(), 1).await.unwrap_err();
    let refused = refused.to_string();
    assert!(refused.contains("offers no TLS") && refused.contains("sslmode=disable"), "{refused}");
    let allowed = DatabaseUrl::parse(&format!("{elsewhere}?sslmode=disable")).unwrap();
    vestibule::store::Store::open(&allowed, 1).await.unwrap().close().await;
}
