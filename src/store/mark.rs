//! Detects that an old copy of a SQLite file was put back by hand.
//!
//! The database counts how often it was opened for use. A file beside it, which backups don't copy, stores the same
//! count. A database with a lower count than that file is an old copy: its sessions and tokens may have been revoked
//! since.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::{
    Error, Store,
    begin::DURABLE,
    files::{beside, open_private, sync_folder_of},
    tx::values,
};

const COUNT: &str = "SELECT value FROM server_facts WHERE name = 'uses'";
const SET: &str = "INSERT INTO server_facts (name, value) VALUES ('uses', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value";

/// The file that stores the count for a database.
fn of(database: &Path) -> PathBuf {
    beside(database, ".mark")
}

/// The count stored beside a database. If there is none, every database is accepted.
fn read(database: &Path) -> u64 {
    fs::read_to_string(of(database)).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// Writes the count atomically: after a power failure the file has the old or the new one.
fn write(database: &Path, uses: &str) -> io::Result<()> {
    let (mark, new) = (of(database), beside(database, ".mark.new"));
    let mut file = open_private(&new, true)?;
    file.write_all(uses.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, &mark)?;
    sync_folder_of(&mark)
}

/// Writes the count beside a database that already stores it.
pub(super) fn set(database: &Path, uses: &str) {
    if let Err(cause) = write(database, uses) {
        tracing::warn!(%cause, "an old copy of the database would not be noticed");
    }
}

impl Store {
    /// Refuses a SQLite file that is older than when it was last used here. An empty database that was just created
    /// is accepted. Its count continues from the mark. Otherwise a start without the database would make any old copy
    /// of it pass this check.
    pub async fn refuse_old_copy(&self) -> Result<(), Error> {
        let Some(file) = &self.inner.file else { return Ok(()) };
        let uses = self.uses().await?;
        if uses < read(file) && (uses > 0 || self.has_accounts().await?) {
            return Err(Error::Refused(format!(
                "{} is older than when it was last in use here. If you put a copy back, run `vestibule restored`, which ends all \
                 sessions, links and access tokens.",
                file.display()
            )));
        }
        self.raise_use_count().await
    }

    /// Counts a use of a SQLite file, in it and beside it. If the file is older than its mark, the mark doesn't
    /// change.
    pub async fn count_use(&self) -> Result<(), Error> {
        let Some(file) = &self.inner.file else { return Ok(()) };
        if self.uses().await? < read(file) {
            return Ok(());
        }
        self.raise_use_count().await
    }

    /// Counts a use of a SQLite file, in it and beside it. The new count is higher than all earlier ones of this file
    /// and of files that were in its place.
    pub async fn raise_use_count(&self) -> Result<(), Error> {
        let Some(file) = &self.inner.file else { return Ok(()) };
        let uses = self.raise_use_count_above(file).await?;
        // After the database, so that a kill in between never leaves the database behind its mark.
        set(file, &uses);
        Ok(())
    }

    /// Stores a count that is higher than this database's and than the mark at `place`. Returns it, for [`set`].
    pub(super) async fn raise_use_count_above(&self, place: &Path) -> Result<String, Error> {
        let uses = self.uses().await?.max(read(place)).saturating_add(1).to_string();
        self.write(DURABLE, async |tx| tx.execute(SET, values![&uses]).await).await?;
        Ok(uses)
    }

    async fn uses(&self) -> Result<u64, Error> {
        let uses: Option<(String,)> = self.read(async |conn| conn.fetch_optional(COUNT, &[]).await).await?;
        Ok(uses.and_then(|(uses,)| uses.parse().ok()).unwrap_or(0))
    }

    async fn has_accounts(&self) -> Result<bool, Error> {
        self.read(async |conn| conn.exists("SELECT id FROM users LIMIT 1", &[]).await).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::DatabaseUrl;

    async fn store(folder: &Path) -> Store {
        Store::open(&DatabaseUrl::Sqlite(folder.join("a.db")), 1).await.expect("a store")
    }

    #[tokio::test]
    async fn a_new_mark_replaces_the_old_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let (store, earlier) = (store(folder.path()).await, folder.path().join("earlier"));
        let mark = folder.path().join("a.db.mark");
        store.count_use().await.expect("marked");
        fs::hard_link(&mark, &earlier).expect("a second name");
        store.count_use().await.expect("marked");
        let texts = [&earlier, &mark].map(|path| fs::read_to_string(path).expect("read"));
        assert_eq!(texts, ["1", "2"], "a mark is replaced as a whole");
        assert!(!folder.path().join("a.db.mark.new").exists());
    }

    #[tokio::test]
    async fn a_rejected_copy_keeps_its_mark_and_a_new_file_gets_another_r107() {
        let folder = tempfile::tempdir().expect("a folder");
        let (store, mark) = (store(folder.path()).await, folder.path().join("a.db.mark"));
        fs::write(&mark, "9").expect("written");
        store.count_use().await.expect("nothing to mark");
        assert_eq!(fs::read_to_string(&mark).expect("read"), "9");
        store.refuse_old_copy().await.expect("it is new");
        assert_eq!(fs::read_to_string(&mark).expect("read"), "10");
        fs::write(&mark, "11").expect("written");
        store.refuse_old_copy().await.expect_err("a later copy was in use");
        assert_eq!(fs::read_to_string(&mark).expect("read"), "11");
    }
}
