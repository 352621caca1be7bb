//! Locking a user's row.

use sqlx::{Postgres, Sqlite, Transaction};

/// A transaction that can have a user to itself: what a login, a logout of everything, a disabling and a new password
/// do then comes one after the other. The one thing that the two databases do in different ways.
pub trait LockUser {
    /// Waits until no other transaction holds the user's row.
    async fn lock_user(&mut self, user: &str) -> Result<(), sqlx::Error>;
}

impl LockUser for Transaction<'_, Postgres> {
    async fn lock_user(&mut self, user: &str) -> Result<(), sqlx::Error> {
        let sql = "SELECT id FROM users WHERE id = $1 FOR UPDATE";
        sqlx::query(sql).bind(user).execute(&mut **self).await.map(drop)
    }
}

impl LockUser for Transaction<'_, Sqlite> {
    /// There is nothing to wait for: a transaction that writes has the whole file to itself.
    async fn lock_user(&mut self, _user: &str) -> Result<(), sqlx::Error> {
        Ok(())
    }
}
