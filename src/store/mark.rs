//! Noticing that somebody put an old copy of a SQLite file back by hand.
//!
//! The database counts its uses, and a file beside it, which no backup copies, has the same count. A database that is behind it
//! was in use here at a later time: its sessions and tokens may have been revoked since.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use super::{
    DURABLE, Error, Store,
    files::{beside, open_private},
    on_read, on_write,
};

const COUNT: &str = "SELECT value FROM server_facts WHERE name = 'uses'";
const SET: &str = "INSERT INTO server_facts (name, value) VALUES ('uses', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value";

/// The file beside a database.
pub(super) fn of(database: &Path) -> PathBuf {
    beside(database, ".mark")
}

impl Store {
    /// Refuses a SQLite file that is older than when it was last in use here.
    ///
    /// # Errors
    /// [`Error::Refused`], and [`Error::Unavailable`].
    pub async fn refuse_old_copy(&self) -> Result<(), Error> {
        let Some(file) = &self.inner.file else { return Ok(()) };
        let marked = fs::read_to_string(of(file)).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        if self.uses().await? < marked {
            return Err(Error::Refused(format!(
                "{} is older than when it was last in use here. If you put a copy back, run `vestibule restored`, which ends all \
                 sessions, links and access tokens.",
                file.display()
            )));
        }
        self.mark_use().await
    }

    /// Counts a use of a SQLite file, in it and beside it.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn mark_use(&self) -> Result<(), Error> {
        let Some(file) = &self.inner.file else { return Ok(()) };
        let uses = self.uses().await?.saturating_add(1).to_string();
        on_write!(self, DURABLE, tx => sqlx::query(SET).bind(&uses).execute(&mut *tx).await.map(drop)?);
        // Afterwards: a database is never behind its mark by a kill.
        let marked = open_private(&of(file), true).and_then(|mut mark| mark.write_all(uses.as_bytes()));
        if let Err(cause) = marked {
            tracing::warn!(%cause, "an old copy of the database would not be noticed");
        }
        Ok(())
    }

    /// Forgets when the file was last in use here.
    pub fn forget_mark(&self) {
        if let Some(file) = &self.inner.file {
            drop(fs::remove_file(of(file)));
        }
    }

    async fn uses(&self) -> Result<u64, Error> {
        let uses: Option<String> = on_read!(self, conn => sqlx::query_scalar(COUNT).fetch_optional(&mut *conn).await?);
        Ok(uses.and_then(|uses| uses.parse().ok()).unwrap_or(0))
    }
}
