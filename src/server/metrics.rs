//! Metrics for Prometheus, on a listener of their own.
//!
//! No label holds a person, an address or a path that a client chose.

mod listener;
mod page;
mod process;
mod requests;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, prometheus_text},
    registry::Registry,
};
use tokio::net::TcpListener;

use self::page::Page;
pub use self::requests::RequestCounts;
use crate::{
    domain::time::Timestamp,
    service::{Service, counts::Counts, passwords::HashTimes},
    store::StoredFigures,
};

/// How often the figures are read that take a query. A scrape never waits for the database.
const REFRESH_INTERVAL: Duration = Duration::from_mins(1);

/// Everything that a scrape reads.
#[derive(Debug)]
pub struct Metrics {
    service: Service,
    requests: Arc<RequestCounts>,
    started: Timestamp,
    /// `None` until the first query has succeeded.
    stored: Mutex<Option<StoredFigures>>,
}

impl Metrics {
    /// Metrics of a service and of the requests that are counted for it.
    #[must_use]
    pub fn new(service: Service, requests: Arc<RequestCounts>) -> Self {
        let started = service.now();
        Self { service, requests, started, stored: Mutex::default() }
    }

    /// Serves scrapes until the task is aborted.
    pub async fn serve(self, listener: TcpListener) {
        let metrics = Arc::new(self);
        tokio::join!(metrics.keep_fresh(), listener::serve(&listener, &metrics));
    }

    /// Reads the figures that take a query. If that fails, the scrape shows the previous ones.
    pub async fn refresh(&self) {
        match self.service.stored_figures().await {
            Ok(figures) => *self.stored() = Some(figures),
            Err(cause) => tracing::debug!(%cause, "the figures of the database could not be read"),
        }
    }

    async fn keep_fresh(&self) {
        loop {
            self.refresh().await;
            tokio::time::sleep(REFRESH_INTERVAL).await;
        }
    }

    fn stored(&self) -> std::sync::MutexGuard<'_, Option<StoredFigures>> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All metrics in the text format of Prometheus.
    ///
    /// # Errors
    /// None is known: a text accepts everything.
    pub fn text(self: &Arc<Self>) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix("vestibule");
        registry.register_collector(Box::new(Arc::clone(self)));
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry)?;
        let mut registry = Registry::with_prefix("process");
        registry.register_collector(Box::new(process::Process { started: self.started }));
        prometheus_text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl Collector for Metrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        page.gauges("build_info", "The version of the program.", [([("version", env!("CARGO_PKG_VERSION"))], 1)])?;
        self.requests.encode(&mut page)?;
        self.encode_counts(&mut page)?;
        self.encode_hashing(&mut page)?;
        self.encode_stored(&mut page)
    }
}

impl Metrics {
    fn encode_counts(&self, page: &mut Page<'_>) -> fmt::Result {
        let Counts { logins, registrations, limited, mails } = self.service.counts();
        let labelled = |label: &'static str| move |(name, count): (&'static str, u64)| ([(label, name)], count);
        page.counters("logins", "Logins with a password, by result.", logins.read().map(labelled("result")))?;
        let help = "Registrations on the page and by the API, by result.";
        page.counters("registrations", help, registrations.read().map(labelled("result")))?;
        let help = "Requests that a rate limit rejected, by limit.";
        page.counters("rate_limited", help, limited.read().map(labelled("limit")))?;
        page.counters("mail", "Attempts to send a mail, by result.", mails.read().map(labelled("result")))?;
        let stored = self.service.store_counts();
        let help = "Events that this server added to the audit trail, by name.";
        page.counters("events", help, stored.events.read().map(labelled("name")))?;
        let help = "Operations of the database that failed, by kind.";
        page.counters("database_errors", help, stored.failures.read().map(labelled("kind")))
    }

    fn encode_hashing(&self, page: &mut Page<'_>) -> fmt::Result {
        let (used, size) = self.service.hashing_load();
        page.gauge("hashing_queue", "Requests that hash a password or wait for it.", used)?;
        page.gauge("hashing_queue_limit", "The maximum of vestibule_hashing_queue.", size)?;
        let HashTimes { own, foreign } = self.service.hash_times();
        let kinds = [("own", own), ("foreign", foreign)];
        let rows = kinds.into_iter().filter_map(|(kind, times)| Some(([("kind", kind)], times.read()?)));
        let help = "How long password hashes took, with argon2id (own) or as another system computed them (foreign).";
        page.histograms("hashing_seconds", help, rows)
    }

    fn encode_stored(&self, page: &mut Page<'_>) -> fmt::Result {
        if let Some(last) = self.service.last_backup() {
            let help = "When the last scheduled backup was begun, in seconds since 1970.";
            page.gauge("backup_timestamp_seconds", help, last.as_millis() / 1000)?;
        }
        page.gauge("accounts", "Accounts, as counted in the last ten minutes.", self.service.accounts_counted())?;
        let Some(StoredFigures { sessions, mails }) = *self.stored() else { return Ok(()) };
        page.gauge("sessions", "Valid sessions, as counted in the last minute.", sessions)?;
        page.gauge("mail_queue", "Queued mails, as counted in the last minute.", mails)
    }
}
