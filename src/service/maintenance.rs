//! The work that goes on in the background: noting when sessions were used, and sweeping out what is over.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use tokio::sync::mpsc;

use super::{Policy, clock::Clock, hasher::Hasher, login::KNOWN_FOR};
use crate::{
    domain::{time::Timestamp, token::TokenHash},
    store::{Cutoffs, Error, Expired, Store},
};

/// Sessions whose use waits to be noted. When it is full, the next use of a session notes it.
pub const SEEN_QUEUE: usize = 4096;
/// Uses noted in one transaction: few enough that it is short on a distant database too.
const SEEN_BATCH: usize = 32;
/// The time between two sweeps.
const SWEEP_INTERVAL: Duration = Duration::from_mins(10);
/// Rows deleted in one transaction: few enough that no login waits long behind it.
const SWEEP_BATCH: usize = 500;
/// Rows of each kind looked for at once.
const SWEEP_SEARCH: u32 = 10_000;
/// Bytes of the largest database file that is rewritten while the server runs, which takes less than a second: some 200,000 accounts.
const REWRITTEN_WHILE_RUNNING: i64 = 64 << 20;
/// The pause after each of them.
const SWEEP_PAUSE: Duration = Duration::from_millis(20);

/// The background work, not yet running.
#[derive(Debug)]
pub struct Maintenance {
    store: Store,
    hasher: Arc<Hasher>,
    clock: Arc<dyn Clock>,
    policy: Arc<Policy>,
    seen: mpsc::Receiver<(TokenHash, Timestamp)>,
    /// Uses that are about to be noted.
    batch: Vec<(TokenHash, Timestamp)>,
}

impl Maintenance {
    pub(super) fn new(
        store: Store,
        hasher: Arc<Hasher>,
        clock: Arc<dyn Clock>,
        policy: Arc<Policy>,
        seen: mpsc::Receiver<(TokenHash, Timestamp)>,
    ) -> Self {
        Self { store, hasher, clock, policy, seen, batch: Vec::new() }
    }

    /// Works until `stop` is done, then writes what it still holds.
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
                    self.note().await;
                }
                _ = sweep.tick() => tokio::select! {
                    () = &mut stop => break,
                    () = self.sweep() => {}
                },
            }
        }
        self.flush().await;
    }

    /// Notes the uses of sessions and access tokens that wait for it.
    pub async fn flush(&mut self) {
        while let Ok(seen) = self.seen.try_recv() {
            self.batch.push(seen);
        }
        self.note().await;
    }

    /// Notes the batch. Given up half-way, it is still there.
    async fn note(&mut self) {
        for seen in self.batch.chunks(SEEN_BATCH) {
            if let Err(cause) = self.store.touch_tokens(seen).await {
                tracing::warn!(%cause, "the last use of some tokens was not noted");
            }
        }
        self.batch.clear();
    }

    /// Removes what has ended, and what it left in the database's files. A failure is logged.
    pub async fn sweep(&mut self) {
        self.hasher.release_memory();
        match self.sweep_all().await {
            Ok(0) => {}
            Ok(rows) => tracing::debug!(rows, "swept out what is over"),
            Err(cause) => tracing::warn!(%cause, "sweeping out what is over failed"),
        }
        if let Err(cause) = self.store.fold_log().await {
            tracing::warn!(%cause, "the database's log was not folded into its file");
        }
        if let Err(cause) = self.store.mark_use().await {
            tracing::warn!(%cause, "the use of the database was not marked");
        }
        self.rewrite().await;
    }

    /// Rewrites a small database file after accounts were deleted. A larger one is rewritten at the next start.
    async fn rewrite(&self) {
        match self.store.rewrite(REWRITTEN_WHILE_RUNNING).await {
            Ok(false) => {}
            Ok(true) => tracing::info!("the database file was rewritten"),
            Err(cause) => {
                tracing::warn!(%cause, "the database file was not rewritten: bytes of deleted accounts may remain");
            }
        }
    }

    async fn sweep_expired(&self, now: Timestamp) -> Result<u64, Error> {
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

    /// Deletes ended sessions, spent throttles, and links and access tokens that are too old to work, in small batches with a
    /// pause after each, so that logins go on. Returns how many rows that were.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn sweep_all(&mut self) -> Result<u64, Error> {
        let mut total = 0;
        loop {
            // First, so that a session that was just used is not taken for one that wasn't.
            self.flush().await;
            let now = self.clock.now();
            let account = &self.policy.account;
            let horizons = Cutoffs {
                allowances: now,
                // No attempt that is under way was counted before this.
                failures: now.minus(account.memory).minus(account.settled_within),
                networks: now.minus(KNOWN_FOR),
                sessions: now.minus(self.policy.session_idle),
            };
            let mut rows = 0;
            for kind in Expired::ALL {
                let keys = self.store.find_expired(kind, horizons, SWEEP_SEARCH).await?;
                for batch in keys.chunks(SWEEP_BATCH) {
                    rows += self.store.purge_expired(kind, batch, horizons).await?;
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
