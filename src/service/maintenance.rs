//! Background work: records when sessions and tokens were used, and deletes expired rows.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use strum::VariantArray as _;
use tokio::sync::mpsc;

use super::{
    Policy,
    clock::Clock,
    entropy::Entropy,
    outbox::Outbox,
    passwords::Passwords,
    rate_limits::{KNOWN_FOR, RateLimits},
};
use crate::{
    domain::{event::EventName, time::Timestamp, token::TokenHash},
    store::{Cutoffs, Error, Expired, Store},
};

/// Length of the queue of uses to record. If it is full, the use is
/// dropped, and the session's next use is recorded.
pub const SEEN_QUEUE: usize = 4096;
/// Uses recorded per transaction. The number is small, so that a transaction is short on a distant database too.
const SEEN_BATCH: usize = 32;
/// The interval between two sweeps.
const SWEEP_INTERVAL: Duration = Duration::from_mins(10);
/// Rows deleted per transaction. The number is small, so that no login waits long for it.
const SWEEP_BATCH: usize = 500;
/// Events deleted per transaction.
const EVENTS_BATCH: u32 = 500;
/// Rows of each kind per search.
const SWEEP_SEARCH: u32 = 10_000;
/// The largest database file, in bytes, that is rewritten while the server runs. That takes less than a second and is
/// enough for about 200,000 accounts.
const MAX_ONLINE_REWRITE: i64 = 64 << 20;
/// The pause after each batch.
const SWEEP_PAUSE: Duration = Duration::from_millis(20);

/// The background work. It starts with [`Maintenance::run`].
#[derive(Debug)]
pub struct Maintenance {
    pub(super) store: Store,
    pub(super) passwords: Arc<Passwords>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) policy: Arc<Policy>,
    pub(super) rate_limits: Arc<RateLimits>,
    pub(super) outbox: Arc<Outbox>,
    /// The number of accounts.
    pub(super) accounts: Arc<AtomicI64>,
    pub(super) seen: mpsc::Receiver<(TokenHash, Timestamp)>,
    /// Uses that are about to be recorded.
    pub(super) batch: Vec<(TokenHash, Timestamp)>,
}

impl Maintenance {
    /// Runs until `stop` completes, then records the remaining uses.
    pub async fn run(mut self, stop: impl Future<Output = ()> + Send) {
        let mut stop = pin!(stop);
        let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
        loop {
            tokio::select! {
                () = &mut stop => break,
                received = self.seen.recv_many(&mut self.batch, SEEN_BATCH) => {
                    if received == 0 {
                        break;
                    }
                    self.record().await;
                }
                _ = sweep.tick() => tokio::select! {
                    () = &mut stop => break,
                    () = self.sweep() => {}
                },
            }
        }
        self.flush().await;
    }

    /// Records the queued uses of sessions and access tokens.
    pub async fn flush(&mut self) {
        while let Ok(seen) = self.seen.try_recv() {
            self.batch.push(seen);
        }
        self.record().await;
    }

    /// Records the batch. If this is cancelled, the batch is still there.
    async fn record(&mut self) {
        for seen in self.batch.chunks(SEEN_BATCH) {
            if let Err(cause) = self.store.touch_tokens(seen).await {
                tracing::warn!(%cause, "the last use of some tokens could not be recorded");
            }
        }
        self.batch.clear();
    }

    /// Deletes expired rows, and their remains in the database's files. Counts the accounts. Failures are logged.
    pub async fn sweep(&mut self) {
        self.passwords.release_memory();
        match self.sweep_all().await {
            Ok(0) => {}
            Ok(rows) => tracing::debug!(rows, "expired rows deleted"),
            Err(cause) => tracing::warn!(%cause, "expired rows could not be deleted"),
        }
        match self.sweep_accounts().await {
            Ok(0) => {}
            Ok(accounts) => tracing::info!(accounts, "accounts deleted that were not used or approved in time"),
            Err(cause) => tracing::warn!(%cause, "expired accounts could not be deleted"),
        }
        if let Err(cause) = self.notify_approvers().await {
            tracing::warn!(%cause, "operators could not be notified of accounts that wait for approval");
        }
        match self.sweep_events().await {
            Ok(0) => {}
            Ok(events) => tracing::info!(events, "old events deleted"),
            Err(cause) => tracing::warn!(%cause, "old events could not be deleted"),
        }
        if let Err(cause) = self.store.checkpoint().await {
            tracing::warn!(%cause, "the database's write-ahead log could not be checkpointed");
        }
        if let Err(cause) = self.store.count_use().await {
            tracing::warn!(%cause, "could not record the last use of the database");
        }
        if let Err(cause) = self.passwords.measure_foreign_hashes().await {
            tracing::warn!(%cause, "the cost of imported password hashes could not be measured");
        }
        match self.store.forget_foreign_hashes().await {
            Ok(false) => {}
            Ok(true) => tracing::info!("every imported password hash was replaced"),
            Err(cause) => tracing::warn!(%cause, "could not look for imported password hashes"),
        }
        self.rewrite().await;
        match self.store.count_accounts().await {
            Ok(count) => self.accounts.store(count, Ordering::Relaxed),
            Err(cause) => tracing::warn!(%cause, "the accounts could not be counted"),
        }
    }

    /// Rewrites a small database file after accounts were deleted. A larger one is rewritten at the next start.
    async fn rewrite(&self) {
        match self.store.rewrite(MAX_ONLINE_REWRITE).await {
            Ok(false) => {}
            Ok(true) => tracing::info!("the database file was rewritten"),
            Err(cause) => {
                tracing::warn!(%cause, "the database file was not rewritten: bytes of deleted accounts may remain");
            }
        }
    }

    /// Deletes old events in small batches with a pause after each. Returns how many.
    pub async fn sweep_events(&self) -> Result<u64, Error> {
        let (now, mut total) = (self.clock.now(), 0);
        let (all, logins) = (now.minus(self.policy.keep_events), now.minus(self.policy.keep_login_events));
        for &name in EventName::VARIANTS {
            let before = if name.is_login() { logins } else { all };
            while self.store.has_events_before(name, before).await? {
                total += self.store.delete_events_before(name, before, EVENTS_BATCH).await?;
                tokio::time::sleep(SWEEP_PAUSE).await;
            }
        }
        Ok(total)
    }

    async fn sweep_expired(&self, now: Timestamp) -> Result<u64, Error> {
        self.store.sweep_setup_link(now).await?;
        self.store.sweep_invitations(now).await?;
        let mut total = 0;
        loop {
            let rows = self.store.sweep_expired(now, SWEEP_BATCH).await?;
            if rows == 0 {
                return Ok(total);
            }
            total += rows;
            tokio::time::sleep(SWEEP_PAUSE).await;
        }
    }

    /// Deletes expired sessions, rate limits, links and access tokens, and returns the number of rows. It works in
    /// small batches with a pause after each, so that logins are not blocked.
    pub async fn sweep_all(&mut self) -> Result<u64, Error> {
        let mut total = 0;
        loop {
            // Recorded first, so that a session that was just used is not considered expired.
            self.flush().await;
            let now = self.clock.now();
            let account = &self.policy.account;
            let cutoffs = Cutoffs {
                allowances: now,
                // No attempt in progress was counted before this.
                failures: now.minus(account.reset_after).minus(account.settled_within),
                networks: now.minus(KNOWN_FOR),
                sessions: now.minus(self.policy.session_idle),
            };
            let mut rows = 0;
            for kind in Expired::ALL {
                let keys = self.store.find_expired(kind, cutoffs, SWEEP_SEARCH).await?;
                for batch in keys.chunks(SWEEP_BATCH) {
                    rows += self.store.purge_expired(kind, batch, cutoffs).await?;
                    tokio::time::sleep(SWEEP_PAUSE).await;
                }
            }
            total += rows + self.sweep_expired(now).await?;
            if rows < u64::from(SWEEP_SEARCH) {
                return Ok(total);
            }
        }
    }
}
