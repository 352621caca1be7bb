//! Bringing the tables up to date, in one transaction, unless they are somebody else's.

use std::{collections::BTreeMap, time::Duration};

use sqlx::{Connection, Executor, SqliteConnection, migrate::Migration, migrate::Migrator};
use tokio::time::Instant;

use super::{Db, Error, Store, postgres::Server};

static MIGRATIONS: Migrator = sqlx::migrate!();

/// Where sqlx notes which migrations were applied, in words of both databases.
const NOTES: &str = "CREATE TABLE IF NOT EXISTS _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, \
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL, checksum BYTEA NOT NULL, \
    execution_time BIGINT NOT NULL)";
const NOTED: &str = "SELECT version, checksum FROM _sqlx_migrations ORDER BY version";
const NOTE: &str = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
    VALUES ($1, $2, TRUE, $3, 0)";
const NOTES_NAME: &str = "_sqlx_migrations";

const TABLES_OF_SQLITE: &str = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' \
    ESCAPE '\\' ORDER BY name";
/// But for those of extensions.
const TABLES_OF_POSTGRES: &str = "SELECT CAST(c.relname AS TEXT) FROM pg_class c \
    WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) \
    AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT EXISTS \
    (SELECT 1 FROM pg_depend d WHERE d.classid = CAST('pg_class' AS regclass) AND d.objid = c.oid AND d.deptype = 'e') \
    ORDER BY c.relname";

/// One server at a time brings tables up to date. Any number would do that no other program uses.
const TAKE_TURNS: &str = "SELECT pg_advisory_xact_lock(8517390552)";

/// How long a change waits for a table: less than the others, whom it keeps waiting, have patience.
const WAIT_BRIEFLY: &str = "SET LOCAL lock_timeout = 1000";
/// How long they are left alone before the next try.
const BETWEEN_TRIES: Duration = Duration::from_secs(1);
/// How long it is tried.
const LONGEST_TRY: Duration = Duration::from_mins(2);

/// Whose tables there are, by name, and which migrations were applied to them.
struct Found {
    tables: Vec<String>,
    applied: BTreeMap<i64, Vec<u8>>,
}

/// What a database has of us, and where it is.
struct Place<'a> {
    /// Its name in words.
    name: &'a str,
    /// What to do when it is somebody else's.
    way_out: &'a str,
}

macro_rules! found {
    ($conn:expr, $tables:expr) => {{
        let tables: Vec<String> = sqlx::query_scalar($tables).fetch_all(&mut *$conn).await?;
        let noted = tables.iter().any(|name| name == NOTES_NAME);
        let applied: Vec<(i64, Vec<u8>)> =
            if noted { sqlx::query_as(NOTED).fetch_all(&mut *$conn).await? } else { Vec::new() };
        Found { tables, applied: applied.into_iter().collect() }
    }};
}

macro_rules! apply {
    ($conn:expr, $pending:expr) => {{
        (&mut *$conn).execute(NOTES).await?;
        for migration in $pending {
            (&mut *$conn).execute(migration.sql.clone()).await?;
            let note = sqlx::query(NOTE).bind(migration.version).bind(&*migration.description);
            note.bind(&*migration.checksum).execute(&mut *$conn).await?;
        }
    }};
}

impl Store {
    /// Makes the tables, or brings them up to date. `name` is what the database is called in words.
    pub(super) async fn migrate(&self, name: &str) -> Result<(), Error> {
        match &self.inner.db {
            Db::Sqlite { write, .. } => {
                migrate_sqlite(&mut *write.lock().await?, name).await?;
                // So that a plain copy of the file has its tables at least.
                self.empty_log().await;
                Ok(())
            }
            Db::Postgres(server) => migrate_postgres(server).await,
        }
    }
}

async fn migrate_sqlite(connection: &mut SqliteConnection, name: &str) -> Result<(), Error> {
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
    let found = found!(tx, TABLES_OF_SQLITE);
    let pending = found.pending(&Place { name, way_out: "Name another file in database.url." })?;
    if !pending.is_empty() {
        apply!(tx, pending);
    }
    Ok(tx.commit().await?)
}

/// Brings the tables of a PostgreSQL up to date beside servers that use them. A change that waits for a table makes everybody wait
/// who comes after it, so it waits for a moment only, and tries again.
async fn migrate_postgres(server: &Server) -> Result<(), Error> {
    let given_up = Instant::now() + LONGEST_TRY;
    loop {
        match migrate_once(server).await {
            Err(Error::Unavailable(cause)) if is_in_use(&cause) && Instant::now() < given_up => {
                tracing::warn!(%cause, "other servers use the tables that are to be changed; trying again");
                tokio::time::sleep(BETWEEN_TRIES).await;
            }
            migrated => return migrated.map_err(|error| explain(error, server)),
        }
    }
}

/// Whether a lock could not be had: in time (55P03), or without a deadlock (40P01).
fn is_in_use(cause: &sqlx::Error) -> bool {
    let code = cause.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| ["55P03", "40P01"].contains(&&*code))
}

async fn migrate_once(server: &Server) -> Result<(), Error> {
    let mut session = server.unlimited().await?;
    let tx = &mut session;
    sqlx::query(TAKE_TURNS).execute(&mut *tx).await?;
    let schema: Option<String> =
        sqlx::query_scalar("SELECT CAST(current_schema() AS TEXT)").fetch_one(&mut *tx).await?;
    let Some(schema) = schema else { return Err(no_schema(server)) };
    let found = found!(tx, TABLES_OF_POSTGRES);
    let name = format!("The schema {schema} of {}", server.place);
    let way_out = "Give Vestibule a database of its own, or a schema: run CREATE SCHEMA vestibule, and add \
                       ?options=-c%20search_path%3Dvestibule to the end of database.url.";
    let pending = found.pending(&Place { name: &name, way_out })?;
    if !pending.is_empty() {
        sqlx::query(WAIT_BRIEFLY).execute(&mut *tx).await?;
        apply!(tx, pending);
    }
    Ok(session.end().await?)
}

fn no_schema(server: &Server) -> Error {
    Error::Refused(format!("{} has no schema to put tables into: make the one that search_path names.", server.place))
}

/// What a server's refusal means, and what to do.
fn explain(error: Error, server: &Server) -> Error {
    let (Error::Fault(cause) | Error::Unavailable(cause)) = &error else { return error };
    let code = cause.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default();
    let place = &server.place;
    match &*code {
        "42501" => Error::Refused(format!(
            "{place} may not make tables: {cause}. Let the database's owner run GRANT CREATE ON SCHEMA public TO the user, or \
             CREATE SCHEMA vestibule AUTHORIZATION the user, and add ?options=-c%20search_path%3Dvestibule to database.url."
        )),
        "42P07" => Error::Refused(format!(
            "{place} has a table of another program that this version wants to make: {cause}. RenameOutcome that table, or move it to \
             another schema."
        )),
        "25006" => Error::Refused(format!(
            "{place} can only read: {cause}. Name the primary server, or see default_transaction_read_only."
        )),
        _ => error,
    }
}

/// What a file is, that might be a copy of a database of ours.
pub async fn look_into(connection: &mut SqliteConnection, name: &str) -> Result<bool, Error> {
    let found = found!(connection, TABLES_OF_SQLITE);
    found.pending(&Place { name, way_out: "Name a file that `vestibule backup` has made." })?;
    Ok(!found.applied.is_empty())
}

impl Found {
    /// The migrations that are to be applied, unless the tables are of another program, or of a newer one.
    fn pending(&self, place: &Place<'_>) -> Result<Vec<&'static Migration>, Error> {
        let Place { name, way_out } = place;
        let ours: BTreeMap<i64, &Migration> =
            MIGRATIONS.iter().map(|migration| (migration.version, migration)).collect();
        let first = ours.first_key_value().map(|(version, migration)| (version, &*migration.checksum));
        if let Some(other) = self.tables.iter().find(|table| *table != NOTES_NAME)
            && self.applied.is_empty()
        {
            return Err(Error::Refused(format!("{name} has tables of another program, such as {other}. {way_out}")));
        }
        if !self.applied.is_empty()
            && self.applied.first_key_value().map(|(version, checksum)| (version, checksum.as_slice())) != first
        {
            return Err(Error::Refused(format!(
                "{name} has the migrations of another program that uses sqlx. {way_out}"
            )));
        }
        for (version, checksum) in &self.applied {
            match ours.get(version) {
                None => {
                    let known = ours.last_key_value().map_or(0, |(version, _)| *version);
                    return Err(Error::Refused(format!(
                        "{name} was brought up to date by a newer Vestibule: its tables have version {version}, and this \
                         program knows {known}. Start the newer program again, or restore a backup from before."
                    )));
                }
                Some(migration) if *migration.checksum != **checksum => {
                    return Err(Error::Refused(format!(
                        "{name} was made by another build of Vestibule, which had another migration {version}. Use that \
                         build."
                    )));
                }
                Some(_) => {}
            }
        }
        Ok(ours.into_values().filter(|migration| !self.applied.contains_key(&migration.version)).collect())
    }
}
