//! What the two databases do in different ways: waiting for rows that another transaction holds.

use sqlx::{Postgres, Sqlite, Transaction};

use super::postgres::Session;

/// A transaction that can have a user to itself: what a login, a logout of everything, a disabling and a new password
/// do then comes one after the other.
pub trait Locks {
    /// Waits until no other transaction holds the user's row.
    async fn lock_user(&mut self, user: &str) -> Result<(), sqlx::Error>;

    /// Notes that rows were deleted of which nothing may remain in the file. Only SQLite keeps bytes that [`super::Store::rewrite`]
    /// removes. The number is the file's own, for the use of programs (`PRAGMA user_version`).
    async fn note_remains(&mut self) -> Result<(), sqlx::Error>;

    /// The statements that note a use of a session and of a personal access token: $1 the hash, $2 the time. They leave
    /// out a row that another transaction holds, which is about to end it or to renew it. Whoever waited for it, with
    /// other rows noted before, might be waited for by the other one.
    fn noting_a_use(&self) -> [&'static str; 2];

    /// Chooses between a plain statement and one that skips rows which another transaction holds.
    fn skipping_locked(&self, statements: [&'static str; 2]) -> &'static str;
}

macro_rules! noting_a_use {
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

    fn noting_a_use(&self) -> [&'static str; 2] {
        noting_a_use!(" FOR UPDATE SKIP LOCKED")
    }

    fn skipping_locked(&self, [_, skipping]: [&'static str; 2]) -> &'static str {
        skipping
    }
}

impl Locks for Transaction<'_, Sqlite> {
    /// There is nothing to wait for: a transaction that writes has the whole file to itself.
    async fn lock_user(&mut self, _user: &str) -> Result<(), sqlx::Error> {
        Ok(())
    }

    async fn note_remains(&mut self) -> Result<(), sqlx::Error> {
        sqlx::query("PRAGMA user_version = 1").execute(&mut **self).await.map(drop)
    }

    fn noting_a_use(&self) -> [&'static str; 2] {
        noting_a_use!("")
    }

    fn skipping_locked(&self, [plain, _]: [&'static str; 2]) -> &'static str {
        plain
    }
}
