//! Scheduled backups of a SQLite database.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{
    Service,
    clock::Clock,
    entropy::{Entropy, nonce},
    events::stamp,
};
use crate::{
    domain::{
        event::{Details, EventName, Initiator, Subject},
        time::Timestamp,
    },
    store::{self, Store, backup::BackupFolder},
};

/// How often the schedule checks whether a backup is due.
const CHECK_INTERVAL: Duration = Duration::from_mins(1);
/// The longest pause after a failed backup.
const RETRY_AFTER: Duration = Duration::from_mins(15);

/// When and where backups are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupSettings {
    /// The interval.
    pub every: Duration,
    /// The folder. It is created if it doesn't exist.
    pub folder: PathBuf,
    /// How many of them are kept.
    pub keep: usize,
}

/// When the last scheduled backup was begun. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct LastBackup(Arc<AtomicI64>);

impl LastBackup {
    /// `None` if there is none.
    #[must_use]
    pub fn get(&self) -> Option<Timestamp> {
        Some(self.0.load(Ordering::Relaxed)).filter(|millis| *millis > 0).map(Timestamp::from_millis)
    }

    fn set(&self, time: Timestamp) {
        self.0.store(time.as_millis(), Ordering::Relaxed);
    }
}

/// Makes the backups.
#[derive(Debug)]
pub struct BackupSchedule {
    store: Store,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    settings: BackupSettings,
    folder: BackupFolder,
    last: LastBackup,
    /// After a failure, when the next attempt is made.
    retry_at: Option<Timestamp>,
}

impl Service {
    /// Creates the schedule. It continues from the backups in the folder. Returns `None` for PostgreSQL, which has tools
    /// of its own.
    #[must_use]
    pub fn backup_schedule(&self, settings: BackupSettings) -> Option<BackupSchedule> {
        let (store, clock, entropy) = (self.store.clone(), Arc::clone(&self.clock), Arc::clone(&self.entropy));
        let folder = BackupFolder::new(settings.folder.clone(), store.file()?);
        let last = self.last_backup.clone();
        match folder.newest(clock.now()) {
            Ok(Some(newest)) => last.set(newest),
            Ok(None) => {}
            Err(cause) => tracing::warn!(folder = %folder.path().display(), %cause, "can't read the folder of backups"),
        }
        Some(BackupSchedule { store, clock, entropy, settings, folder, last, retry_at: None })
    }

    /// When the last scheduled backup was begun.
    #[must_use]
    pub fn last_backup(&self) -> Option<Timestamp> {
        self.last_backup.get()
    }

    /// Adds the event of a backup that an operator has made.
    pub(super) async fn record_backup(&self, by: Initiator) -> Result<(), store::Error> {
        self.store.record(&self.stamp(by), EventName::BackupMake, Subject::Server, Details::default()).await
    }
}

impl BackupSchedule {
    /// Makes backups until `stop` is cancelled. A backup in progress is finished first. Its connection would keep the
    /// write-ahead log from being moved into the file when the database is closed.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self.run_due().await;
            drop(tokio::time::timeout(CHECK_INTERVAL, stop.cancelled()).await);
        }
    }

    /// Makes a backup if one is due, and deletes the oldest ones beyond the number to keep. After a failure it is retried
    /// later, and none is deleted. Returns whether a backup was made.
    pub async fn run_due(&mut self) -> bool {
        let now = self.clock.now();
        if !self.is_due(now) {
            return false;
        }
        match self.make(now).await {
            Ok(name) => {
                tracing::info!(file = %name.display(), "backup made");
                self.retry_at = None;
                self.last.set(now);
                self.record().await;
                self.prune(now);
                true
            }
            Err(cause) => {
                let wait = self.settings.every.min(RETRY_AFTER);
                tracing::error!(cause, retry_in_s = wait.as_secs(), "the backup failed, will retry");
                self.retry_at = Some(now.plus(wait));
                false
            }
        }
    }

    /// A time in the future was noted before the clock was set back.
    fn is_due(&self, now: Timestamp) -> bool {
        let last = self.last.get().filter(|last| *last <= now);
        let waits = self.retry_at.is_some_and(|at| now < at && at <= now.plus(RETRY_AFTER));
        !waits && last.is_none_or(|last| now.since(last) >= self.settings.every)
    }

    async fn make(&self, now: Timestamp) -> Result<PathBuf, String> {
        let file = self.folder.create(now, nonce(&*self.entropy))?;
        let copied = self.store.copy_into(file.writer()?, nonce(&*self.entropy)).await;
        copied.map_err(|error| error.to_string())?;
        file.finish()
    }

    async fn record(&self) {
        let stamp = stamp(&*self.clock, &*self.entropy, Initiator::server());
        let recorded = self.store.record(&stamp, EventName::BackupMake, Subject::Server, Details::default()).await;
        if let Err(cause) = recorded {
            tracing::warn!(%cause, "an event was not recorded");
        }
    }

    fn prune(&self, now: Timestamp) {
        match self.folder.prune(self.settings.keep, now) {
            Ok(deleted) => deleted.iter().for_each(|file| tracing::info!(file, "old backup deleted")),
            Err(cause) => tracing::warn!(%cause, "an old backup could not be deleted"),
        }
    }
}
