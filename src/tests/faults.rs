//! Tests with a locked or unreachable database. Responses report it in time, and the service recovers by itself.

use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    task::Poll,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use sqlx::{Connection, Executor, SqliteConnection};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use vestibule::{
    domain::event::Via,
    server::config::Config,
    service::Caller,
    store::{DatabaseUrl, Store},
};

use crate::util::{
    App, Backend, PASSWORD, Response,
    actors::{Client, Device},
    assert_in_time, hash_like_the_program,
    macros::both,
    postgres::fresh_database,
    some_address,
};

both! {
    a_closed_service_reports_that_its_database_is_away,
    several_servers_use_the_clock_of_their_database_r99,
}

#[track_caller]
fn assert_unavailable(response: &Response) {
    response.assert_status(503);
    let seconds: u32 = response.header("retry-after").parse().unwrap();
    assert!(seconds > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_database_is_a_503_in_time_and_passes_r96() {
    let app = App::start(Backend::Sqlite).await;
    let ann = app.register("ann").await;
    let phone = ann.log_in().await;
    let file = app.folder().join("vestibule.db");
    let mut other = SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.unwrap();
    other.execute("BEGIN EXCLUSIVE").await.unwrap();

    let started = Instant::now();
    let bob = app.user("bob");
    let (log_in, register, me) =
        tokio::join!(ann.try_log_in(PASSWORD).send(), bob.register().send(), phone.get("me/").send());
    assert_unavailable(&log_in);
    assert_unavailable(&register);
    assert_in_time(started, "SQLite locked by another process");
    // A locked database doesn't affect reads, so users stay logged in.
    me.assert_status(200);

    other.execute("ROLLBACK").await.unwrap();
    ann.assert_can_log_in(PASSWORD).await;
    // The failed registration has stored nothing.
    bob.assert_cannot_log_in(PASSWORD).await;
    app.register("bob").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_reads_and_writes_never_find_the_database_locked_r95() {
    let change = |config: &mut Config| {
        hash_like_the_program(config);
        config.password.hashing_queue = 500;
    };
    let app = App::start_with(Backend::Sqlite, change).await;
    let (ann, unknown) = (app.register("ann").await, app.user("unknown"));
    let phone = ann.log_in().await;
    let writers = join_all((0..30).flat_map(|_| [unknown.try_log_in("x").send(), ann.try_log_in("x").send()]));
    let readers = join_all((0..200).map(|_| phone.get("me/").send()));
    // Clients that disconnect during a request leave no transaction open.
    let cancelled = join_all((0..40).map(|n| {
        let log_in = app.user("nobody").try_log_in("x").send();
        async move { tokio::time::timeout(Duration::from_millis(n), log_in).await.is_ok() }
    }));
    let (writers, readers, _) = tokio::join!(writers, readers, cancelled);
    assert!(writers.iter().all(|response| [400, 429].contains(&response.status.as_u16())), "{writers:?}");
    assert!(readers.iter().all(|response| response.status == 200), "{readers:?}");
    app.register("bob").await;
}

/// How the proxy treats its connections.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Gate {
    /// Data is forwarded.
    Open,
    /// Data is forwarded, each piece after a delay.
    Slow(Duration),
    /// The connection is closed.
    Shut,
    /// All data is discarded and no response is sent, as if the machine were unreachable.
    Stuck,
}

/// Starts a proxy that forwards connections to the tests' PostgreSQL as long as the gate is open. Returns the URL of
/// its database, and the gate.
async fn gated_database() -> (DatabaseUrl, watch::Sender<Gate>) {
    let url = fresh_database().await;
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
                let ((mut requests, mut responses), (mut replies, mut queries)) = (here.split(), there.split());
                let _ended =
                    tokio::join!(drag(&mut requests, &mut queries, delay), drag(&mut replies, &mut responses, delay));
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

/// Asks for the account, a login and the readiness at once, of a server that can't reach its database.
async fn assert_unavailable_in_time(app: &App, phone: &Device, what: &str) {
    let started = Instant::now();
    let ann = app.user("ann");
    let (me, log_in, ready) =
        tokio::join!(phone.get("me/").send(), ann.try_log_in(PASSWORD).send(), app.get("/readyz").send());
    assert_unavailable(&me);
    assert_unavailable(&log_in);
    assert_unavailable(&ready);
    assert_in_time(started, what);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_away_is_a_503_in_time_and_passes_r98_r115() {
    let (url, gate) = gated_database().await;
    let app = App::start_with(Backend::Postgres, |config| config.database.url = url).await;
    let ann = app.register("ann").await;
    let phone = ann.log_in().await;
    gate.send(Gate::Shut).unwrap();
    assert_unavailable_in_time(&app, &phone, "PostgreSQL stopped").await;
    app.get("/healthz").await.assert_status(200);
    gate.send(Gate::Open).unwrap();
    app.get("/readyz").await.assert_status(200);
    phone.assert_logged_in().await;
    ann.assert_can_log_in(PASSWORD).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_postgres_is_waited_for_up_to_the_time_limit_r98() {
    let (url, gate) = gated_database().await;
    let app = App::start_with(Backend::Postgres, |config| config.database.url = url).await;
    let ann = app.register("ann").await;
    let phone = ann.log_in().await;
    gate.send(Gate::Slow(Duration::from_millis(20))).unwrap();
    phone.assert_logged_in().await;
    ann.assert_can_log_in(PASSWORD).await;
    gate.send(Gate::Slow(Duration::from_millis(1500))).unwrap();
    assert_unavailable_in_time(&app, &phone, "PostgreSQL slow").await;
    gate.send(Gate::Open).unwrap();
    phone.assert_logged_in().await;
    ann.assert_can_log_in(PASSWORD).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vanished_postgres_is_a_503_in_time_and_can_be_replaced_r98() {
    let (url, gate) = gated_database().await;
    let app = App::start_with(Backend::Postgres, |config| config.database.url = url).await;
    let ann = app.register("ann").await;
    let phone = ann.log_in().await;
    // The database becomes unreachable while every connection runs a statement.
    let asking = join_all((0..16).map(async |_| while phone.get("me/").await.status == 200 {}));
    let vanishing = async {
        for _ in 0..20 {
            phone.assert_logged_in().await;
        }
        gate.send(Gate::Stuck).unwrap();
    };
    tokio::join!(asking, vanishing);
    // More requests than there are connections, so that each connection is affected.
    for _ in 0..2 {
        let started = Instant::now();
        let requests = (0..app.config.database.connections * 2).map(|_| phone.get("me/").send());
        join_all(requests).await.iter().for_each(assert_unavailable);
        assert_in_time(started, "PostgreSQL vanished");
    }
    gate.send(Gate::Open).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while phone.get("me/").await.status != 200 {
        assert!(Instant::now() < deadline, "the failed connections still occupy the pool");
    }
    ann.assert_can_log_in(PASSWORD).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_limited_address_does_not_reach_the_database() {
    let app = App::start(Backend::Sqlite).await;
    let address = some_address();
    // Each login uses another username, so that only the address is rate-limited.
    let log_in = async |n: u32| app.user(&format!("unknown{n}")).try_log_in(PASSWORD).from(&address).await;
    for n in 0..10 {
        log_in(n).await.assert_status(400);
    }
    log_in(10).await.assert_status(429);
    app.store.close().await;
    log_in(11).await.assert_status(429);
    // The cached rate limit expires, and the database is queried.
    app.clock.advance(Duration::from_mins(1));
    log_in(12).await.assert_status(503);
}

/// Polls work until it has waited `waits` times, and then drops it.
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
async fn a_dropped_login_leaves_no_transaction_open() {
    let app = App::start(Backend::Postgres).await;
    app.register("ann").await;
    let caller = Caller { address: "192.0.2.1".parse().unwrap(), agent: String::new(), via: Via::Api };
    let mut observer = app.observer().await;
    let mut given_up = 0;
    // The number of waits depends on how quickly the database responds, so the test tries each number several times.
    for waits in (0..8).cycle().take(80) {
        app.clock.advance(Duration::from_hours(1));
        let login = Box::pin(app.service.log_in(&caller, "ann", PASSWORD));
        let done = give_up_after(waits, login).await;
        given_up += u32::from(done.is_none());
        let deadline = Instant::now() + Duration::from_secs(2);
        while open_transactions(&mut observer).await > 0 {
            assert!(Instant::now() < deadline, "a transaction stays open after {waits} waits");
        }
    }
    assert!(given_up >= 20, "only {given_up} logins were dropped");
}

async fn open_transactions(observer: &mut sqlx::PgConnection) -> i64 {
    let sql = "SELECT COUNT(*) FROM pg_stat_activity \
               WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    sqlx::query_scalar(sql).fetch_one(observer).await.unwrap()
}

async fn a_closed_service_reports_that_its_database_is_away(app: App) {
    app.get("/readyz").await.assert_status(200);
    app.service.close().await;
    app.get("/readyz").await.assert_status(503);
    app.user("ann").try_log_in(PASSWORD).await.assert_status(503);
}

async fn several_servers_use_the_clock_of_their_database_r99(app: App) {
    let (first, second) = (app.store.clock().await.unwrap(), app.store.clock().await.unwrap());
    assert_eq!(first.is_some(), app.backend == Backend::Postgres);
    assert!(second >= first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remote_postgres_without_tls_is_refused_unless_allowed() {
    let (url, _gate) = gated_database().await;
    let DatabaseUrl::Postgres(url) = url else { panic!("a PostgreSQL") };
    // The program doesn't recognize this spelling of the address as loopback.
    let elsewhere = url.replace("127.0.0.1", "127.1");
    let refused = Store::open(&DatabaseUrl::parse(&elsewhere).unwrap(), 1).await.unwrap_err().to_string();
    assert!(refused.contains("offers no TLS"), "{refused}");
    assert!(refused.contains("sslmode=disable"), "{refused}");
    let allowed = DatabaseUrl::parse(&format!("{elsewhere}?sslmode=disable")).unwrap();
    Store::open(&allowed, 1).await.unwrap().close().await;
}
