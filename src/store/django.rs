//! Reads the accounts of a Django site from its database, SQLite or PostgreSQL.
//!
//! The site may have its own user model, so the names of the table and of its columns are read from the database. This
//! is the only place that puts names into statements. Each is quoted.

use std::collections::BTreeSet;

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, FromRow, PgConnection, SqliteConnection,
    sqlite::SqliteConnectOptions,
};

use super::{DatabaseUrl, Error, url::read_postgres};
use crate::domain::{source_account::SourceAccount, time::Timestamp};

/// Separates the names of an account's groups in a row. Django allows it in no form field.
const SEPARATOR: &str = "\u{1f}";

/// Where the accounts are, if it can't be found out.
#[derive(Clone, Debug, Default)]
pub struct DjangoOptions {
    /// The table of the user model.
    pub user_table: Option<String>,
    /// The column of the email.
    pub email_column: Option<String>,
    /// The column of the username.
    pub username_column: Option<String>,
}

/// The open database of a Django site. It is never written to.
#[derive(Debug)]
pub struct DjangoSource {
    connection: Connection,
    sql: String,
    /// The table that holds the accounts.
    pub table: String,
    /// The last row of the previous page, on SQLite.
    after: i64,
}

#[derive(Debug)]
enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// A column and the table that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
struct Column {
    table_name: String,
    name: String,
    is_key: bool,
}

/// A foreign key.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
struct Reference {
    table_name: String,
    column_name: String,
    target: String,
}

/// The tables of the site.
#[derive(Debug)]
struct Catalog {
    columns: Vec<Column>,
    references: Vec<Reference>,
}

const COLUMNS_OF_SQLITE: &str = "SELECT m.name AS table_name, c.name AS name, c.pk = 1 AS is_key \
    FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'";
const REFERENCES_OF_SQLITE: &str = "SELECT m.name AS table_name, f.\"from\" AS column_name, f.\"table\" AS target \
    FROM sqlite_schema m JOIN pragma_foreign_key_list(m.name) f WHERE m.type = 'table'";
const COLUMNS_OF_POSTGRES: &str = "SELECT CAST(t.relname AS TEXT) AS table_name, CAST(a.attname AS TEXT) AS name, \
    EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conrelid = t.oid AND k.contype = 'p' AND k.conkey[1] = a.attnum) AS is_key \
    FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace JOIN pg_attribute a ON a.attrelid = t.oid \
    WHERE n.nspname = current_schema() AND t.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped";
const REFERENCES_OF_POSTGRES: &str = "SELECT CAST(t.relname AS TEXT) AS table_name, CAST(a.attname AS TEXT) AS column_name, \
    CAST(r.relname AS TEXT) AS target FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid \
    JOIN pg_namespace n ON n.oid = t.relnamespace JOIN pg_class r ON r.oid = k.confrelid \
    JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.conkey[1] \
    WHERE k.contype = 'f' AND n.nspname = current_schema()";

/// An account. Everything but the numbers is text, because the types of the columns differ.
#[derive(Debug, FromRow)]
struct Row {
    position: i64,
    id: String,
    email: Option<String>,
    username: Option<String>,
    password: Option<String>,
    is_active: Option<i64>,
    is_staff: Option<i64>,
    date_joined: Option<String>,
    last_login: Option<String>,
    groups: Option<String>,
    token: Option<String>,
    verified: i64,
}

impl DjangoSource {
    /// Opens the database for reading and finds the accounts.
    pub async fn open(url: &DatabaseUrl, options: &DjangoOptions) -> Result<Self, Error> {
        let refused =
            |cause: sqlx::Error| Error::Refused(format!("the database of the Django site can't be read: {cause}"));
        let (mut connection, catalog) = match url {
            DatabaseUrl::Sqlite(path) => {
                let options = SqliteConnectOptions::new().filename(path).read_only(true);
                let mut connection = options.connect().await.map_err(refused)?;
                let columns = sqlx::query_as(COLUMNS_OF_SQLITE).fetch_all(&mut connection).await.map_err(refused)?;
                let references = sqlx::query_as(REFERENCES_OF_SQLITE).fetch_all(&mut connection).await;
                let references = references.map_err(refused)?;
                (Connection::Sqlite(connection), Catalog { columns, references })
            }
            DatabaseUrl::Postgres(url) => {
                let address = read_postgres(url).map_err(|cause| Error::Refused(cause.to_string()))?;
                let mut connection = address.options.connect().await.map_err(refused)?;
                // One snapshot for all pages.
                let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL TIME ZONE 'UTC'";
                sqlx::raw_sql(begin).execute(&mut connection).await.map_err(refused)?;
                let columns = sqlx::query_as(COLUMNS_OF_POSTGRES).fetch_all(&mut connection).await.map_err(refused)?;
                let references = sqlx::query_as(REFERENCES_OF_POSTGRES).fetch_all(&mut connection).await;
                let references = references.map_err(refused)?;
                (Connection::Postgres(connection), Catalog { columns, references })
            }
        };
        let table = catalog.user_table(options).map_err(Error::Refused)?;
        let is_sqlite = matches!(connection, Connection::Sqlite(_));
        let mut sql = catalog.select(&table, options, is_sqlite).map_err(Error::Refused)?;
        if let Connection::Postgres(connection) = &mut connection {
            let declare = format!("DECLARE accounts NO SCROLL CURSOR FOR {sql}");
            sqlx::raw_sql(AssertSqlSafe(declare)).execute(&mut *connection).await.map_err(refused)?;
            "FETCH 500 FROM accounts".clone_into(&mut sql);
        }
        Ok(Self { connection, sql, table, after: i64::MIN })
    }

    /// Reads the next 500 accounts. An empty page is the last one.
    pub async fn next_page(&mut self) -> Result<Vec<SourceAccount>, Error> {
        let sql = AssertSqlSafe(self.sql.clone());
        let read = match &mut self.connection {
            // A page is a transaction of its own, so that the site can write between two of them.
            Connection::Sqlite(connection) => {
                sqlx::query_as::<_, Row>(sql).bind(self.after).fetch_all(&mut *connection).await
            }
            Connection::Postgres(connection) => sqlx::query_as::<_, Row>(sql).fetch_all(&mut *connection).await,
        };
        let rows = read.map_err(|cause| Error::Refused(format!("the accounts can't be read: {cause}")))?;
        self.after = rows.last().map_or(self.after, |row| row.position);
        Ok(rows.into_iter().map(SourceAccount::from).collect())
    }

    /// Closes the connection.
    pub async fn close(self) {
        // Nothing was written, so an error loses nothing.
        let _ = match self.connection {
            Connection::Sqlite(connection) => connection.close().await,
            Connection::Postgres(connection) => connection.close().await,
        };
    }
}

impl Catalog {
    fn has(&self, table: &str, column: &str) -> bool {
        self.columns.iter().any(|known| known.table_name == table && known.name == column)
    }

    fn reference(&self, table: &str, column: &str) -> Option<&str> {
        let mut references = self.references.iter();
        references
            .find(|known| known.table_name == table && known.column_name == column)
            .map(|known| known.target.as_str())
    }

    /// Finds the table of the user model: the one that Django's own tables refer to.
    fn user_table(&self, options: &DjangoOptions) -> Result<String, String> {
        if let Some(table) = &options.user_table {
            return if self.has(table, "password") {
                Ok(table.clone())
            } else {
                Err(format!("the database has no table {table} with a column password"))
            };
        }
        let referred =
            ["django_admin_log", "authtoken_token"].iter().find_map(|table| self.reference(table, "user_id"));
        if let Some(table) = referred {
            return Ok(table.to_owned());
        }
        if self.has("auth_user", "password") {
            return Ok("auth_user".to_owned());
        }
        let tables: BTreeSet<&str> = self.columns.iter().map(|column| column.table_name.as_str()).collect();
        let like: Vec<&str> =
            tables.into_iter().filter(|table| self.has(table, "password") && self.has(table, "last_login")).collect();
        match like.as_slice() {
            [table] => Ok((*table).to_owned()),
            [] => Err("no table of a Django user model was found; name it with --user-table".to_owned()),
            several => {
                Err(format!("several tables may be the user model: {}; name one with --user-table", several.join(", ")))
            }
        }
    }

    /// Builds the query for the accounts. On SQLite $1 is the last row of the previous page.
    fn select(&self, table: &str, options: &DjangoOptions, is_sqlite: bool) -> Result<String, String> {
        let key = self.columns.iter().find(|column| column.table_name == table && column.is_key);
        let key = &key.ok_or_else(|| format!("the table {table} has no primary key"))?.name;
        for column in [&options.email_column, &options.username_column].into_iter().flatten() {
            if !self.has(table, column) {
                return Err(format!("the table {table} has no column {column}"));
            }
        }
        let email = options.email_column.as_deref().unwrap_or("email");
        let username = options.username_column.as_deref().unwrap_or("username");
        let text = |column: &str| self.or_null(table, column, |name| format!("CAST(u.{name} AS TEXT)"), "TEXT");
        let flag = |column: &str| self.or_null(table, column, |name| format!("CAST(u.{name} AS INTEGER)"), "INTEGER");
        let flag = |column: &str| format!("CAST({} AS BIGINT)", flag(column));
        let staff = format!("GREATEST(COALESCE({}, 0), COALESCE({}, 0))", flag("is_staff"), flag("is_superuser"));
        let staff = if is_sqlite { staff.replacen("GREATEST", "MAX", 1) } else { staff };
        let key = quoted(key);
        let (position, paging) = if is_sqlite {
            ("u.rowid", "WHERE u.rowid > $1 ORDER BY u.rowid LIMIT 500".to_owned())
        } else {
            ("CAST(0 AS BIGINT)", format!("ORDER BY u.{key}"))
        };
        Ok(format!(
            "SELECT {position} AS position, CAST(u.{key} AS TEXT) AS id, {} AS email, {} AS username, {} AS password, \
             {} AS is_active, {staff} AS is_staff, {} AS date_joined, {} AS last_login, {} AS groups, {} AS token, \
             {} AS verified FROM {} u {paging}",
            text(email),
            text(username),
            text("password"),
            flag("is_active"),
            text("date_joined"),
            text("last_login"),
            self.groups(table, &key),
            self.token(table, &key),
            self.verified(table, &key, email),
            quoted(table),
        ))
    }

    /// An expression of a column, or a null if the user model doesn't have it.
    fn or_null(&self, table: &str, column: &str, expression: impl Fn(&str) -> String, kind: &str) -> String {
        if self.has(table, column) { expression(&quoted(column)) } else { format!("CAST(NULL AS {kind})") }
    }

    /// The names of an account's groups: by the table that refers to the user model and to Django's groups.
    fn groups(&self, table: &str, key: &str) -> String {
        let groups = self.references.iter().filter(|known| known.target == "auth_group");
        let mut links = groups.filter_map(|group| {
            let mut users = self.references.iter().filter(|known| known.target == table);
            let user = users.find(|user| user.table_name == group.table_name)?;
            Some((&group.table_name, &user.column_name, &group.column_name))
        });
        let Some((link, user, group)) = links.next().filter(|_| self.has("auth_group", "name")) else {
            return "CAST(NULL AS TEXT)".to_owned();
        };
        format!(
            "(SELECT STRING_AGG(g.name, '{SEPARATOR}') FROM auth_group g JOIN {} l ON l.{} = g.id WHERE l.{} = u.{key})",
            quoted(link),
            quoted(group),
            quoted(user),
        )
    }

    /// The token of Django REST framework.
    fn token(&self, table: &str, key: &str) -> String {
        if self.reference("authtoken_token", "user_id") == Some(table) {
            format!("(SELECT CAST(MIN(t.key) AS TEXT) FROM authtoken_token t WHERE t.user_id = u.{key})")
        } else {
            "CAST(NULL AS TEXT)".to_owned()
        }
    }

    /// Whether django-allauth has confirmed the email.
    fn verified(&self, table: &str, key: &str, email: &str) -> String {
        if self.reference("account_emailaddress", "user_id") == Some(table) && self.has(table, email) {
            format!(
                "(SELECT CAST(COUNT(*) AS BIGINT) FROM account_emailaddress e WHERE e.user_id = u.{key} \
                 AND CAST(e.verified AS INTEGER) = 1 AND LOWER(e.email) = LOWER(u.{}))",
                quoted(email)
            )
        } else {
            "CAST(0 AS BIGINT)".to_owned()
        }
    }
}

/// A name in a statement.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl From<Row> for SourceAccount {
    fn from(row: Row) -> Self {
        let mut groups: Vec<String> =
            row.groups.as_deref().map(|names| names.split(SEPARATOR).map(str::to_owned).collect()).unwrap_or_default();
        // The database lists them in any order.
        groups.sort();
        Self {
            id: row.id,
            email: row.email.unwrap_or_default(),
            username: row.username.unwrap_or_default(),
            password: row.password.unwrap_or_default(),
            created_at: row.date_joined.as_deref().and_then(Timestamp::parse).map(Timestamp::as_millis),
            last_login_at: row.last_login.as_deref().and_then(Timestamp::parse).map(Timestamp::as_millis),
            email_verified: row.verified > 0,
            disabled: row.is_active == Some(0),
            staff: row.is_staff == Some(1),
            groups,
            token: row.token,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_quotes_stays_one_name() {
        assert_eq!(quoted("accounts_user"), "\"accounts_user\"");
        assert_eq!(quoted("a\"; DROP TABLE b; --"), "\"a\"\"; DROP TABLE b; --\"");
    }
}
