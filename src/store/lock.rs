//! Where the two databases differ: waiting for rows that another transaction has locked.

use sqlx::{Postgres, Sqlite, Transaction};

use super::postgres::Session;

/// A transaction that can lock a user. Logins, logouts of all sessions, disabling and password changes of one account
/// then run one after the other.
pub trait Locks {
    /// Waits until no other transaction has locked the user's row.
    async fn lock_user(&mut self, user: &str) -> Result<(), sqlx::Error>;

    /// Notes that rows were deleted whose bytes must not remain in the file. Only SQLite leaves such bytes, which
    /// [`super::Store::rewrite`] removes. The flag is the file's `PRAGMA user_version`, which SQLite reserves for
    /// applications.
    async fn note_remains(&mut self) -> Result<(), sqlx::Error>;

    /// The statements that store the last use of a session and of a personal access token: $1 the hash, $2 the time.
    /// They skip a row that another transaction has locked, which is about to end or renew it. Waiting for it while
    /// other rows are locked could cause a deadlock.
    fn touch_statements(&self) -> [&'static str; 2];

    /// Chooses between a plain statement and one that skips rows that another transaction has locked.
    fn skipping_locked(&self, statements: [&'static str; 2]) -> &'static str;
}

macro_rules! touch_statements {
    ($skip_locked:literal) => {
        [
            concat!(
                "UPDATE sessions SET last_seen_at = $2 WHERE id = \
                    (SELECT id FROM sessions WHERE token_hash = $1 AND last_seen_at < $2",
                $skip_locked,
                ")"
            ),
            concat!(
                "UPDATE access_tokens SET last_used_at = $2 WHERE id = \
                    (SELECT id FROM access_tokens WHERE token_hash = $1 AND (last_used_at IS NULL OR last_used_at < $2)",
                $skip_locked,
                ")"
            ),
        ]
    };
}

impl Locks for Session<Transaction<'static, Postgres>> {
    async fn lock_user(&mut self, user: &str) -> Result<(), sqlx::Error> {
        let sql = "SELECT id FROM users WHERE id = $1 FOR UPDATE";
        sqlx::query(sql).bind(user).execute(self).await.map(drop)
    }

    async fn note_remains(&mut self) -> Result<(), sqlx::Error> {
        Ok(())
    }

    fn touch_statements(&self) -> [&'static str; 2] {
        touch_statements!(" FOR UPDATE SKIP LOCKED")
    }

    fn skipping_locked(&self, [_, skipping]: [&'static str; 2]) -> &'static str {
        skipping
    }
}

impl Locks for Transaction<'_, Sqlite> {
    /// Does nothing: a transaction that writes has locked the whole file.
    async fn lock_user(&mut self, _user: &str) -> Result<(), sqlx::Error> {
        Ok(())
    }

    async fn note_remains(&mut self) -> Result<(), sqlx::Error> {
        sqlx::query("PRAGMA user_version = 1").execute(&mut **self).await.map(drop)
    }

    fn touch_statements(&self) -> [&'static str; 2] {
        touch_statements!("")
    }

    fn skipping_locked(&self, [plain, _]: [&'static str; 2]) -> &'static str {
        plain
    }
}
