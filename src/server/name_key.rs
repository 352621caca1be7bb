//! The key that hashes the names of rate-limit counters. It is never stored in the database, so that a copy of the
//! database can't be used to confirm names.

use std::{
    fs::{OpenOptions, Permissions},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use argon2::{Algorithm, Argon2, Params, Version};
use rustix::fs::OFlags;

use crate::{
    service::{NameKey, entropy::Entropy},
    store::{self, DatabaseUrl, PostgresLogin},
};

/// The key of an open database.
///
/// For SQLite, the key is stored beside the database in `<file>.key`. If that file is missing, it is created; then
/// counters start again from zero and nothing else is lost.
///
/// Servers on one PostgreSQL share only its address, so the key is derived from the password in it. Without a password
/// (a socket, a client certificate) anybody with a copy of the database can derive the key too. SECURITY.md says so.
pub fn of(database: &DatabaseUrl, entropy: &dyn Entropy) -> Result<NameKey, store::Error> {
    match database {
        DatabaseUrl::Sqlite(path) => {
            let path = file_of(path);
            read_or_create(&path, entropy).map(NameKey::new).map_err(|cause| {
                let path = path.display();
                store::Error::Refused(format!("can't use {path}: {cause}. Check its owner and permissions."))
            })
        }
        DatabaseUrl::Postgres(_) => match database.postgres_login() {
            Some(login) => derive(&login).map(NameKey::new),
            None => Err(store::Error::Refused("the PostgreSQL address can't be parsed".to_owned())),
        },
    }
}

/// The file of a SQLite database's key.
#[must_use]
pub fn file_of(database: &Path) -> PathBuf {
    database.with_added_extension("key")
}

/// The key of a database, if there is one. Creates none.
#[must_use]
pub fn read(database: &DatabaseUrl) -> Option<NameKey> {
    match database {
        DatabaseUrl::Sqlite(path) => {
            let mut options = OpenOptions::new();
            options.read(true).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
            let mut stored = Vec::new();
            let file = options.open(file_of(path)).ok()?;
            file.take(NameKey::LENGTH as u64 + 1).read_to_end(&mut stored).ok()?;
            <[u8; NameKey::LENGTH]>::try_from(stored).ok().map(NameKey::new)
        }
        DatabaseUrl::Postgres(_) => derive(&database.postgres_login()?).ok().map(NameKey::new),
    }
}

fn read_or_create(path: &Path, entropy: &dyn Entropy) -> io::Result<[u8; NameKey::LENGTH]> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(path)?;
    // A restored copy of the file may have other permissions.
    file.set_permissions(Permissions::from_mode(0o600))?;
    let mut stored = Vec::new();
    (&mut file).take(NameKey::LENGTH as u64 + 1).read_to_end(&mut stored)?;
    if let Ok(key) = <[u8; NameKey::LENGTH]>::try_from(stored) {
        return Ok(key);
    }
    let mut key = [0; NameKey::LENGTH];
    entropy.fill(&mut key);
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(&key)?;
    file.sync_all()?;
    Ok(key)
}

/// Derives the key with argon2id, so that a copy of the database is no cheap way to guess the database's password.
fn derive(login: &PostgresLogin) -> Result<[u8; NameKey::LENGTH], store::Error> {
    let fault = |cause: argon2::Error| store::Error::Refused(format!("can't derive the key of counters: {cause}"));
    let salt = format!("vestibule counters {} /{}", login.user, login.database);
    let params = Params::new(Params::DEFAULT_M_COST, Params::DEFAULT_T_COST, 1, Some(NameKey::LENGTH));
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.map_err(fault)?);
    let mut key = [0; NameKey::LENGTH];
    argon2.hash_password_into(login.password.as_bytes(), salt.as_bytes(), &mut key).map_err(fault)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::service::entropy::SystemEntropy;

    fn key(path: &Path) -> io::Result<[u8; NameKey::LENGTH]> {
        read_or_create(path, &SystemEntropy)
    }

    #[test]
    fn a_key_file_is_private_and_reused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("vestibule.db.key");
        let made = key(&path).expect("made");
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("readable for other users");
        assert_eq!(key(&path).expect("read"), made);
        assert_eq!(std::fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
        for damaged in [&b""[..], b"short", &[7; 65]] {
            std::fs::write(&path, damaged).expect("written");
            let new = key(&path).expect("a new key");
            assert!(new != made && key(&path).expect("read") == new, "{damaged:?}");
        }
    }

    #[test]
    fn a_symbolic_link_as_key_file_is_rejected() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, other) = (folder.path().join("vestibule.db.key"), folder.path().join("other"));
        symlink(&other, &path).expect("a link");
        assert!(key(&path).is_err() && !other.exists());
    }

    #[test]
    fn every_spelling_of_one_postgres_url_has_the_same_key() {
        let of = |url: &str| {
            let login = DatabaseUrl::parse(url).expect(url).postgres_login().expect(url);
            derive(&login).expect(url)
        };
        let key = of("postgres://ann:secret@one.example:5432/name");
        for same in [
            "postgres://ann:secret@other.example/name?sslmode=require",
            "postgresql://ann:%73ecret@one.example/name",
            "postgres://ann:secret@/name?host=/cloudsql/a:b:c",
            "postgres://ann:secret@%2Frun%2Fpostgresql/name",
            "postgres:///name?host=/run/postgresql&user=ann&password=secret",
            "postgres://ann@one.example/?dbname=name&password=secret",
            "postgres://one.example/name?user=ann&password=secret",
        ] {
            assert_eq!(of(same), key, "{same}");
        }
        for other in ["postgres://ann:guess@one.example/name", "postgres://ann@one.example/name"] {
            assert_ne!(of(other), key, "{other}");
        }
    }
}
