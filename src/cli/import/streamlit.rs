//! Accounts in the configuration of streamlit-authenticator, in each of the forms that its versions wrote.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
};

use serde::Deserialize;

use super::file::Row;
use crate::domain::source_account::SourceAccount;

/// The largest file, in bytes. It is held in memory.
const MAX_FILE: u64 = 64 << 20;

#[derive(Deserialize)]
struct Configuration {
    credentials: Credentials,
}

#[derive(Deserialize)]
struct Credentials {
    usernames: Usernames,
    /// Up to version 0.2.0.
    #[serde(default)]
    passwords: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Usernames {
    /// Up to version 0.2.0, without emails.
    List(Vec<String>),
    /// From version 0.2.1.
    Map(BTreeMap<String, User>),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct User {
    email: Option<String>,
    password: Option<String>,
    roles: Option<Vec<String>>,
}

/// Reads all accounts of a file.
pub fn read(file: &File) -> Result<Vec<Row>, String> {
    let unreadable = |cause: std::io::Error| format!("the file can't be read: {cause}");
    let mut file = file.try_clone().map_err(unreadable)?;
    file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.len() > MAX_FILE {
        return Err("the file is larger than 64 MiB".to_owned());
    }
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text).map_err(unreadable)?;
    // Without the cause, which may quote a password.
    let configuration: Configuration = yaml_serde::from_str(&text).map_err(|cause| {
        let line = cause.location().map_or(0, |location| location.line());
        format!("the file is no configuration of streamlit-authenticator (line {line})")
    })?;
    let Credentials { usernames, passwords } = configuration.credentials;
    Ok(match usernames {
        Usernames::List(names) => {
            let passwords = passwords.into_iter().map(Some).chain(std::iter::repeat(None));
            let users = names.into_iter().zip(passwords);
            users.map(|(name, password)| Ok(account(name, User { password, ..User::default() }))).collect()
        }
        Usernames::Map(users) => users.into_iter().map(|(name, user)| Ok(account(name, user))).collect(),
    })
}

fn account(username: String, user: User) -> SourceAccount {
    SourceAccount {
        // The library ignores the case.
        id: username.to_lowercase(),
        email: user.email.unwrap_or_default(),
        username,
        password: user.password.unwrap_or_default(),
        groups: user.roles.unwrap_or_default(),
        ..SourceAccount::default()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::domain::stored_hash::{NoHash, StoredHash};

    fn parse(text: &str) -> Result<Vec<SourceAccount>, String> {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        Ok(read(&file)?.into_iter().flatten().collect())
    }

    const HASH: &str = "$2b$12$Zk3vQ9bT1mXw7LcR5nYd0ubz0AcwWLOGIZwAyJ5ts3tC9shQqIM8m";

    #[test]
    fn each_form_of_the_configuration_is_read() {
        let today = parse(&format!(
            "credentials:\n  usernames:\n    jsmith:\n      email: jsmith@example.org\n      first_name: John\n      \
             password: {HASH}\n      roles: [admin, editor]\n    guest1:\n      email: guest1@example.org\n      roles: null\n"
        ));
        let today = today.expect("accounts");
        let [guest, john] = today.as_slice() else { panic!("two accounts: {today:?}") };
        assert_eq!((guest.email.as_str(), guest.groups.len()), ("guest1@example.org", 0));
        assert_eq!((john.username.as_str(), john.groups.join(",")), ("jsmith", "admin,editor".to_owned()));
        assert!(StoredHash::import(&john.password).is_ok());
        assert_eq!(StoredHash::import(&guest.password), Err(NoHash::Unusable));

        let lists = parse(&format!(
            "credentials:\n  names: ['John Smith', 'Rebecca']\n  usernames: ['jsmith', 'rbriggs']\n  passwords: ['{HASH}']\n"
        ));
        let lists = lists.expect("accounts");
        let passwords: Vec<bool> = lists.iter().map(|account| StoredHash::import(&account.password).is_ok()).collect();
        assert_eq!((passwords, lists.iter().all(|account| account.email.is_empty())), (vec![true, false], true));

        let plain =
            parse("credentials:\n  usernames:\n    ann:\n      email: ann@example.org\n      password: plain text\n");
        let plain = plain.expect("accounts");
        let reasons: Vec<_> = plain.iter().map(|account| StoredHash::import(&account.password)).collect();
        assert_eq!(reasons, [Err(NoHash::Unknown)]);
    }

    #[test]
    fn a_hostile_file_is_refused_quickly() {
        let mut bomb = String::from("credentials:\n  usernames:\n    a: &a [x, x, x, x, x, x, x, x, x]\n");
        for (last, next) in ('a'..='y').zip('b'..='z') {
            let list = vec![format!("*{last}"); 9].join(", ");
            bomb = format!("{bomb}    {next}: &{next} [{list}]\n");
        }
        for text in [bomb.as_str(), "", "credentials: 3\n", "a: [", "credentials:\n  usernames: {a: {password: [1]}}\n"]
        {
            let refused = parse(text).expect_err("refused");
            assert!(!refused.contains('x') || refused.contains("line"), "{refused}");
        }
    }
}
