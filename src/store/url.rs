//! Database URLs.

use std::{
    borrow::Cow,
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use percent_encoding::percent_decode_str;
use sqlx::{
    postgres::{PgConnectOptions, PgSslMode},
    sqlite::SqliteConnectOptions,
};
use url::Url;

/// Where the database is.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// The path of a file.
    Sqlite(PathBuf),
    /// The URL of a server, which may contain a password.
    Postgres(String),
}

/// Why a database URL is invalid. The message repeats no part of the URL, since any part may belong to the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UrlError(&'static str);

const UNKNOWN_KIND: UrlError = UrlError(
    "write sqlite:FILE, such as sqlite:vestibule.db, or postgres://user:password@host/name, with special characters in \
     the password percent-encoded",
);
const NO_FILE: UrlError =
    UrlError("name a file, such as sqlite:vestibule.db; an in-memory database would be lost when the server stops");
const READ_ONLY: UrlError = UrlError("the server writes to the SQLite file, so its mode must be rw or rwc");
const UNKNOWN_SQLITE_KEY: UrlError =
    UrlError("after the ? of a SQLite file only mode=rwc, mode=rw and cache=private are supported");
const UNENCODED: UrlError = UrlError(
    "special characters in the password must be percent-encoded: %23 for #, %2F for /, %3F for ?, %40 for @, %25 for %",
);
const SEVERAL_HOSTS: UrlError = UrlError("name one host; several hosts, separated by commas, are not supported");
const UNKNOWN_POSTGRES_KEY: UrlError = UrlError(
    "unknown key after the ? of the PostgreSQL URL; supported are sslmode, sslrootcert, sslcert, sslkey, host, hostaddr, \
     port, dbname, user, password, options and pgbouncer",
);
const UNREADABLE: UrlError = UrlError(
    "the PostgreSQL URL is invalid: write postgres://user:password@host:5432/name, or \
     postgres:///name?host=/var/run/postgresql for a socket, with special characters in the password percent-encoded, \
     and an IPv6 address in brackets",
);

/// Keys that sqlx reads.
const READ: [&str; 16] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "options",
];

/// Keys of libpq and of hosting providers that are ignored: they change nothing here, or this program sets them
/// itself.
const IGNORED_OPTIONS: [&str; 14] = [
    "application_name",
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "fallback_application_name",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "sslnegotiation",
    "target_session_attrs",
    "tcp_user_timeout",
    "pgbouncer",
];

/// A parsed PostgreSQL URL.
pub struct PostgresAddress {
    pub options: PgConnectOptions,
    /// Whether the URL sets session options, which a pooler can't pass on.
    pub session_options: bool,
    /// Whether the URL says that there is a pooler.
    pub pooled: bool,
    /// From the URL or from `PGPASSWORD`.
    password: Option<String>,
}

/// The role, database and password of a PostgreSQL URL. Every spelling of one URL gives the same values.
#[derive(Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct PostgresLogin {
    pub user: String,
    pub database: String,
    /// Empty if the server authenticates its clients by other means.
    pub password: String,
}

impl DatabaseUrl {
    /// Parses `sqlite:PATH`, `sqlite://PATH`, `postgres://…` or `postgresql://…`, as sqlx and libpq write them.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return read_postgres(text).map(|_| Self::Postgres(text.to_owned()));
        }
        let path = text.strip_prefix("sqlite:").ok_or(UNKNOWN_KIND)?;
        read_sqlite(text, path.strip_prefix("//").unwrap_or(path)).map(Self::Sqlite)
    }

    /// The path of the file, for SQLite.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }

    /// The credentials, for PostgreSQL.
    #[must_use]
    pub fn postgres_login(&self) -> Option<PostgresLogin> {
        let Self::Postgres(text) = self else { return None };
        let PostgresAddress { options, password, .. } = read_postgres(text).ok()?;
        let user = options.get_username().to_owned();
        let database = options.get_database().map_or_else(|| user.clone(), str::to_owned);
        Some(PostgresLogin { user, database, password: password.unwrap_or_default() })
    }

    /// A warning for the operator if the connection may be unencrypted.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let Self::Postgres(text) = self else { return None };
        let options = read_postgres(text).ok()?.options;
        let weak = matches!(options.get_ssl_mode(), PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer);
        (weak && !is_local(&options)).then(|| {
            format!(
                "the connection to {self} may be unencrypted: set sslmode=verify-full, unless the network is private."
            )
        })
    }
}

fn read_sqlite(text: &str, path: &str) -> Result<PathBuf, UrlError> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    if path.is_empty() || path.starts_with(':') {
        return Err(NO_FILE);
    }
    for key in query.split('&').filter(|key| !key.is_empty()) {
        match key {
            "mode=rwc" | "mode=rw" | "cache=private" => {}
            "mode=memory" => return Err(NO_FILE),
            _ if key.starts_with("mode=") || key.starts_with("immutable=") => return Err(READ_ONLY),
            _ => return Err(UNKNOWN_SQLITE_KEY),
        }
    }
    let options = SqliteConnectOptions::from_str(text).map_err(|_| UNKNOWN_KIND)?;
    Ok(options.get_filename().to_owned())
}

/// Parses a PostgreSQL URL.
pub fn read_postgres(text: &str) -> Result<PostgresAddress, UrlError> {
    let (_, rest) = text.split_once("://").ok_or(UNREADABLE)?;
    let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = before.split_once('/').unwrap_or((before, ""));
    // A password that contains one of these characters is cut short, and its rest would be parsed as something else.
    if rest.contains('#') || path.contains('@') || (!authority.contains('@') && query.contains('@')) {
        return Err(UNENCODED);
    }
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if host.contains(',') {
        return Err(SEVERAL_HOSTS);
    }
    if path.contains('/') {
        return Err(UNREADABLE);
    }
    let mut kept = Vec::new();
    if host.is_empty() {
        // For a socket, the URL may have a user before the @ and the folder in the key `host`.
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        let plain = |text: &str| text.replace('+', "%2B").replace('&', "%26");
        kept.extend((!name.is_empty()).then(|| format!("user={}", plain(name))));
        kept.extend((!password.is_empty()).then(|| format!("password={}", plain(password))));
    }
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let key = part.split('=').next().unwrap_or_default();
        if READ.contains(&key) || (key.starts_with("options[") && key.ends_with(']')) {
            kept.push(part.to_owned());
        } else if !IGNORED_OPTIONS.contains(&key) {
            return Err(UNKNOWN_POSTGRES_KEY);
        }
    }
    let authority = if host.is_empty() { "" } else { authority };
    let address = format!("postgres://{authority}/{path}?{}", kept.join("&"));
    let mut options = PgConnectOptions::from_str(&address).map_err(|_| UNREADABLE)?;
    let password = password_of(&address).or_else(|| std::env::var("PGPASSWORD").ok());
    if let Some(bare) = options.get_host().strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let bare = bare.to_owned();
        options = options.host(&bare);
    }
    let names = |name: &str| kept.iter().any(|part| part.starts_with(name));
    let chosen = names("sslmode=") || names("ssl-mode=") || std::env::var_os("PGSSLMODE").is_some();
    if !chosen && !is_local(&options) {
        options = options.ssl_mode(PgSslMode::Require);
    }
    let pooled = query.split('&').any(|part| part == "pgbouncer=true");
    Ok(PostgresAddress { session_options: names("options"), options, pooled, password })
}

/// The password in a URL that sqlx can parse. As in sqlx, the key `password` overrides the one before the @.
fn password_of(address: &str) -> Option<String> {
    let url = Url::parse(address).ok()?;
    let key = url.query_pairs().filter(|(key, _)| key == "password").last().map(|(_, value)| value.into_owned());
    key.or_else(|| percent_decode_str(url.password()?).decode_utf8().ok().map(Cow::into_owned))
}

/// Whether a connection stays on this machine.
fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// The user, host and database of a connection, without the password.
pub fn describe(options: &PgConnectOptions) -> String {
    let user = options.get_username();
    let name = options.get_database().unwrap_or(user);
    let (host, port) = (options.get_host(), options.get_port());
    match options.get_socket() {
        Some(folder) => format!("PostgreSQL {user}@{}/{name}", folder.display()),
        None if host.contains(':') => format!("PostgreSQL {user}@[{host}]:{port}/{name}"),
        None => format!("PostgreSQL {user}@{host}:{port}/{name}"),
    }
}

impl fmt::Display for DatabaseUrl {
    /// Writes the file, or the user, host and database, without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "SQLite {}", path.display()),
            Self::Postgres(text) => match read_postgres(text) {
                Ok(address) => f.write_str(&describe(&address.options)),
                Err(_) => f.write_str("PostgreSQL"),
            },
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Option<PathBuf> {
        DatabaseUrl::parse(text).ok()?.file().map(Path::to_owned)
    }

    #[test]
    fn a_database_url_names_a_file_or_a_server() {
        assert_eq!(file("sqlite:data/a.db"), Some("data/a.db".into()));
        assert_eq!(file("sqlite:///var/a.db"), Some("/var/a.db".into()));
        assert_eq!(file("postgres://ann:secret@host/name"), None);
        for wrong in ["", "a.db", "sqlite:", "mysql://host/name", "postgres://[", "postgres://ann@::1/name"] {
            assert!(DatabaseUrl::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_sqlite_url_is_accepted_in_every_form_of_sqlx() {
        for (text, path) in [
            ("sqlite:vestibule.db", "vestibule.db"),
            ("sqlite://vestibule.db", "vestibule.db"),
            ("sqlite://vestibule.db?mode=rwc", "vestibule.db"),
            ("sqlite:vestibule.db?mode=rw&cache=private", "vestibule.db"),
            ("sqlite:./data/a.db", "./data/a.db"),
            ("sqlite:////var/a.db", "//var/a.db"),
            ("sqlite:my%20data%3F.db", "my data?.db"),
        ] {
            assert_eq!(file(text), Some(path.into()), "{text}");
        }
        for (text, error) in [
            ("sqlite::memory:", NO_FILE),
            ("sqlite://:memory:", NO_FILE),
            ("sqlite:a.db?mode=memory", NO_FILE),
            ("sqlite:a.db?mode=ro", READ_ONLY),
            ("sqlite:a.db?immutable=1", READ_ONLY),
            ("sqlite:a.db?cache=shared", UNKNOWN_SQLITE_KEY),
            ("sqlite:a.db?vfs=x", UNKNOWN_SQLITE_KEY),
        ] {
            assert_eq!(DatabaseUrl::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_postgres_url_is_accepted_in_every_form_of_libpq() {
        for (text, notice) in [
            ("postgres://ann:secret@host/name", "PostgreSQL ann@host:5432/name"),
            ("postgresql://ann@host:6000/name?connect_timeout=5", "PostgreSQL ann@host:6000/name"),
            ("postgres://ann:secret@[::1]:6000/name", "PostgreSQL ann@[::1]:6000/name"),
            ("postgres:///name?host=/run/postgresql&user=ann", "PostgreSQL ann@/run/postgresql/name"),
            ("postgres://ann:secret@/name?host=/cloudsql/a:b:c", "PostgreSQL ann@/cloudsql/a:b:c/name"),
            ("postgres://ann:secret@%2Frun%2Fpostgresql/name", "PostgreSQL ann@/run/postgresql/name"),
            ("postgres://ann@host/?dbname=name", "PostgreSQL ann@host:5432/name"),
            ("postgres://ann:secr@t@host/name", "PostgreSQL ann@host:5432/name"),
            ("postgres://host/name?user=ann%40there", "PostgreSQL ann@there@host:5432/name"),
        ] {
            assert_eq!(DatabaseUrl::parse(text).map(|url| url.to_string()).as_deref(), Ok(notice), "{text}");
        }
    }

    #[test]
    fn an_unencoded_password_is_rejected_and_not_printed_r112() {
        for text in [
            "postgres://ann:20241#secret@host/name",
            "postgres://ann:20241/secret@host/name",
            "postgres://ann:20241?secret@host/name",
            "postgres://ann:p@20241/secret@host/name",
            "postgres://ann:secret/20241@host",
            "postgres://ann:sec%ret/@host/name",
            "postgres://ann@host/name?pasword=secret",
            "postgres://ann:secret@one,two/name",
            "postgres://ann@host/20241/secret",
        ] {
            let error = DatabaseUrl::parse(text).expect_err(text).to_string();
            assert!(!error.contains("secret") && !error.contains("20241") && !error.contains("ann@"), "{error}");
        }
        assert_eq!(DatabaseUrl::parse("postgres://ann:20241#secret@host/name"), Err(UNENCODED));
    }

    #[test]
    fn a_remote_postgres_is_reached_by_tls_unless_the_url_differs() {
        let mode = |text: &str| read_postgres(text).map(|address| address.options.get_ssl_mode()).expect(text);
        for (text, insists) in [
            ("postgres://ann@db.example.org/name", true),
            ("postgres://ann@10.0.0.1/name", true),
            ("postgres://ann@[2001:db8::1]/name", true),
            ("postgres://ann@localhost/name", false),
            ("postgres://ann@127.0.0.1/name", false),
            ("postgres://ann@[::1]/name", false),
            ("postgres:///name?host=/run/postgresql", false),
        ] {
            assert_eq!(matches!(mode(text), PgSslMode::Require), insists, "{text}");
            assert_eq!(DatabaseUrl::parse(text).expect(text).warning(), None, "{text}");
        }
        assert!(matches!(mode("postgres://ann@db/name?sslmode=verify-full"), PgSslMode::VerifyFull));
        for weak in ["disable", "allow", "prefer"] {
            let warning = |host: &str| {
                DatabaseUrl::parse(&format!("postgres://ann@{host}/name?sslmode={weak}")).expect("a URL").warning()
            };
            assert!(warning("db").is_some_and(|words| words.contains("ann@db:5432/name")), "{weak}");
            assert_eq!(warning("127.0.0.1"), None, "{weak}");
        }
    }

    #[test]
    fn no_password_of_a_database_is_printed_r112() {
        let url = DatabaseUrl::parse("postgres://ann:secret@host/name").expect("a URL");
        assert_eq!(format!("{url:?} {url}"), "PostgreSQL ann@host:5432/name PostgreSQL ann@host:5432/name");
        assert_eq!(format!("{:?}", DatabaseUrl::parse("sqlite:a.db")), "Ok(SQLite a.db)");
    }
}
