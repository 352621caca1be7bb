//! Applies pending migrations in one transaction, unless the tables belong to another program.

use std::{collections::BTreeMap, time::Duration};

use sqlx::{Connection, SqliteConnection, migrate::Migration, migrate::Migrator};
use tokio::time::Instant;

use super::{
    Db, Error, Store,
    events::{GUARD_ON_POSTGRES, GUARD_ON_SQLITE, IS_GUARDED},
    postgres::Server,
    tx::{Conn, values},
};

static MIGRATIONS: Migrator = sqlx::migrate!();

/// The table in which sqlx records applied migrations, in SQL that both databases accept.
const CREATE_MIGRATIONS_TABLE: &str = "CREATE TABLE IF NOT EXISTS _sqlx_migrations (version BIGINT PRIMARY KEY, \
    description TEXT NOT NULL, installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL, \
    checksum BYTEA NOT NULL, execution_time BIGINT NOT NULL)";
const SELECT_APPLIED: &str = "SELECT version, checksum FROM _sqlx_migrations ORDER BY version";
const INSERT_APPLIED: &str = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
    VALUES ($1, $2, TRUE, $3, 0)";
const MIGRATIONS_TABLE: &str = "_sqlx_migrations";

const TABLES_OF_SQLITE: &str = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' \
    ESCAPE '\\' ORDER BY name";
/// Without the tables of extensions.
const TABLES_OF_POSTGRES: &str = "SELECT CAST(c.relname AS TEXT) FROM pg_class c \
    WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) \
    AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT EXISTS \
    (SELECT 1 FROM pg_depend d WHERE d.classid = CAST('pg_class' AS regclass) AND d.objid = c.oid AND d.deptype = 'e') \
    ORDER BY c.relname";

/// Lets only one server migrate at a time. The number is arbitrary, but no other program should use it.
const LOCK_MIGRATIONS: &str = "SELECT pg_advisory_xact_lock(8517390552)";

/// How long a migration waits for a table, in milliseconds. It is shorter than the timeout of the statements that
/// queue behind it.
const SHORT_LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = 1000";
/// The pause before the next attempt, in which other servers can work.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// The total time after which a migration fails.
const MIGRATION_TIMEOUT: Duration = Duration::from_mins(2);

/// The names of the existing tables, and the migrations that were applied to them.
struct Found {
    tables: Vec<String>,
    applied: BTreeMap<i64, Vec<u8>>,
}

/// A database in messages.
struct Place<'a> {
    name: &'a str,
    /// What to do if the database belongs to another program.
    remedy: &'a str,
}

/// Reads which tables exist, by the query for this database, and which migrations were applied.
async fn find(conn: &mut Conn<'_>, select_tables: &'static str) -> Result<Found, Error> {
    let tables: Vec<String> = conn.fetch_column(select_tables, &[]).await?;
    let has_applied = tables.iter().any(|name| name == MIGRATIONS_TABLE);
    let applied: Vec<(i64, Vec<u8>)> =
        if has_applied { conn.fetch_all(SELECT_APPLIED, &[]).await? } else { Vec::new() };
    Ok(Found { tables, applied: applied.into_iter().collect() })
}

async fn apply(conn: &mut Conn<'_>, pending: Vec<&Migration>) -> Result<(), Error> {
    conn.execute_script(CREATE_MIGRATIONS_TABLE).await?;
    for migration in pending {
        conn.execute_script(migration.sql.clone()).await?;
        let values = values![migration.version, &*migration.description, &*migration.checksum];
        conn.execute(INSERT_APPLIED, values).await?;
    }
    Ok(())
}

impl Store {
    /// Creates or migrates the tables. `name` is the database's name in messages.
    pub(super) async fn migrate(&self, name: &str) -> Result<(), Error> {
        match &self.inner.db {
            Db::Sqlite { write, .. } => {
                migrate_sqlite(&mut *write.lock().await?, name).await?;
                // A plain copy of the file without its log then has at least the tables.
                self.empty_log().await;
                Ok(())
            }
            Db::Postgres(server) => migrate_postgres(server).await,
        }
    }
}

async fn migrate_sqlite(connection: &mut SqliteConnection, name: &str) -> Result<(), Error> {
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
    let mut conn = Conn::Sqlite(&mut tx);
    let found = find(&mut conn, TABLES_OF_SQLITE).await?;
    let pending = found.pending(&Place { name, remedy: "Name another file in database.url." })?;
    if !pending.is_empty() {
        apply(&mut conn, pending).await?;
    }
    conn.execute_script(GUARD_ON_SQLITE).await?;
    Ok(tx.commit().await?)
}

/// Migrates a PostgreSQL database while other servers use its tables. All statements queue behind a migration that
/// waits for a table, so it waits only briefly and tries again.
async fn migrate_postgres(server: &Server) -> Result<(), Error> {
    let deadline = Instant::now() + MIGRATION_TIMEOUT;
    loop {
        match migrate_once(server).await {
            Err(Error::Unavailable(cause)) if is_in_use(&cause) && Instant::now() < deadline => {
                tracing::warn!(%cause, "migration delayed: other servers are using the tables; trying again");
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
            migrated => return migrated.map_err(|error| explain(error, server)),
        }
    }
}

/// Whether a lock could not be acquired: in time (55P03), or without a deadlock (40P01).
fn is_in_use(cause: &sqlx::Error) -> bool {
    let code = cause.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| ["55P03", "40P01"].contains(&&*code))
}

async fn migrate_once(server: &Server) -> Result<(), Error> {
    let mut session = server.unlimited().await?;
    let mut conn = session.conn();
    conn.execute(LOCK_MIGRATIONS, &[]).await?;
    let (schema,): (Option<String>,) = conn.fetch_one("SELECT CAST(current_schema() AS TEXT)", &[]).await?;
    let Some(schema) = schema else { return Err(no_schema(server)) };
    let found = find(&mut conn, TABLES_OF_POSTGRES).await?;
    let name = format!("The schema {schema} of {}", server.place);
    let remedy = "Use a separate database for Vestibule, or a separate schema: run CREATE SCHEMA vestibule, and add \
                   ?options=-c%20search_path%3Dvestibule to the end of database.url.";
    let pending = found.pending(&Place { name: &name, remedy })?;
    let is_current = pending.is_empty();
    if !is_current {
        conn.execute(SHORT_LOCK_TIMEOUT, &[]).await?;
        apply(&mut conn, pending).await?;
    }
    // Creating the triggers again would block other servers at each start.
    if !is_current || !conn.exists(IS_GUARDED, &[]).await? {
        conn.execute_script(GUARD_ON_POSTGRES).await?;
    }
    Ok(session.end().await?)
}

fn no_schema(server: &Server) -> Error {
    Error::Refused(format!("{} has no schema for tables: create the one that search_path names.", server.place))
}

/// Explains an error of the server and how to fix it.
fn explain(error: Error, server: &Server) -> Error {
    let (Error::Fault(cause) | Error::Unavailable(cause)) = &error else { return error };
    let code = cause.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default();
    let place = &server.place;
    match &*code {
        "42501" => Error::Refused(format!(
            "{place} may not create tables: {cause}. Let the database's owner run GRANT CREATE ON SCHEMA public TO the user, or \
             CREATE SCHEMA vestibule AUTHORIZATION the user, and add ?options=-c%20search_path%3Dvestibule to database.url."
        )),
        "42P07" => Error::Refused(format!(
            "{place} has a table of another program with a name that this version needs: {cause}. Rename that table, or move \
             it to another schema."
        )),
        "25006" => Error::Refused(format!(
            "{place} is read-only: {cause}. Use the primary server, or check default_transaction_read_only."
        )),
        _ => error,
    }
}

/// Checks whether a file is a Vestibule database. Returns `false` if it is empty.
pub async fn is_vestibule_database(connection: &mut SqliteConnection, name: &str) -> Result<bool, Error> {
    let found = find(&mut Conn::Sqlite(connection), TABLES_OF_SQLITE).await?;
    found.pending(&Place { name, remedy: "Name a file that `vestibule backup` created." })?;
    Ok(!found.applied.is_empty())
}

/// The number of migrations that a start would apply to a file. Fails like [`is_vestibule_database`].
pub async fn pending_on_sqlite(connection: &mut SqliteConnection, name: &str) -> Result<usize, Error> {
    let found = find(&mut Conn::Sqlite(connection), TABLES_OF_SQLITE).await?;
    Ok(found.pending(&Place { name, remedy: "Name another file in database.url." })?.len())
}

/// The same on PostgreSQL.
pub async fn pending_on_postgres(conn: &mut Conn<'_>, name: &str) -> Result<usize, Error> {
    let found = find(conn, TABLES_OF_POSTGRES).await?;
    Ok(found.pending(&Place { name, remedy: "Use a separate database for Vestibule." })?.len())
}

impl Found {
    /// The migrations to apply. Fails if the tables belong to another program or to a newer version.
    fn pending(&self, place: &Place<'_>) -> Result<Vec<&'static Migration>, Error> {
        let Place { name, remedy } = place;
        let ours: BTreeMap<i64, &Migration> =
            MIGRATIONS.iter().map(|migration| (migration.version, migration)).collect();
        let first = ours.first_key_value().map(|(version, migration)| (version, &*migration.checksum));
        if let Some(other) = self.tables.iter().find(|table| *table != MIGRATIONS_TABLE)
            && self.applied.is_empty()
        {
            return Err(Error::Refused(format!("{name} has tables of another program, such as {other}. {remedy}")));
        }
        if !self.applied.is_empty()
            && self.applied.first_key_value().map(|(version, checksum)| (version, checksum.as_slice())) != first
        {
            return Err(Error::Refused(format!(
                "{name} has the migrations of another program that uses sqlx. {remedy}"
            )));
        }
        for (version, checksum) in &self.applied {
            match ours.get(version) {
                None => {
                    let known = ours.last_key_value().map_or(0, |(version, _)| *version);
                    return Err(Error::Refused(format!(
                        "{name} was migrated by a newer Vestibule: its schema has version {version}, and this program supports \
                         {known}. Start the newer version again, or restore a backup from before the update."
                    )));
                }
                Some(migration) if *migration.checksum != **checksum => {
                    return Err(Error::Refused(format!(
                        "{name} was created by another build of Vestibule, which has a different migration {version}. Use that \
                         build."
                    )));
                }
                Some(_) => {}
            }
        }
        Ok(ours.into_values().filter(|migration| !self.applied.contains_key(&migration.version)).collect())
    }
}
