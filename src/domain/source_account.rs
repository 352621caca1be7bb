//! An account as another system has it.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// An account of another system, before it is checked against the rules of this one.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceAccount {
    /// The account's key there. It identifies the account when the import is repeated.
    pub id: String,
    /// May be empty.
    pub email: String,
    /// May be empty.
    pub username: String,
    /// The password hash in the format of that system, or an empty text.
    pub password: String,
    /// Milliseconds since 1970.
    pub created_at: Option<i64>,
    /// Milliseconds since 1970.
    pub last_login_at: Option<i64>,
    /// Whether that system confirmed the email.
    pub email_verified: bool,
    /// Whether the account is disabled there.
    pub disabled: bool,
    /// Whether it may administer that system.
    pub staff: bool,
    /// Names of groups.
    pub groups: Vec<String>,
    /// A token of Django REST framework.
    pub token: Option<String>,
}

impl SourceAccount {
    /// A digest of everything that is imported. An account with the same digest needs no second import.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        let mut add = |bytes: &[u8]| {
            // With its length, so that no two accounts have the same input.
            digest.update((bytes.len() as u64).to_be_bytes());
            digest.update(bytes);
        };
        for text in [&self.id, &self.email, &self.username, &self.password] {
            add(text.as_bytes());
        }
        add(&[u8::from(self.email_verified), u8::from(self.disabled)]);
        add(self.token.as_deref().unwrap_or_default().as_bytes());
        for group in &self.groups {
            add(group.as_bytes());
        }
        digest.finalize().into()
    }
}

/// Prints no password hash and no token.
impl fmt::Debug for SourceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceAccount({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_changes_with_everything_that_is_imported() {
        let ann = SourceAccount { id: "1".to_owned(), email: "ann@example.org".to_owned(), ..Default::default() };
        let text = || "x".to_owned();
        let changes: [fn(&mut SourceAccount, String); 8] = [
            |account, text| account.id += &text,
            |account, text| account.email += &text,
            |account, text| account.username += &text,
            |account, text| account.password += &text,
            |account, _| account.email_verified = true,
            |account, _| account.disabled = true,
            |account, text| account.groups.push(text),
            |account, text| account.token = Some(text),
        ];
        for change in changes {
            let mut other = ann.clone();
            change(&mut other, text());
            assert_ne!(other.digest(), ann.digest());
        }
        // A login there changes nothing that is imported.
        assert_eq!(SourceAccount { last_login_at: Some(5), ..ann.clone() }.digest(), ann.digest());
    }
}
