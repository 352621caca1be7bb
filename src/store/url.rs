//! How a database is named.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

use sqlx::postgres::PgConnectOptions;

/// Where the database is.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A file.
    Sqlite(PathBuf),
    /// A server's address, which may hold a password.
    Postgres(String),
}

impl DatabaseUrl {
    /// Reads `sqlite:PATH`, `sqlite://PATH`, `postgres://…` or `postgresql://…`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return PgConnectOptions::from_str(text).is_ok().then(|| Self::Postgres(text.to_owned()));
        }
        let path = text.strip_prefix("sqlite:")?;
        let path = path.strip_prefix("//").unwrap_or(path);
        (!path.is_empty() && !path.starts_with(':') && !path.contains('?')).then(|| Self::Sqlite(PathBuf::from(path)))
    }

    /// The file, if it is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }
}

impl std::fmt::Debug for DatabaseUrl {
    /// Tells the file, or only the kind of server: its address may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(_) => f.write_str("postgres:…"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_file_or_a_server() {
        let file = |text: &str| DatabaseUrl::parse(text).and_then(|url| url.file().map(Path::to_owned));
        assert_eq!(file("sqlite:data/a.db"), Some("data/a.db".into()));
        assert_eq!(file("sqlite:///var/a.db"), Some("/var/a.db".into()));
        assert_eq!(file("postgres://ann:secret@host/name"), None);
        for wrong in
            ["", "a.db", "sqlite:", "sqlite::memory:", "sqlite:a.db?mode=ro", "mysql://host/name", "postgres://["]
        {
            assert_eq!(DatabaseUrl::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn no_password_of_a_server_is_told_r112() {
        let url = DatabaseUrl::parse("postgres://ann:secret@host/name");
        assert_eq!(format!("{url:?}"), "Some(postgres:…)");
        assert_eq!(format!("{:?}", DatabaseUrl::parse("sqlite:a.db")), "Some(sqlite:a.db)");
    }
}
