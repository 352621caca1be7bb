//! What a restored database may not bring back: whatever was revoked since.

use std::{
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Service,
    entropy::{Entropy, nonce},
};
use crate::{
    domain::time::Timestamp,
    store::{Error, Forget, Forgotten, Prepared, Since, SinceAccount, Store},
};

/// Mail that waits for longer than this is dropped: most of it has been sent since.
const MAIL_LASTS: Duration = Duration::from_hours(1);

/// What the operator wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Whether personal access tokens stay as they were in the backup.
    pub keep_access_tokens: bool,
    /// Whether accounts stay open that were disabled or deleted, moved to another email, or were claimed, since the backup.
    pub trust_backup: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// Where the database is.
    pub database: PathBuf,
    /// What is kept of the one of before.
    pub kept: Vec<PathBuf>,
    /// When the backup's newest entry was made, in words.
    pub newest: Option<String>,
    /// What was ended.
    pub forgotten: Forgotten,
    /// What has changed since the backup, if the database of before could be read.
    pub since: Option<Since>,
}

/// Puts a copy in the place of a SQLite file. Whatever happens meanwhile, there is a whole database, the one of before or the copy.
///
/// # Errors
/// [`Error::InUse`] while a server runs; what the store says of a copy that can't be used.
pub async fn restore(
    database: &Path,
    source: File,
    wish: Wish,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<Report, Error> {
    let prepared = Prepared::new(database, &source, nonce(entropy)).await?;
    let newest = prepared.store.newest().await?.map(Timestamp::in_words);
    let since = prepared.since().await;
    let closed: Vec<SinceAccount> = match &since {
        Some(since) if !wish.trust_backup => {
            [&since.deleted, &since.disabled, &since.emails, &since.claimed].into_iter().flatten().cloned().collect()
        }
        _ => Vec::new(),
    };
    let keep_links = since.as_ref().map_or(&[][..], |since| &since.undo_links);
    let forgotten = forget(&prepared.store, wish, now, (&closed, keep_links)).await?;
    let kept = prepared.put_in_place(now).await?;
    Ok(Report { database: database.to_owned(), kept, newest, forgotten, since })
}

async fn forget(
    store: &Store,
    wish: Wish,
    now: Timestamp,
    (disable, keep_links): (&[SinceAccount], &[Vec<u8>]),
) -> Result<Forgotten, Error> {
    let mails_before = now.minus(MAIL_LASTS);
    let keep_access_tokens = wish.keep_access_tokens;
    store.forget_after_restore(Forget { now, mails_before, keep_access_tokens, disable, keep_links }).await
}

impl Service {
    /// Ends what a database that was restored by other means has brought back.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn forget_after_restore(&self, wish: Wish) -> Result<Forgotten, Error> {
        let forgotten = forget(&self.store, wish, self.clock.now(), (&[], &[])).await?;
        self.store.outdo_mark().await?;
        Ok(forgotten)
    }
}
