//! Checks a database without changing it, whether or not a server uses it.

use std::{path::Path, time::Duration};

use sqlx::Connection as _;

use super::{
    DatabaseUrl, Error, SELECT_CLOCK,
    backup::{self, COPY_TIMEOUT},
    mail::has_overdue_mail,
    migrations::{pending_on_postgres, pending_on_sqlite},
    postgres::Server,
    tx::{Conn, values},
};
use crate::domain::time::Timestamp;

/// How long a mail may be due until its queue counts as stuck. Workers look for mail every ten seconds.
const STUCK_AFTER: Duration = Duration::from_mins(15);
/// The number of attempts after which a mail counts as failing: the next wait is more than ten minutes.
const FAILING_AFTER: i64 = 6;

/// What a database contains.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The number of migrations that a start would apply.
    pub pending: usize,
    /// A sign of damage. PostgreSQL checks its files itself.
    pub damage: Option<String>,
    /// The time of the database server. `None` on SQLite.
    pub clock: Option<Timestamp>,
    /// `None` while migrations are pending.
    pub facts: Option<DatabaseFacts>,
}

/// Figures that an operator must know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabaseFacts {
    /// Enabled accounts with the role admin.
    pub admins: i64,
    /// Accounts whose password hash another system computed.
    pub foreign_hashes: i64,
    /// Whether a mail is due for a while that no server has tried to send.
    pub overdue_mail: bool,
    /// Mails that could not be sent several times.
    pub failing_mails: i64,
}

/// Checks a database. SQLite files are checked for damage, which takes seconds for each GiB.
///
/// # Errors
/// [`Error::Refused`] for a database that can't be used, such as one with newer tables. [`Error::Unavailable`] and
/// [`Error::Away`] if it can't be reached.
pub async fn inspect(url: &DatabaseUrl, now: Timestamp) -> Result<Inspection, Error> {
    match url {
        DatabaseUrl::Sqlite(path) => inspect_sqlite(path, now).await,
        DatabaseUrl::Postgres(text) => inspect_postgres(text, now).await,
    }
}

async fn inspect_sqlite(path: &Path, now: Timestamp) -> Result<Inspection, Error> {
    let name = path.display().to_string();
    let mut connection = backup::open(path, true, COPY_TIMEOUT).await.map_err(|e| backup::of(&name, e.into()))?;
    let inspected = async {
        let pending = pending_on_sqlite(&mut connection, &name).await?;
        let damage = backup::damage(&mut connection).await?;
        let facts = match (pending, &damage) {
            (0, None) => Some(facts(&mut Conn::Sqlite(&mut connection), now).await?),
            _ => None,
        };
        Ok(Inspection { pending, damage, clock: None, facts })
    };
    let inspected = inspected.await.map_err(|error| backup::of(&name, error));
    connection.close().await?;
    inspected
}

async fn inspect_postgres(url: &str, now: Timestamp) -> Result<Inspection, Error> {
    let server = Server::open(url, 1).await?;
    let inspected = async {
        let mut session = server.read().await?;
        let mut conn = session.conn();
        let (millis,): (i64,) = conn.fetch_one(SELECT_CLOCK, &[]).await?;
        let pending = pending_on_postgres(&mut conn, &server.place).await?;
        let facts = if pending == 0 { Some(facts(&mut conn, now).await?) } else { None };
        session.end().await?;
        Ok(Inspection { pending, damage: None, clock: Some(Timestamp::from_millis(millis)), facts })
    };
    let inspected = inspected.await;
    server.close().await;
    inspected
}

async fn facts(conn: &mut Conn<'_>, now: Timestamp) -> Result<DatabaseFacts, Error> {
    let sql = "SELECT (SELECT COUNT(*) FROM users WHERE role = 'admin' AND disabled_at IS NULL), \
               (SELECT COUNT(*) FROM users WHERE password_hash <> '!' AND password_hash NOT LIKE '$argon2id$%')";
    let (admins, foreign_hashes): (i64, i64) = conn.fetch_one(sql, &[]).await?;
    let overdue_mail = has_overdue_mail(conn, now.minus(STUCK_AFTER), now).await?;
    let sql = "SELECT COUNT(*) FROM mails WHERE attempts >= $1";
    let (failing_mails,): (i64,) = conn.fetch_one(sql, values![FAILING_AFTER]).await?;
    Ok(DatabaseFacts { admins, foreign_hashes, overdue_mail, failing_mails })
}
