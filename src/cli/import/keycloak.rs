//! Accounts in a realm that Keycloak exported.

use std::fs::File;

use serde::Deserialize;

use super::file::{Row, read_json};
use crate::{
    domain::{
        source_account::SourceAccount,
        stored_hash::{NO_PASSWORD, StoredHash},
    },
    service::imports::{ImportedRow, Note},
};

#[derive(Deserialize)]
struct Realm {
    #[serde(default)]
    users: Vec<User>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct User {
    id: String,
    username: String,
    email: String,
    email_verified: bool,
    enabled: bool,
    created_timestamp: Option<i64>,
    service_account_client_id: Option<String>,
    credentials: Vec<Credential>,
    required_actions: Vec<String>,
    groups: Vec<String>,
}

impl Default for User {
    fn default() -> Self {
        Self {
            id: String::new(),
            username: String::new(),
            email: String::new(),
            email_verified: false,
            enabled: true,
            created_timestamp: None,
            service_account_client_id: None,
            credentials: Vec::new(),
            required_actions: Vec::new(),
            groups: Vec::new(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Credential {
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "secretData")]
    secret: String,
    #[serde(rename = "credentialData")]
    public: String,
}

/// Reads all accounts of a file.
pub fn read(file: &File) -> Result<Vec<Row>, String> {
    let realm: Realm = read_json(file, "export of a realm")?;
    if realm.users.is_empty() {
        return Err("the file has no users; export the realm with `kc.sh export --users same_file`".to_owned());
    }
    Ok(realm.users.into_iter().map(User::into_row).collect())
}

impl User {
    fn into_row(self) -> Row {
        // Exports that were written by hand have no ids.
        let id = if self.id.is_empty() { self.username.to_lowercase() } else { self.id };
        if self.service_account_client_id.is_some() {
            return Err(ImportedRow::skipped(id, self.email, Note::ServiceAccount));
        }
        let must_change = self.required_actions.iter().any(|action| action == "UPDATE_PASSWORD");
        let credential = self.credentials.iter().find(|credential| credential.kind == "password");
        let password = match credential.filter(|_| !must_change) {
            None => NO_PASSWORD.to_owned(),
            Some(credential) => StoredHash::import_keycloak(&credential.secret, &credential.public)
                // The reason is found out again, by a text that has the same.
                .map_or_else(|reason| reason.example().to_owned(), |hash| hash.to_string()),
        };
        // A group is named by its path.
        let groups = self.groups.iter().map(|path| path.trim_start_matches('/').to_owned()).collect();
        Ok(SourceAccount {
            id,
            email: self.email,
            username: self.username,
            password,
            created_at: self.created_timestamp,
            last_login_at: None,
            email_verified: self.email_verified,
            disabled: !self.enabled,
            staff: false,
            groups,
            token: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_people_of_a_realm_are_read_and_its_programs_are_not() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests/fixtures/keycloak-realm.json");
        let rows = read(&File::open(path).expect("a file")).expect("a realm");
        let people: Vec<&SourceAccount> = rows.iter().filter_map(|row| row.as_ref().ok()).collect();
        assert_eq!((rows.len(), people.len()), (7, 6));
        let hashes = people.iter().map(|account| StoredHash::import(&account.password).is_ok());
        assert_eq!(hashes.collect::<Vec<_>>(), [true, true, true, false, true, false]);
        let first = people.first().expect("an account");
        assert_eq!((first.username.as_str(), first.email_verified, first.disabled), ("kc1", true, false));
        assert_eq!(first.groups, ["editors", "editors/night"]);
        assert_eq!(people.iter().filter(|account| account.disabled).count(), 1);
    }

    #[test]
    fn a_file_without_users_is_refused() {
        use std::io::Write as _;
        for text in ["{}", "[]", "", "{\"users\":[]}", "{\"users\":3}"] {
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(text.as_bytes()).expect("written");
            assert!(read(&file).is_err(), "{text}");
        }
    }
}
