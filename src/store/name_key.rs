//! The key for hashing mailboxes and names without an account in counters.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// A key that is not stored in the database. Counters outlive the accounts they are about, so they must not contain a
/// hash that anyone can compute from a name.
#[derive(Clone)]
pub struct NameKey([u8; NameKey::LENGTH]);

impl NameKey {
    /// The length of a key in bytes: the block size of HMAC-SHA-256, which it uses unchanged.
    pub const LENGTH: usize = 64;

    /// Creates a key from bytes.
    #[must_use]
    pub const fn new(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// The HMAC-SHA-256 of a name, for counters with this purpose.
    #[must_use]
    pub fn name(&self, purpose: &str, name: &str) -> String {
        let mut mac = Hmac::<Sha256>::new(&self.0.into());
        // The purpose is part of the input, so that a name can't be traced from one counter to another.
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(name.as_bytes());
        let tag = mac.finalize().into_bytes();
        tag.iter().fold(purpose.to_owned(), |key, byte| format!("{key}{byte:02x}"))
    }
}

impl fmt::Debug for NameKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NameKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_depends_on_the_key_and_the_purpose() {
        let (one, other) = (NameKey::new([1; 64]), NameKey::new([2; 64]));
        let name = one.name("moves:", "ann@example.org");
        assert!(name.starts_with("moves:") && name.len() == "moves:".len() + 64, "{name}");
        assert_eq!(one.name("moves:", "ann@example.org"), name);
        let others = [
            other.name("moves:", "ann@example.org"),
            one.name("moves:", "bob@example.org"),
            one.name("", "ann@example.org"),
        ];
        for other in others {
            assert_ne!(other.rsplit(':').next(), name.rsplit(':').next());
        }
    }

    #[test]
    fn a_key_is_never_printed() {
        assert_eq!(format!("{:?}", NameKey::new([7; 64])), "NameKey");
    }
}
