//! Putting the program together, running it, and stopping it in good order.

use std::{future::Future, io::Write as _, net::SocketAddr, sync::Arc, time::Duration};

use leptos::config::LeptosOptions;
use tokio::{
    net::{TcpSocket, UnixListener},
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use super::{
    accept,
    config::{Config, Origin},
    control, hourly, name_key,
    pipeline::Pipeline,
    routes::Routes,
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
        hasher::Hasher,
    },
    store::{self, Store},
};

/// How often a server reads the database server's clock.
const CLOCK_INTERVAL: Duration = Duration::from_secs(10);

/// How many connections the kernel keeps that are not yet accepted.
const CONNECTIONS_WAITING: u32 = 4096;

/// How long the background work and the database may take to end, once no request is under way.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// How much of that is left to the mail under way.
const MAIL_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the program can't run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The service.
    #[error(transparent)]
    Service(#[from] service::Error),
    /// The address.
    #[error("{address} can't be listened on: {cause}. {}", listen_hint(*address, cause))]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        cause: std::io::Error,
    },
    /// What is to bring the mail.
    #[error("mail can't be sent: {0}. Check mail.url.")]
    Mail(String),
    /// The operating system.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

/// The service with everything that it needs, from a configuration.
#[derive(Debug)]
pub struct Parts {
    /// The service.
    pub service: Service,
    /// Its background work, not yet running.
    pub upkeep: Maintenance,
    store: Store,
    clock: Option<Arc<DatabaseClock>>,
}

/// Opens the database, brings its tables up to date, and puts the service together.
///
/// # Errors
/// [`Error::Store`] and [`Error::Service`].
pub async fn assemble(config: &Config) -> Result<Parts, Error> {
    let store = Store::open(&config.database.url, config.database.connections).await?;
    if let Err(refused) = store.refuse_old_copy().await {
        // A log that stays would be read into the next file that is put here.
        store.close().await;
        return Err(refused.into());
    }
    parts(config, store).await
}

/// As [`assemble`], for a database that was restored, and may be older than when it was last in use here.
///
/// # Errors
/// [`Error::Store`] and [`Error::Service`].
pub async fn assemble_restored(config: &Config) -> Result<Parts, Error> {
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
    let (service, upkeep) = Service::new(store.clone(), hasher, clock, Arc::new(SystemEntropy), config.policy(), names);
    Ok(Parts { service, upkeep, store, clock: database_clock })
}

/// How long the database's server is left alone between two attempts to reach it.
const KNOCK_INTERVAL: Duration = Duration::from_millis(500);

/// As [`assemble`], but waits for a database's server that can't be reached yet, for as long as the configuration says.
///
/// # Errors
/// [`Error::Store`] and [`Error::Service`].
pub async fn assemble_with_retries(config: &Config) -> Result<Parts, Error> {
    let given_up = tokio::time::Instant::now() + config.database.wait;
    let mut told = false;
    loop {
        match assemble(config).await {
            Err(Error::Store(store::Error::Away(cause))) if tokio::time::Instant::now() < given_up => {
                if !told {
                    tracing::warn!(%cause, longest = ?config.database.wait, "waiting for the database");
                    told = true;
                }
                tokio::time::sleep(KNOCK_INTERVAL).await;
            }
            assembled => return assembled,
        }
    }
}

/// Serves until a signal to stop, then finishes what is under way.
///
/// # Errors
/// What keeps the server from starting.
pub async fn serve(config: Config) -> Result<(), Error> {
    allow_many_files();
    let mut signalled = Box::pin(stop_signal()?);
    let address = config.server.address;
    let unusable = |cause| Error::Listen { address, cause };
    // Before the database is opened: a start that fails must not make its files.
    let socket = bind(address).map_err(unusable)?;
    let parts = tokio::select! {
        parts = assemble_with_retries(&config) => parts?,
        // Nothing is under way yet.
        () = &mut signalled => return Ok(()),
    };
    let listener = socket.listen(CONNECTIONS_WAITING).map_err(unusable)?;
    let control = open_control(&config);
    let listening = listener.local_addr()?;
    announce(&config, listening);
    let warnings = config.warnings();
    let reminder = tokio::spawn(hourly::repeat(move || warn(&warnings)));

    let (stop, stopping) = watch::channel(false);
    let mailer = Mailer::new(&config.mail.url, &config.mail.from, config.smtp_options()).map_err(Error::Mail)?;
    let (last_post, served) = watch::channel(false);
    let postman = mailer.map(|mailer| {
        let head = config.letterhead(listening);
        let postman = parts.service.postman(Arc::new(mailer), head);
        tokio::spawn(async move { postman.run(served).await })
    });
    let upkeep = tokio::spawn(parts.upkeep.run(stopped(stopping.clone())));
    let clock = parts.clock.map(|clock| tokio::spawn(keep_time(parts.store, clock)));
    let control = control.map(|socket| tokio::spawn(control::serve(socket, parts.service.clone())));
    tokio::spawn(async move {
        signalled.await;
        tracing::info!("stopping: finishing the requests under way; another signal stops at once");
        stop.send_replace(true);
    });

    let state = state(&config, parts.service.clone());
    let front = Pipeline::new(Routes::of(&state), &state.trust, &config.server);
    let finished = accept::serve(listener, front, &config.server, Arc::clone(&state.trust), stopped(stopping)).await;
    // Only now: while requests are answered, their mail goes out. What is not in hand by then waits in the queue.
    last_post.send_replace(true);
    for task in clock.into_iter().chain(control).chain([reminder]) {
        task.abort();
    }
    let closing = async {
        if let Some(mut postman) = postman {
            match tokio::time::timeout(MAIL_TIMEOUT, &mut postman).await {
                Ok(Ok(())) => {}
                Ok(Err(cause)) => tracing::warn!(%cause, "the postman did not end well"),
                Err(_) => {
                    tracing::warn!("stopped with mail under way; it goes out again later");
                    postman.abort();
                }
            }
        }
        if let Err(cause) = upkeep.await {
            tracing::warn!(%cause, "the background work did not end well");
        }
        parts.service.close().await;
    };
    if tokio::time::timeout(CLOSE_TIMEOUT, closing).await.is_err() {
        tracing::warn!("the database could not be closed in time");
    }
    if let Some(path) = config.database.url.file().map(control::socket_of) {
        drop(std::fs::remove_file(path));
    }
    if finished {
        tracing::info!("stopped");
    } else {
        tracing::warn!("stopped with requests under way");
    }
    Ok(())
}

/// Takes an address. Until somebody listens on it, connections are refused.
fn bind(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections of a server that has ended may linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// The state of the server, from a configuration.
#[must_use]
pub fn state(config: &Config, service: Service) -> AppState {
    let leptos = LeptosOptions::builder().output_name("vestibule").site_addr(config.server.address).build();
    let trust = Arc::new(config.trust());
    AppState::new(Shared { service, brand: config.brand.clone(), leptos, files: assets::page_files(), trust })
}

/// What to do when an address can't be listened on.
fn listen_hint(address: std::net::SocketAddr, cause: &std::io::Error) -> String {
    if cause.kind() == std::io::ErrorKind::AddrInUse {
        let other = address.port().checked_add(1).unwrap_or(8000);
        return format!("Stop the program that uses it, or use another port: vestibule --port {other}");
    }
    "Set server.address to a free port on an address of this machine.".to_owned()
}

fn announce(config: &Config, address: std::net::SocketAddr) {
    if !assets::is_embedded() && !assets::page_files().reload {
        tracing::warn!("this program carries no page; build it with `make build`, or run `cargo leptos watch`");
    }
    warn(&config.warnings());
    tracing::info!(database = %config.database.url, mail = ?config.mail.url, hashing_threads = config.hash_policy().permits, "started");
    if let Origin::DefaultsBeside(other) = &config.origin {
        tracing::info!(file = %other.display(), "not read: it has no section of ours, so it is another program's");
    }
    // Standard output may be closed; that is no reason not to serve.
    let ready = format!("Vestibule is ready: http://{address}\nAPI: http://{address}/api/docs\n");
    drop(std::io::stdout().write_all(ready.as_bytes()));
}

fn warn(warnings: &[String]) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}

/// Every connection wants a file descriptor, of which the usual limit allows only a thousand.
fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let files = getrlimit(Resource::Nofile);
    if let Err(cause) = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files }) {
        tracing::warn!(%cause, "the limit of open files could not be raised");
    }
}

/// Only a SQLite file needs it; PostgreSQL can be asked by anybody who knows its password.
fn open_control(config: &Config) -> Option<UnixListener> {
    let path = control::socket_of(config.database.url.file()?);
    match control::open(&path) {
        Ok(listener) => Some(listener),
        Err(cause) => {
            tracing::warn!(%cause, path = %path.display(), "`vestibule user` can't reach this server while it runs");
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
            Err(cause) => tracing::debug!(%cause, "the database's clock could not be read"),
        }
    }
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    drop(stopping.wait_for(|stop| *stop).await);
}

/// Ends with the first SIGTERM, Ctrl-C or, as when its terminal is closed, SIGHUP. The second one ends the process at once.
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

/// Whether the program was started by `nohup` or the like, so that it outlives its terminal (proc(5): the lowest bit of
/// `SigIgn` is that of signal 1).
fn hangups_are_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
