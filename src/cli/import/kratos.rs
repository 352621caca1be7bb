//! Identities of Ory Kratos, as its admin API and its command line export them.

use std::fs::File;

use serde::Deserialize;

use super::file::{Row, read_json};
use crate::domain::{source_account::SourceAccount, time::Timestamp};

/// The formats of an export: a list, or a page of one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Export {
    List(Vec<Identity>),
    Page { identities: Vec<Identity> },
}

#[derive(Deserialize)]
struct Identity {
    id: String,
    #[serde(default)]
    traits: Traits,
    #[serde(default)]
    state: String,
    #[serde(default)]
    verifiable_addresses: Vec<Address>,
    #[serde(default)]
    credentials: Credentials,
    #[serde(default)]
    created_at: String,
}

/// The fields of a person, whose names the operator of Kratos chooses. These are the usual ones.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Traits {
    email: Option<String>,
    username: Option<String>,
}

#[derive(Deserialize)]
struct Address {
    value: String,
    #[serde(default)]
    verified: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Credentials {
    password: Option<Password>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Password {
    identifiers: Vec<String>,
    config: PasswordConfig,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PasswordConfig {
    hashed_password: String,
}

/// Reads all accounts of a file.
pub fn read(file: &File) -> Result<Vec<Row>, String> {
    let identities = match read_json(file, "export of identities")? {
        Export::List(identities) | Export::Page { identities } => identities,
    };
    if identities.is_empty() {
        return Err("the file has no identities; export them with include_credential=password".to_owned());
    }
    Ok(identities.into_iter().map(|identity| Ok(identity.into_account())).collect())
}

impl Identity {
    fn into_account(self) -> SourceAccount {
        let Password { identifiers, config } = self.credentials.password.unwrap_or_default();
        // A schema may use other names than these. The names for a login are then the only known ones.
        let identifier = |is_email: bool| identifiers.iter().find(|name| name.contains('@') == is_email).cloned();
        let email = self.traits.email.or_else(|| identifier(true)).unwrap_or_default();
        let is_verified =
            |address: &Address| address.verified && address.value.trim().eq_ignore_ascii_case(email.trim());
        SourceAccount {
            id: self.id,
            username: self.traits.username.or_else(|| identifier(false)).unwrap_or_default(),
            password: config.hashed_password,
            created_at: Timestamp::parse(&self.created_at).map(Timestamp::as_millis),
            last_login_at: None,
            email_verified: self.verifiable_addresses.iter().any(is_verified),
            disabled: self.state == "inactive",
            staff: false,
            groups: Vec::new(),
            token: None,
            email,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn accounts(text: &str) -> Result<Vec<SourceAccount>, String> {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        Ok(read(&file)?.into_iter().flatten().collect())
    }

    const ANN: &str = r#"{"id":"9f425a8d","state":"active","traits":{"email":"Ann@example.org","username":"ann",
        "name":{"first":"Ann"}},"verifiable_addresses":[{"value":"ann@example.org","verified":true,"via":"email"}],
        "credentials":{"password":{"type":"password","identifiers":["ann@example.org"],
        "config":{"hashed_password":"$2a$10$abc"}}},"created_at":"2026-11-27T09:30:00.123456Z"}"#;

    #[test]
    fn identities_are_read_from_a_list_and_from_a_page() {
        let list = accounts(&format!("[{ANN}]")).expect("a list");
        let ann = list.first().expect("an account");
        assert_eq!(
            (ann.email.as_str(), ann.username.as_str(), ann.password.as_str()),
            ("Ann@example.org", "ann", "$2a$10$abc")
        );
        assert_eq!((ann.email_verified, ann.disabled, ann.created_at), (true, false, Some(1_795_771_800_123)));
        assert_eq!(accounts(&format!(r#"{{"identities":[{ANN}],"next_page_token":""}}"#)).expect("a page"), list);
    }

    #[test]
    fn an_identity_without_traits_is_known_by_its_login() {
        let text = r#"[{"id":"1","state":"inactive","traits":{"mail":"x"},"verifiable_addresses":
            [{"value":"other@example.org","verified":true}],"credentials":{"password":{"identifiers":
            ["bob","bob@example.org"]}}}]"#;
        let bob = accounts(text).expect("a list").remove(0);
        assert_eq!((bob.email.as_str(), bob.username.as_str()), ("bob@example.org", "bob"));
        assert_eq!((bob.email_verified, bob.disabled, bob.password.as_str()), (false, true, ""));
    }

    #[test]
    fn another_file_is_refused_without_quoting_it() {
        for text in
            ["", "[]", "{}", "{\"identities\":[]}", "[{\"traits\":{}}]", "[{\"id\":\"$2a$10$secret\",\"state\":1}]"]
        {
            let refused = accounts(text).expect_err(text);
            assert!(!refused.contains("secret"), "{refused}");
        }
    }
}
