//! Where the two databases differ: waiting for rows that another transaction has locked.

use super::{
    Error,
    tx::{Conn, Tx, values},
};

/// The number is arbitrary, but no other program should use it.
const LOCK_ADMINS: &str = "SELECT pg_advisory_xact_lock(8517390553)";

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

impl Tx<'_> {
    /// Waits until no other transaction has locked the user's row, and locks it. Logins, logouts of all sessions,
    /// disabling and password changes of one account then run one after the other. On SQLite it does nothing: a
    /// transaction that writes has locked the whole file.
    pub async fn lock_user(&mut self, user: &str) -> Result<(), Error> {
        match self.conn {
            Conn::Sqlite(_) => Ok(()),
            Conn::Postgres { .. } => {
                self.execute("SELECT id FROM users WHERE id = $1 FOR UPDATE", values![user]).await.map(drop)
            }
        }
    }

    /// Waits until no other transaction removes an enabled admin or makes an account one.
    pub async fn lock_admins(&mut self) -> Result<(), Error> {
        match self.conn {
            Conn::Sqlite(_) => Ok(()),
            Conn::Postgres { .. } => self.execute(LOCK_ADMINS, &[]).await.map(drop),
        }
    }

    /// Finds a group by the key of its name and locks it, so that nobody joins it while it is deleted. Returns its
    /// id and its name.
    pub async fn lock_group(&mut self, key: &str) -> Result<Option<(String, String)>, Error> {
        let sql = match self.conn {
            Conn::Sqlite(_) => "SELECT id, name FROM groups WHERE name_key = $1",
            Conn::Postgres { .. } => "SELECT id, name FROM groups WHERE name_key = $1 FOR UPDATE",
        };
        self.fetch_optional(sql, values![key]).await
    }

    /// Notes that rows were deleted whose bytes must not remain in the file. Only SQLite leaves such bytes, which
    /// [`super::Store::rewrite`] removes. The flag is the file's `PRAGMA user_version`, which SQLite reserves for
    /// applications.
    pub async fn request_rewrite(&mut self) -> Result<(), Error> {
        match self.conn {
            Conn::Sqlite(_) => self.execute("PRAGMA user_version = 1", &[]).await.map(drop),
            Conn::Postgres { .. } => Ok(()),
        }
    }

    /// The statements that store the last use of a session and of a personal access token: $1 the hash, $2 the time.
    /// They skip a row that another transaction has locked, which is about to end or renew it. Waiting for it while
    /// other rows are locked could cause a deadlock.
    pub fn touch_statements(&self) -> [&'static str; 2] {
        match self.conn {
            Conn::Sqlite(_) => touch_statements!(""),
            Conn::Postgres { .. } => touch_statements!(" FOR UPDATE SKIP LOCKED"),
        }
    }

    /// Chooses between a plain statement and one that skips rows that another transaction has locked.
    pub fn skipping_locked(&self, [plain, skipping]: [&'static str; 2]) -> &'static str {
        match self.conn {
            Conn::Sqlite(_) => plain,
            Conn::Postgres { .. } => skipping,
        }
    }
}
