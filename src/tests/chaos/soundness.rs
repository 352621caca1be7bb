//! Checks a database's consistency after a test.

use std::path::Path;

use sqlx::{Connection, PgConnection, SqliteConnection};

const ACCOUNTS: &str = "SELECT COUNT(*) FROM users";
const ORPHANS: &str = "SELECT COUNT(*) FROM sessions WHERE user_id NOT IN (SELECT id FROM users)";

/// The kind and the recipient of every queued mail.
const MAILS: &str = "SELECT kind, CASE WHEN address = '' THEN email ELSE address END \
    FROM mails LEFT JOIN users ON users.id = user_id";

/// Checks that every index agrees with its table. This needs the extension `amcheck`.
const CHECK_INDEXES: &str = "SELECT bt_index_check(indexrelid, true) FROM pg_index \
    JOIN pg_class ON pg_class.oid = indexrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace \
    WHERE nspname = 'public'";

/// The contents of a database.
struct Contents {
    accounts: i64,
    orphans: i64,
    mails: Vec<(String, String)>,
}

/// Returns the errors in the database of a server that ran in `folder`, and the queued mails. `accounts` is the
/// expected number of accounts.
pub async fn look_into(url: &str, folder: &Path, accounts: usize) -> (Vec<String>, Vec<(String, String)>) {
    let (mut found, contents) = match url.strip_prefix("sqlite:") {
        Some(file) => in_sqlite(&folder.join(file)).await,
        None => in_postgres(url).await,
    };
    let (expected, counted) = ((i64::try_from(accounts).unwrap(), 0), (contents.accounts, contents.orphans));
    if counted != expected {
        found.push(format!("accounts and sessions without one: {counted:?}, not {expected:?}"));
    }
    (found, contents.mails)
}

async fn in_sqlite(file: &Path) -> (Vec<String>, Contents) {
    let mut connection = SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.unwrap();
    let integrity: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check").fetch_all(&mut connection).await.unwrap();
    let orphans = sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut connection).await.unwrap();
    let mut found: Vec<String> = integrity.into_iter().filter(|line| line != "ok").collect();
    found.extend(orphans.iter().map(|row| format!("{row:?}")));
    let contents = Contents {
        accounts: sqlx::query_scalar(ACCOUNTS).fetch_one(&mut connection).await.unwrap(),
        orphans: sqlx::query_scalar(ORPHANS).fetch_one(&mut connection).await.unwrap(),
        mails: sqlx::query_as(MAILS).fetch_all(&mut connection).await.unwrap(),
    };
    connection.close().await.unwrap();
    (found, contents)
}

async fn in_postgres(url: &str) -> (Vec<String>, Contents) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let checked = async {
        sqlx::query("CREATE EXTENSION amcheck").execute(&mut connection).await?;
        sqlx::query(CHECK_INDEXES).execute(&mut connection).await
    };
    let found = match checked.await {
        // 0A000: this PostgreSQL comes without the extension.
        Err(sqlx::Error::Database(e)) if e.code().as_deref() == Some("0A000") => vec![],
        Err(fault) => vec![fault.to_string()],
        Ok(_) => vec![],
    };
    let contents = Contents {
        accounts: sqlx::query_scalar(ACCOUNTS).fetch_one(&mut connection).await.unwrap(),
        orphans: sqlx::query_scalar(ORPHANS).fetch_one(&mut connection).await.unwrap(),
        mails: sqlx::query_as(MAILS).fetch_all(&mut connection).await.unwrap(),
    };
    connection.close().await.unwrap();
    (found, contents)
}
