//! Assembles the server, runs it, and shuts it down gracefully.

use std::{future::Future, io::Write as _, net::SocketAddr, sync::Arc, time::Duration};

use leptos::config::LeptosOptions;
use tokio::{
    net::{TcpListener, TcpSocket, UnixListener},
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use super::{
    accept,
    config::{Config, ConfigSource},
    control, hourly,
    metrics::Metrics,
    name_key,
    pipeline::Pipeline,
    routes::Routes,
    setup,
};
use crate::{
    http::{
        assets,
        state::{AppState, Shared},
    },
    mail::Mailer,
    service::{
        self, Maintenance, Service,
        clock::{Clock, DatabaseClock, SystemClock},
        entropy::{Entropy, SystemEntropy},
        passwords::Hasher,
    },
    store::{self, Store},
};

/// How often the server reads the clock of the database server.
const CLOCK_INTERVAL: Duration = Duration::from_secs(10);

/// The kernel's queue of connections that are not yet accepted.
const CONNECTIONS_WAITING: u32 = 4096;

/// How long background tasks and the database may take to stop, once no request is in progress.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a stop waits for a backup in progress.
const BACKUP_TIMEOUT: Duration = Duration::from_secs(15);

/// How much of that time mail deliveries in progress may take.
const MAIL_TIMEOUT: Duration = Duration::from_secs(5);

/// An error that keeps the server from running.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Service(#[from] service::Error),
    #[error("can't listen on {address}: {cause}. {}", listen_hint(*address, cause))]
    Listen { address: std::net::SocketAddr, cause: std::io::Error },
    #[error(
        "metrics can't be served on {address}: {cause}. Set metrics.address to a free port on an address of this machine."
    )]
    ListenForMetrics { address: std::net::SocketAddr, cause: std::io::Error },
    #[error("mail can't be sent: {0}. Check mail.url.")]
    Mail(String),
    #[error("{0}")]
    System(#[from] std::io::Error),
}

/// The service and its dependencies, built from a configuration.
#[derive(Debug)]
#[expect(missing_docs, reason = "the types say it")]
pub struct Parts {
    pub service: Service,
    /// The background tasks, not yet started.
    pub maintenance: Maintenance,
    store: Store,
    clock: Option<Arc<DatabaseClock>>,
}

/// Opens the database, runs its migrations, and assembles the service. An old copy of the database is refused.
pub async fn build(config: &Config) -> Result<Parts, Error> {
    let store = Store::open(&config.database.url, config.database.connections).await?;
    if let Err(refused) = store.refuse_old_copy().await {
        // Closing removes the write-ahead log. Otherwise it would be applied to the next file at this path.
        store.close().await;
        return Err(refused.into());
    }
    parts(config, store).await
}

/// Like [`build`], for a restored database, which may be older than the one that was last used here.
pub async fn build_restored(config: &Config) -> Result<Parts, Error> {
    parts(config, Store::open(&config.database.url, config.database.connections).await?).await
}

async fn parts(config: &Config, store: Store) -> Result<Parts, Error> {
    let database_clock = store.clock().await?.map(|reading| Arc::new(DatabaseClock::new(reading)));
    let clock: Arc<dyn Clock> = match &database_clock {
        Some(clock) => Arc::clone(clock) as Arc<dyn Clock>,
        None => Arc::new(SystemClock),
    };
    let mut salt = [0; 16];
    SystemEntropy.fill(&mut salt);
    let hasher = Hasher::new(config.hash_policy(), salt)?;
    let names = name_key::of(&config.database.url, &SystemEntropy)?;
    let (service, maintenance) =
        Service::new(store.clone(), hasher, clock, Arc::new(SystemEntropy), config.policy(), names);
    Ok(Parts { service, maintenance, store, clock: database_clock })
}

/// The pause between two attempts to reach the database server.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// Like [`build`], but retries for up to `database.wait` while the database server can't be reached.
pub async fn build_with_retries(config: &Config) -> Result<Parts, Error> {
    let given_up = tokio::time::Instant::now() + config.database.wait;
    let mut logged = false;
    loop {
        match build(config).await {
            Err(Error::Store(store::Error::Away(cause))) if tokio::time::Instant::now() < given_up => {
                if !logged {
                    tracing::warn!(%cause, timeout = ?config.database.wait, "waiting for the database");
                    logged = true;
                }
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
            built => return built,
        }
    }
}

/// Serves until a stop signal arrives, then finishes the requests in progress. Fails if the server can't start.
pub async fn serve(config: Config) -> Result<(), Error> {
    allow_many_files();
    let mut signalled = Box::pin(stop_signal()?);
    let address = config.server.address;
    let unusable = |cause| Error::Listen { address, cause };
    // The address is bound before the database is opened. A failed start must not create the database's files.
    let socket = bind(address).map_err(unusable)?;
    let metrics_listener = config.metrics.address.map(listen_for_metrics).transpose()?;
    let parts = tokio::select! {
        parts = build_with_retries(&config) => parts?,
        // Nothing is in progress yet.
        () = &mut signalled => return Ok(()),
    };
    let listener = socket.listen(CONNECTIONS_WAITING).map_err(unusable)?;
    let control = open_control(&config);
    let listening = listener.local_addr()?;
    note(parts.service.record_start().await);
    announce(&config, listening);
    setup::announce(&parts.service, &config.base_url(listening)).await;
    let warnings = config.warnings();
    let reminder = tokio::spawn(hourly::repeat(move || warn(&warnings)));

    let stop = CancellationToken::new();
    let mailer = Mailer::new(&config.mail.url, &config.mail.from, config.smtp_options()).map_err(Error::Mail)?;
    let stop_mail = CancellationToken::new();
    let worker = mailer.map(|mailer| {
        let templates = config.mail_templates(listening);
        let worker = parts.service.mail_worker(Arc::new(mailer), templates);
        let stop = stop_mail.clone();
        tokio::spawn(async move { worker.run(stop).await })
    });
    let maintenance = tokio::spawn(parts.maintenance.run(stop.clone().cancelled_owned()));
    let clock = parts.clock.map(|clock| tokio::spawn(keep_time(parts.store, clock)));
    let control =
        control.map(|socket| tokio::spawn(control::serve(socket, parts.service.clone(), config.base_url(listening))));
    let schedule = config.backup_settings().and_then(|settings| parts.service.backup_schedule(settings));
    let backups = schedule.map(|schedule| tokio::spawn(schedule.run(stop.clone())));
    let stopping = stop.clone().cancelled_owned();
    tokio::spawn(async move {
        signalled.await;
        tracing::info!("stopping: finishing requests in progress; send another signal to stop at once");
        stop.cancel();
    });

    let state = state(&config, parts.service.clone());
    let mut pipeline = Pipeline::new(Routes::of(&state), &state.trust, &config.server);
    let metrics = metrics_listener.map(|listener| {
        let metrics = Metrics::new(parts.service.clone(), pipeline.count_requests());
        tokio::spawn(metrics.serve(listener))
    });
    let finished = accept::serve(listener, pipeline, &config.server, Arc::clone(&state.trust), stopping).await;
    // The mail worker stops after the last request, so that the mail of these requests is sent. The rest stays queued.
    stop_mail.cancel();
    for task in clock.into_iter().chain(control).chain(metrics).chain([reminder]) {
        task.abort();
    }
    if let Some(mut backups) = backups
        && tokio::time::timeout(BACKUP_TIMEOUT, &mut backups).await.is_err()
    {
        tracing::warn!("stopped during a backup; the next start makes it");
        backups.abort();
    }
    let closing = async {
        if let Some(mut worker) = worker {
            match tokio::time::timeout(MAIL_TIMEOUT, &mut worker).await {
                Ok(Ok(())) => {}
                Ok(Err(cause)) => tracing::warn!(%cause, "the mail worker failed"),
                Err(_) => {
                    tracing::warn!("stopped during a mail delivery; it will be retried");
                    worker.abort();
                }
            }
        }
        if let Err(cause) = maintenance.await {
            tracing::warn!(%cause, "a background task failed");
        }
        note(parts.service.record_stop().await);
        parts.service.close().await;
    };
    if tokio::time::timeout(CLOSE_TIMEOUT, closing).await.is_err() {
        tracing::warn!("closing the database timed out");
    }
    if let Some(path) = config.database.url.file().map(control::socket_of) {
        drop(std::fs::remove_file(path));
    }
    if finished {
        tracing::info!("stopped");
    } else {
        tracing::warn!("stopped with requests in progress");
    }
    Ok(())
}

/// Logs that a start or a stop has no event. Neither depends on it.
fn note(recorded: Result<(), store::Error>) {
    if let Err(cause) = recorded {
        tracing::warn!(%cause, "an event was not recorded");
    }
}

/// Binds an address. The kernel refuses connections until the socket listens.
fn bind(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections of an earlier server may still be in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Opens the listener for metrics.
fn listen_for_metrics(address: SocketAddr) -> Result<TcpListener, Error> {
    let unusable = |cause| Error::ListenForMetrics { address, cause };
    let listener = bind(address).and_then(|socket| socket.listen(CONNECTIONS_WAITING)).map_err(unusable)?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "metrics are served");
    }
    Ok(listener)
}

/// Builds the server's state from a configuration.
#[must_use]
pub fn state(config: &Config, service: Service) -> AppState {
    let leptos = LeptosOptions::builder().output_name("vestibule").site_addr(config.server.address).build();
    let trust = Arc::new(config.trust());
    AppState::new(Shared { service, brand: config.brand.clone(), leptos, files: assets::page_files(), trust })
}

/// Advice for an address that can't be used.
fn listen_hint(address: std::net::SocketAddr, cause: &std::io::Error) -> String {
    if cause.kind() == std::io::ErrorKind::AddrInUse {
        let other = address.port().checked_add(1).unwrap_or(8000);
        return format!("Stop the program that uses the port, or choose another: vestibule --port {other}");
    }
    "Set server.address to a free port on an address of this machine.".to_owned()
}

fn announce(config: &Config, address: std::net::SocketAddr) {
    if !assets::is_embedded() && !assets::page_files().reload {
        tracing::warn!("this program was built without the page; use `make build` or `cargo leptos watch`");
    }
    warn(&config.warnings());
    tracing::info!(database = %config.database.url, mail = ?config.mail.url, hashing_threads = config.hash_policy().permits, "started");
    if let ConfigSource::DefaultsBeside(other) = &config.source {
        tracing::info!(file = %other.display(), "configuration file ignored: it has no Vestibule section");
    }
    // Standard output may be closed, which must not stop the server.
    let ready = format!("Vestibule is ready: http://{address}\nAPI: http://{address}/api/docs\n");
    drop(std::io::stdout().write_all(ready.as_bytes()));
}

fn warn(warnings: &[String]) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}

/// Raises the limit of open files to its maximum. Each connection needs one, and the usual limit is about a thousand.
fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let files = getrlimit(Resource::Nofile);
    if let Err(cause) = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files }) {
        tracing::warn!(%cause, "can't raise the limit of open files");
    }
}

/// Opens the control socket. Only SQLite needs one; with PostgreSQL the command line connects to the database itself.
fn open_control(config: &Config) -> Option<UnixListener> {
    let path = control::socket_of(config.database.url.file()?);
    match control::open(&path) {
        Ok(listener) => Some(listener),
        Err(cause) => {
            tracing::warn!(%cause, path = %path.display(), "can't open the control socket; `vestibule user` won't work while this server runs");
            None
        }
    }
}

async fn keep_time(store: Store, clock: Arc<DatabaseClock>) {
    loop {
        tokio::time::sleep(CLOCK_INTERVAL).await;
        match store.clock().await {
            Ok(Some(reading)) => clock.set(reading),
            Ok(None) => return,
            Err(cause) => tracing::debug!(%cause, "can't read the database's clock"),
        }
    }
}

/// Completes at the first SIGTERM, SIGINT (Ctrl-C) or SIGHUP (a closed terminal). A second signal exits at once.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let hangup = (!hangups_are_ignored()).then(SignalKind::hangup);
    let (note, mut noted) = tokio::sync::mpsc::channel(1);
    for kind in [SignalKind::terminate(), SignalKind::interrupt()].into_iter().chain(hangup) {
        let (mut signal, note) = (signal(kind)?, note.clone());
        tokio::spawn(async move { while signal.recv().await.is_some() && note.send(()).await.is_ok() {} });
    }
    let (first, asked) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut first = Some(first);
        while noted.recv().await.is_some() {
            match first.take() {
                Some(first) => drop(first.send(())),
                None => std::process::exit(130),
            }
        }
    });
    Ok(async move { drop(asked.await) })
}

/// Whether SIGHUP is ignored, as under `nohup`, so that the program outlives its terminal. In proc(5), the lowest bit
/// of `SigIgn` stands for signal 1.
fn hangups_are_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
