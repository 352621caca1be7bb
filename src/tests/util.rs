//! What the tests share: a server on each database, a clock that the test controls, and requests to the server.

pub mod actors;
pub mod captured_log;
pub mod client;
pub mod document;
pub mod gate;
pub mod macros;
pub mod mail_capture;
pub mod port;
pub mod postgres;
pub mod program;
pub mod request;

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

pub use self::request::{Request, Response, Server, some_address};
use self::{gate::Gate, mail_capture::MailCapture};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::Value;
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};
use tempfile::TempDir;
use vestibule::{
    domain::{
        event::{Initiator, Stamp, Via},
        time::Timestamp,
    },
    http::state::AppState,
    server::{config::Config, metrics::Metrics, name_key, pipeline::Pipeline, routes::Routes, run},
    service::{
        Caller, MailTransport, MailWorker, Maintenance, Service,
        admin::{Command, Reply},
        clock::Clock,
        entropy::Entropy,
        passwords::{Hasher, Judge},
    },
    store::{DatabaseUrl, Store},
};

/// Waits until a condition holds. The test fails after a minute.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let holding = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_mins(1), holding).await.is_ok(), "timed out: {what}");
}

/// Whether a connection in the same database waits for a lock.
pub async fn is_lock_awaited(observer: &mut PgConnection) -> bool {
    let sql = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    sqlx::query_scalar::<_, i64>(sql).fetch_one(observer).await.unwrap() > 0
}

/// A strong password. Everybody registers with it.
pub const PASSWORD: &str = "tidal marmot kettle";

/// Another strong password.
pub const NEW: &str = "walrus orchard lantern";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Sqlite,
    Postgres,
}

/// A clock that moves only when a test moves it. A test can stop an operation where it reads the clock.
#[derive(Debug)]
pub struct ManualClock {
    millis: AtomicI64,
    pub gate: Gate,
}

impl ManualClock {
    pub fn advance(&self, by: Duration) {
        self.millis.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }

    pub fn go_back(&self, by: Duration) {
        self.millis.fetch_sub(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.gate.pass();
        Timestamp::from_millis(self.millis.load(Ordering::SeqCst))
    }
}

/// Random bytes that are the same in every run, and different in every app.
#[derive(Debug)]
struct SeededEntropy(Mutex<StdRng>);

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap().fill_bytes(bytes);
    }
}

/// A server without its sockets.
pub struct App {
    pub pipeline: Arc<Pipeline>,
    pub metrics: Arc<Metrics>,
    pub service: Service,
    pub store: Store,
    pub clock: Arc<ManualClock>,
    pub config: Config,
    pub backend: Backend,
    pub maintenance: Option<Maintenance>,
    pub mail_capture: Arc<MailCapture>,
    pub mail_worker: MailWorker,
    pub judge: Arc<Judge>,
    server: Server,
    folder: Arc<TempDir>,
}

impl App {
    pub async fn start(backend: Backend) -> Self {
        Self::start_with(backend, |_| {}).await
    }

    /// Starts with a changed configuration.
    pub async fn start_with(backend: Backend, change: impl FnOnce(&mut Config)) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let mut config = default_config();
        config.database.url = match backend {
            Backend::Sqlite => DatabaseUrl::Sqlite(folder.path().join("vestibule.db")),
            Backend::Postgres => DatabaseUrl::Postgres(postgres::fresh_database().await),
        };
        config.database.connections = 4;
        // The cheapest parameters of argon2. A test about hashes sets those of the program: `hash_like_the_program`.
        (config.password.argon2_memory_kib, config.password.argon2_iterations) = (8, 1);
        // Every test request comes from a loopback proxy and carries its client's address.
        config.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        // The clock stands still, so the default limit of a minute would apply to a whole test.
        config.rate_limit.token_calls_per_minute = 60_000_000;
        change(&mut config);
        // Sunday, 2026-11-22, 12:00 UTC.
        let clock = Arc::new(ManualClock { millis: AtomicI64::new(1_795_348_800_000), gate: Gate::default() });
        Box::pin(Self::build(backend, config, clock, folder, Server::default())).await
    }

    /// A second server on the same database. It shares the clock, the configuration and the folder.
    pub async fn sibling(&self) -> Self {
        let (clock, folder) = (Arc::clone(&self.clock), Arc::clone(&self.folder));
        Box::pin(Self::build(self.backend, self.config.clone(), clock, folder, Server::default())).await
    }

    /// Stops this server and starts it again on the same database.
    pub async fn restart(self) -> Self {
        let config = self.config.clone();
        self.restart_with(config).await
    }

    /// Stops this server and starts it again on the same database, with another configuration.
    pub async fn restart_with(self, config: Config) -> Self {
        let Self {
            pipeline, metrics, service, store, clock, backend, maintenance, mail_worker, server, folder, ..
        } = self;
        drop((pipeline, metrics, maintenance, mail_worker));
        store.close().await;
        drop((service, store));
        // Boxed, because it is part of the future of every test.
        Box::pin(Self::build(backend, config, clock, folder, server)).await
    }

    /// Stops this server and drops its database. Tests that create many databases would fill the disk.
    pub async fn discard(self) {
        self.store.close().await;
        if let DatabaseUrl::Postgres(url) = &self.config.database.url {
            postgres::drop_database(url).await;
        }
    }

    /// Restarts with a changed configuration. See [`App::restart_with`].
    pub async fn restart_changed(self, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = self.config.clone();
        change(&mut config);
        self.restart_with(config).await
    }

    async fn build(
        backend: Backend,
        config: Config,
        clock: Arc<ManualClock>,
        folder: Arc<TempDir>,
        server: Server,
    ) -> Self {
        static SEED: AtomicU32 = AtomicU32::new(1);
        let store = Store::open(&config.database.url, config.database.connections).await.unwrap();
        let rng = StdRng::seed_from_u64(u64::from(SEED.fetch_add(1, Ordering::Relaxed)));
        let entropy = Arc::new(SeededEntropy(Mutex::new(rng)));
        let names = name_key::of(&config.database.url, &*entropy).unwrap();
        let hasher = Hasher::new(config.hash_policy(), [7; 16]).unwrap();
        let judge = Arc::clone(hasher.judge());
        let (service, maintenance) =
            Service::new(store.clone(), hasher, Arc::clone(&clock) as Arc<dyn Clock>, entropy, config.policy(), names);
        let state: AppState = run::state(&config, service.clone());
        let mut pipeline = Pipeline::new(Routes::of(&state), &state.trust, &config.server);
        let metrics = Arc::new(Metrics::new(service.clone(), pipeline.count_requests()));
        let pipeline = Arc::new(pipeline);
        server.lead_to(&pipeline);
        let mail_capture = Arc::new(MailCapture::default());
        let head = config.mail_templates(config.server.address);
        let mail_worker = service.mail_worker(Arc::clone(&mail_capture) as Arc<dyn MailTransport>, head);
        Self {
            pipeline,
            metrics,
            service,
            store,
            clock,
            config,
            backend,
            maintenance: Some(maintenance),
            mail_capture,
            mail_worker,
            judge,
            server,
            folder,
        }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Runs a command of the operator.
    pub async fn administer(&self, command: Command) -> Reply {
        self.service.run_admin_command(operator(), command).await
    }

    /// A stamp for a change that a test makes in the store.
    pub fn stamp(&self) -> Stamp {
        stamp_at(self.now())
    }

    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// A separate connection to its PostgreSQL.
    pub async fn observer(&self) -> PgConnection {
        let DatabaseUrl::Postgres(url) = &self.config.database.url else { panic!("a PostgreSQL") };
        PgConnection::connect(url).await.unwrap()
    }

    /// Runs `operation` on PostgreSQL while another transaction, which has run `first`, blocks it. Returns its result.
    pub async fn run_blocked<T>(&self, first: &'static str, operation: Pin<Box<impl Future<Output = T>>>) -> T {
        self.run_blocked_then(first, operation, "SELECT 1").await
    }

    /// Does the same as [`App::run_blocked`]. The other transaction runs `then` while `operation` waits for it.
    pub async fn run_blocked_then<T>(
        &self,
        first: &'static str,
        mut operation: Pin<Box<impl Future<Output = T>>>,
        then: &'static str,
    ) -> T {
        let (mut other, mut observer) = (self.observer().await, self.observer().await);
        let mut transaction = other.begin().await.unwrap();
        transaction.execute(first).await.unwrap();
        tokio::select! {
            () = until("a wait for the lock", async || is_lock_awaited(&mut observer).await) => {}
            _ = &mut operation => panic!("the operation didn't wait"),
        }
        transaction.execute(then).await.unwrap();
        transaction.commit().await.unwrap();
        operation.await
    }

    /// Makes the SQLite file reject every change of a kind with an unexpected error.
    pub async fn refuse(&self, change: &str) {
        let file = format!("sqlite:{}", self.folder().join("vestibule.db").display());
        let mut other = SqliteConnection::connect(&file).await.unwrap();
        let sql = format!("CREATE TRIGGER no BEFORE {change} BEGIN SELECT RAISE(ABORT, 'no'); END");
        other.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
        other.close().await.unwrap();
    }

    pub fn post(&self, path: &str, body: &Value) -> Request {
        self.request("POST", path).json(body)
    }

    pub fn get(&self, path: &str) -> Request {
        self.request("GET", path)
    }

    /// A request without a token.
    pub fn request(&self, method: &str, path: &str) -> Request {
        self.server.request(method, path)
    }
}

/// A client of the API with an address of its own.
pub fn caller() -> Caller {
    Caller { address: some_address().parse().unwrap(), agent: String::new(), via: Via::Api }
}

/// The operator at the command line.
pub fn operator() -> Initiator {
    Initiator::command_line("tester".to_owned())
}

/// A stamp for a change that a test makes in the store.
pub fn stamp_at(at: Timestamp) -> Stamp {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let mut random = [0; 10];
    random[..4].copy_from_slice(&NUMBER.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    let millis = u64::try_from(at.as_millis()).unwrap();
    Stamp { id: uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid(), at, by: operator() }
}

/// The documented defaults, independent of the tests' environment.
pub fn default_config() -> Config {
    Config::load(None, []).unwrap()
}

/// Hashes passwords at the program's full cost, where a test is about that cost.
pub fn hash_like_the_program(config: &mut Config) {
    config.password = default_config().password;
}

/// Prints a measurement, on a line that `.ci/chaos` collects.
pub fn figure(text: &str) {
    println!("\nfigure: {text}");
}

/// Checks that a response came within the time limit for visitors (R96 to R98), and prints how long it took.
pub fn assert_in_time(started: Instant, what: &str) {
    let taken = started.elapsed();
    figure(&format!("{what}: responded after {:.1} s", taken.as_secs_f64()));
    assert!(taken < Duration::from_secs(5), "{taken:?}");
}
