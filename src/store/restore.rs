//! Replaces a SQLite file with a copy, and removes outdated access from a restored database.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::{
    DatabaseUrl, Db, Error, Store,
    aside::{fold, fold_before, free_name, refuse_log, set_aside},
    backup::check,
    begin::DURABLE,
    connect::{SqliteLock, cannot_open, lock},
    draft::{Draft, Nonce, Purpose},
    events::{Event, record},
    failed_logins::forget_failures_in,
    files::sync_folder_of,
    mark,
    tx::values,
};
use crate::domain::{
    event::{Details, EventName, Stamp, Subject},
    time::Timestamp,
};

/// What to remove from a restored database.
#[derive(Debug)]
pub struct Revocation<'a> {
    /// The stamp of the restore.
    pub stamp: Stamp,
    /// Mail created before this is deleted.
    pub mails_before: Timestamp,
    /// Whether personal access tokens stay valid.
    pub keep_access_tokens: bool,
    /// What the backup would restore although it was withdrawn since.
    pub withdrawn: Withdrawn<'a>,
    /// The hashes of links that stay valid.
    pub keep_links: &'a [Vec<u8>],
}

/// What was withdrawn since a backup, and is withdrawn again.
#[derive(Debug, Default)]
pub struct Withdrawn<'a> {
    /// Accounts to disable.
    pub accounts: Vec<&'a SinceAccount>,
    /// Accounts to take the role from.
    pub roles: &'a [SinceAccount],
    /// Accounts to remove from a group.
    pub memberships: &'a [SinceMembership],
}

/// How many rows of each kind were removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field counts what its name says")]
pub struct Revoked {
    pub sessions: u64,
    /// Links in mails.
    pub links: u64,
    pub access_tokens: u64,
    /// Queued mails.
    pub mails: u64,
}

/// An account in the backup that has changed since.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are columns of the table")]
pub struct SinceAccount {
    pub id: String,
    pub username: String,
}

/// An account that has left a group since the backup.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are columns of the tables")]
pub struct SinceMembership {
    pub group_id: String,
    pub user_id: String,
    pub username: String,
}

/// The relevant changes since a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Since {
    /// The number of accounts created.
    pub made: u64,
    /// Deleted accounts.
    pub deleted: Vec<SinceAccount>,
    /// Disabled accounts.
    pub disabled: Vec<SinceAccount>,
    /// Accounts with another email.
    pub emails: Vec<SinceAccount>,
    /// Accounts created by someone else that the owner of the email has claimed.
    pub claimed: Vec<SinceAccount>,
    /// Accounts with another username, listed by their username in the backup.
    pub usernames: Vec<SinceAccount>,
    /// Accounts that have lost or changed their role.
    pub roles: Vec<SinceAccount>,
    /// Accounts that have left a group.
    pub memberships: Vec<SinceMembership>,
    /// Accounts with another password.
    pub passwords: Vec<SinceAccount>,
    /// The hashes of valid links that undo a change of email. With them an owner recovers the account.
    pub undo_links: Vec<Vec<u8>>,
}

const COUNT_NEW_ACCOUNTS: &str = "SELECT COUNT(*) FROM present.users WHERE id NOT IN (SELECT id FROM main.users)";
const DELETED: &str =
    "SELECT id, username FROM main.users WHERE id NOT IN (SELECT id FROM present.users) ORDER BY username";
const DISABLED: &str = "SELECT b.id, b.username FROM main.users b JOIN present.users p ON p.id = b.id \
    WHERE b.disabled_at IS NULL AND p.disabled_at IS NOT NULL ORDER BY b.username";
const PASSWORDS: &str = "SELECT b.id, b.username FROM main.users b JOIN present.users p ON p.id = b.id \
    WHERE b.password_hash <> p.password_hash ORDER BY b.username";
const EMAILS: &str = "SELECT b.id, b.username FROM main.users b JOIN present.users p ON p.id = b.id \
    WHERE b.email_key <> p.email_key ORDER BY b.username";
const CLAIMED: &str = "SELECT b.id, b.username FROM main.users b JOIN present.users p ON p.id = b.id \
    WHERE b.email_verified_at IS NULL AND p.email_verified_at IS NOT NULL AND b.password_hash <> p.password_hash \
    ORDER BY b.username";
const UNDO_LINKS: &str = "SELECT b.token_hash FROM main.links b JOIN present.links p ON p.token_hash = b.token_hash \
    WHERE b.kind = 'undo_email'";
const USERNAMES: &str = "SELECT b.id, b.username FROM main.users b JOIN present.users p ON p.id = b.id \
    WHERE b.username <> p.username ORDER BY b.username";
const ROLES: &str = "SELECT b.id, b.username FROM main.users b LEFT JOIN present.users p ON p.id = b.id \
    WHERE b.role IS NOT NULL AND b.role <> COALESCE(p.role, '') ORDER BY b.username";
const MEMBERSHIPS: &str = "SELECT b.group_id, b.user_id, u.username FROM main.group_members b \
    JOIN main.users u ON u.id = b.user_id WHERE (b.group_id, b.user_id) NOT IN \
    (SELECT group_id, user_id FROM present.group_members) ORDER BY u.username";
/// Whether the previous database has the tables of this version. One of an older version has no roles or groups.
const HAS_GROUPS: &str = "SELECT COUNT(*) FROM present.sqlite_schema WHERE name = 'group_members'";
const NEWEST: &str = "SELECT MAX(at) FROM (SELECT MAX(created_at) AS at FROM users UNION ALL \
    SELECT MAX(last_login_at) FROM users UNION ALL SELECT MAX(last_seen_at) FROM sessions) AS times";

/// A copy that is ready to replace a database. The database is locked meanwhile.
#[derive(Debug)]
pub struct Prepared {
    /// The copy, opened.
    pub store: Store,
    draft: Draft,
    database: PathBuf,
    /// Whether there was a database before.
    present: bool,
    _lock: SqliteLock,
}

impl Prepared {
    /// Copies a backup into a draft, checks it, and applies pending migrations. The nonce becomes part of the draft's
    /// name.
    ///
    /// # Errors
    /// [`Error::InUse`] while a server runs, [`Error::Refused`] for a copy that can't be used.
    pub async fn new(database: &Path, source: &File, nonce: Nonce) -> Result<Self, Error> {
        // A failed attempt without a database leaves an empty file.
        let present = fs::metadata(database).is_ok_and(|metadata| metadata.len() > 0);
        let lock = lock(database).await?;
        let draft = Draft::new(database, Purpose::Restore, nonce)?;
        draft.fill(source).await?;
        check(&draft.path).await?;
        draft.unlock()?;
        let store = Store::open(&DatabaseUrl::Sqlite(draft.path.clone()), 1).await?;
        Ok(Self { store, draft, database: database.to_owned(), present, _lock: lock })
    }

    /// The changes since the copy was made, if the previous database can be read.
    pub async fn since(&self) -> Option<Since> {
        if !self.present {
            return None;
        }
        let compared = self.compare().await;
        compared.inspect_err(|cause| tracing::debug!(%cause, "the previous database can't be read")).ok()
    }

    async fn compare(&self) -> Result<Since, Error> {
        let Db::Sqlite { write, .. } = &self.store.inner.db else { return Ok(Since::default()) };
        let mut connection = write.lock().await?;
        let name = self.database.to_string_lossy().into_owned();
        sqlx::query("ATTACH DATABASE $1 AS present").bind(name).execute(&mut *connection).await?;
        let compared = async {
            let made: i64 = sqlx::query_scalar(COUNT_NEW_ACCOUNTS).fetch_one(&mut *connection).await?;
            let mut lists = Vec::new();
            for sql in [DELETED, DISABLED, EMAILS, CLAIMED, USERNAMES, PASSWORDS] {
                let rows: Vec<(String, String)> = sqlx::query_as(sql).fetch_all(&mut *connection).await?;
                lists.push(rows.into_iter().map(|(id, username)| SinceAccount { id, username }).collect());
            }
            let has_groups: i64 = sqlx::query_scalar(HAS_GROUPS).fetch_one(&mut *connection).await?;
            let (mut roles, mut memberships) = (Vec::new(), Vec::new());
            if has_groups > 0 {
                let rows: Vec<(String, String)> = sqlx::query_as(ROLES).fetch_all(&mut *connection).await?;
                roles.extend(rows.into_iter().map(|(id, username)| SinceAccount { id, username }));
                let rows: Vec<(String, String, String)> =
                    sqlx::query_as(MEMBERSHIPS).fetch_all(&mut *connection).await?;
                let left = |(group_id, user_id, username)| SinceMembership { group_id, user_id, username };
                memberships.extend(rows.into_iter().map(left));
            }
            let undo_links = sqlx::query_scalar(UNDO_LINKS).fetch_all(&mut *connection).await?;
            let mut lists = lists.into_iter();
            let mut next = || lists.next().unwrap_or_default();
            Ok(Since {
                made: u64::try_from(made).unwrap_or(0),
                deleted: next(),
                disabled: next(),
                emails: next(),
                claimed: next(),
                usernames: next(),
                passwords: next(),
                roles,
                memberships,
                undo_links,
            })
        };
        let compared = compared.await;
        // Also moves the log of the attached database into its file.
        sqlx::query("DETACH DATABASE present").execute(&mut *connection).await?;
        compared
    }

    /// Replaces the database with the copy. The previous database is kept beside it, and the paths of its files are
    /// returned.
    ///
    /// # Errors
    /// [`Error::Refused`]. The previous database is then still in place. The exception is when the disk didn't
    /// confirm the copy, which the message says.
    pub async fn put_in_place(self, now: Timestamp) -> Result<Vec<PathBuf>, Error> {
        let Self { store, draft, database, present, _lock } = self;
        // Higher than the previous database's count. Otherwise that database could be put back by hand, with all
        // access that was ended here.
        let uses = store.raise_use_count_above(&database).await?;
        // The log contains the changes made to the copy, and would be left behind by the rename.
        if let Db::Sqlite { write, .. } = &store.inner.db {
            let mut connection = write.lock().await?;
            fold(&mut connection, &draft.path).await?;
        }
        store.close().await;
        drop(store);
        refuse_log(&draft.path)?;
        if present {
            fold_before(&database).await?;
        }
        let time = now.to_rfc3339().replace(['-', ':'], "");
        let kept = set_aside(&database, &free_name(&database, &time), present)?;
        fs::rename(&draft.path, &database).map_err(|cause| cannot_open(&database, &cause))?;
        let synced = sync_folder_of(&database);
        mark::set(&database, &uses);
        confirm(&database, synced)?;
        Ok(kept)
    }
}

/// Reports that the copy is in place if the disk didn't confirm that.
fn confirm(database: &Path, synced: io::Result<()>) -> Result<(), Error> {
    synced.map_err(|cause| {
        Error::Refused(format!(
            "the backup is in place as {}, but the disk didn't confirm that: {cause}. After a power failure the previous \
             database may be back. Then restore again.",
            database.display()
        ))
    })
}

impl Store {
    /// The time of the newest creation or use of a row, if there is one.
    pub async fn newest(&self) -> Result<Option<Timestamp>, Error> {
        let (newest,): (Option<i64>,) = self.read(async |conn| conn.fetch_one(NEWEST, &[]).await).await?;
        Ok(newest.map(Timestamp::from_millis))
    }

    /// Removes access that a restored database would make valid again, in one transaction.
    pub async fn revoke_after_restore(&self, revocation: Revocation<'_>) -> Result<Revoked, Error> {
        let Revocation { stamp, mails_before, keep_access_tokens, withdrawn, keep_links } = revocation;
        self.write(DURABLE, async |tx| {
            // The copy may not know that an account was used or approved since.
            tx.execute("UPDATE users SET kept_until = NULL WHERE kept_until IS NOT NULL", &[]).await?;
            let mut number = 0;
            for account in withdrawn.accounts {
                let sql = "UPDATE users SET disabled_at = $2 WHERE id = $1 AND disabled_at IS NULL";
                if tx.execute(sql, values![&account.id, stamp.at]).await? == 1 {
                    number += 1;
                    let event = Event::of(EventName::AccountDisable, &account.id);
                    record(tx, &stamp.numbered(number), event).await?;
                }
            }
            for account in withdrawn.roles {
                tx.execute("UPDATE users SET role = NULL WHERE id = $1", values![&account.id]).await?;
                number += 1;
                record(tx, &stamp.numbered(number), Event::of(EventName::RoleChange, &account.id)).await?;
            }
            for SinceMembership { group_id, user_id, .. } in withdrawn.memberships {
                let sql = "DELETE FROM group_members WHERE group_id = $1 AND user_id = $2";
                tx.execute(sql, values![group_id, user_id]).await?;
                number += 1;
                let details = Details { group: Some(group_id.clone()), ..Details::default() };
                let event = Event::of(EventName::GroupLeave, user_id).with(details);
                record(tx, &stamp.numbered(number), event).await?;
            }
            let sessions = tx.execute("DELETE FROM sessions", &[]).await?;
            let mut links: Vec<Vec<u8>> = tx.fetch_column("SELECT token_hash FROM links", &[]).await?;
            links.retain(|link| !keep_links.contains(link));
            for link in &links {
                tx.execute("DELETE FROM links WHERE token_hash = $1", values![link]).await?;
            }
            let links = links.len() as u64;
            // Disabling revokes tokens, so none may become valid when the account is enabled.
            let revoke = if keep_access_tokens {
                "DELETE FROM access_tokens WHERE user_id IN (SELECT id FROM users WHERE disabled_at IS NOT NULL)"
            } else {
                "DELETE FROM access_tokens"
            };
            let access_tokens = tx.execute(revoke, &[]).await?;
            tx.execute("DELETE FROM setup_links", &[]).await?;
            // Some may have been used or revoked since the backup.
            tx.execute("DELETE FROM invitations", &[]).await?;
            // Networks may have been forgotten since the backup. The next logins store them again.
            tx.execute(concat!(forget_failures_in!(), "(SELECT key FROM known_networks)"), &[]).await?;
            tx.execute("DELETE FROM known_networks", &[]).await?;
            // A queued mail about a change of email becomes a link, which may have been revoked since the backup.
            let sql = "DELETE FROM mails WHERE created_at < $1 OR kind = 'change_email'";
            let mails = tx.execute(sql, values![mails_before]).await?;
            let tokens_revoked = Some(!keep_access_tokens);
            let details = Details { sessions_ended: Some(sessions), tokens_revoked, ..Details::default() };
            record(tx, &stamp, Event::done(EventName::RestoreApply, Subject::Server).with(details)).await?;
            Ok(Revoked { sessions, links, access_tokens, mails })
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection as _, Executor as _, SqliteConnection};

    use super::{super::files::beside, *};
    use crate::store::backup::open;

    const NOW: Timestamp = Timestamp::from_millis(1_764_000_000_000);

    async fn store(path: &Path) -> Store {
        Store::open(&DatabaseUrl::Sqlite(path.to_owned()), 1).await.expect("a store")
    }

    /// A folder with a closed database and a copy of it.
    async fn folder_with_copy() -> (tempfile::TempDir, PathBuf, File) {
        let folder = tempfile::tempdir().expect("a folder");
        let (database, copy) = (folder.path().join("a.db"), folder.path().join("copy.db"));
        store(&database).await.close().await;
        fs::copy(&database, &copy).expect("copied");
        (folder, database, File::open(copy).expect("opened"))
    }

    /// Another program that is reading.
    async fn reader(path: &Path) -> SqliteConnection {
        let mut reader = open(path, true, super::super::DATABASE_TIMEOUT).await.expect("opened");
        reader.execute("BEGIN; SELECT COUNT(*) FROM users").await.expect("read");
        reader
    }

    fn kept(folder: &Path) -> usize {
        let entries = fs::read_dir(folder).expect("a folder").flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().contains("before")).count()
    }

    #[tokio::test]
    async fn a_copy_with_a_pending_log_is_not_put_in_place_r107() {
        let (folder, database, copy) = folder_with_copy().await;
        let before = fs::read(&database).expect("read");
        let prepared = Prepared::new(&database, &copy, [1; 8]).await.expect("prepared");
        let reader = reader(&prepared.draft.path).await;
        prepared.store.count_use().await.expect("written");
        let refused = prepared.put_in_place(NOW).await.expect_err("refused").to_string();
        assert!(refused.starts_with("another program is reading"), "{refused}");
        assert!(fs::read(&database).expect("read") == before && kept(folder.path()) == 0);
        reader.close().await.expect("closed");
    }

    #[tokio::test]
    async fn a_database_in_use_is_not_replaced() {
        let (folder, database, copy) = folder_with_copy().await;
        let used = store(&database).await;
        let reader = reader(&database).await;
        used.count_use().await.expect("written");
        used.close().await;
        drop(used);
        let prepared = Prepared::new(&database, &copy, [1; 8]).await.expect("prepared");
        let refused = prepared.put_in_place(NOW).await.expect_err("refused").to_string();
        assert!(refused.starts_with("another program is reading") && kept(folder.path()) == 0, "{refused}");
        reader.close().await.expect("closed");
        let again = Prepared::new(&database, &copy, [2; 8]).await.expect("prepared");
        assert_eq!(again.put_in_place(NOW).await.expect("in place").len(), 1, "the log is in the file");
    }

    #[test]
    fn an_unconfirmed_write_of_a_restored_copy_is_reported() {
        let failed = io::Error::other("the disk is gone");
        let words = confirm(Path::new("a.db"), Err(failed)).expect_err("refused").to_string();
        assert!(
            words.starts_with("the backup is in place as a.db, but") && words.contains("the disk is gone"),
            "{words}"
        );
        confirm(Path::new("a.db"), Ok(())).expect("no error");
    }

    #[tokio::test]
    async fn a_damaged_database_is_replaced_and_kept() {
        let (_folder, database, copy) = folder_with_copy().await;
        let notes = "Buy milk. ".repeat(1000);
        fs::write(&database, &notes).expect("written");
        let prepared = Prepared::new(&database, &copy, [1; 8]).await.expect("prepared");
        assert_eq!(prepared.since().await, None);
        let kept = prepared.put_in_place(NOW).await.expect("in place");
        assert_eq!(kept, [beside(&database, ".before-20251124T160000Z")]);
        assert_eq!(kept.iter().map(|kept| fs::read_to_string(kept).expect("read")).collect::<String>(), notes);
        store(&database).await.close().await;
    }
}
