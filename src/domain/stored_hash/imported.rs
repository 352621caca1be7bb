//! Hashes in the formats of the systems that accounts are imported from.
//!
//! Sources of the formats: `django/contrib/auth/hashers.py`, the PHC string format, Kratos' `hash/hash_comparator.go`,
//! and Keycloak's `Pbkdf2PasswordHashProvider.java` and `Argon2PasswordHashProvider.java`.

use argon2::password_hash::phc::Output;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use strum::{EnumString, IntoStaticStr};

use super::{
    ARGON2_PREFIX, Argon2Hash, BcryptHash, ForeignHash, NO_PASSWORD, Pbkdf2Digest, Pbkdf2Hash, SaltBytes, ScryptHash,
    StoredHash, decimal, log2,
};

/// Why an account is imported without its password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum NoHash {
    /// The account had no password in the other system.
    Unusable,
    /// The hash can be reversed too quickly: MD5, SHA-1 or crypt.
    Weak,
    /// The format is not known.
    Unknown,
    /// The format is known, but the hash is incomplete or has an invalid part.
    Damaged,
    /// A comparison would cost too much.
    OutOfBounds,
}

impl NoHash {
    /// The name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// A text in place of a hash that is not imported for the same reason.
    #[must_use]
    pub const fn example(self) -> &'static str {
        match self {
            Self::Unusable => NO_PASSWORD,
            Self::Weak => "md5$",
            Self::Unknown => "unknown$",
            Self::Damaged => "scrypt$",
            Self::OutOfBounds => "$2b$31$.....................................................",
        }
    }
}

impl StoredHash {
    /// Parses a hash of another system: Django's formats, bcrypt, PHC strings, and Kratos' variants of them.
    pub fn import(text: &str) -> Result<ForeignHash, NoHash> {
        let text = text.trim();
        if text.is_empty() || text.starts_with('!') {
            return Err(NoHash::Unusable);
        }
        let hash = parse(text)?;
        if hash.is_within_limits() { Ok(hash) } else { Err(NoHash::OutOfBounds) }
    }

    /// Reads a PBKDF2 hash whose parts are stored separately, in bytes.
    pub fn import_pbkdf2(
        digest: Pbkdf2Digest,
        iterations: u32,
        salt: &[u8],
        tag: &[u8],
    ) -> Result<ForeignHash, NoHash> {
        let salt = SaltBytes::new(salt).ok_or(NoHash::OutOfBounds)?;
        let tag = Output::new(tag).map_err(|_| NoHash::OutOfBounds)?;
        let hash = ForeignHash::Pbkdf2(Pbkdf2Hash { digest, iterations, salt, tag });
        if hash.is_within_limits() { Ok(hash) } else { Err(NoHash::OutOfBounds) }
    }
}

fn parse(text: &str) -> Result<ForeignHash, NoHash> {
    let (algorithm, rest) = text.split_once('$').unwrap_or(("", text));
    match algorithm {
        "pbkdf2_sha256" => pbkdf2(Pbkdf2Digest::Sha256, rest).ok_or(NoHash::Damaged),
        "pbkdf2_sha1" => pbkdf2(Pbkdf2Digest::Sha1, rest).ok_or(NoHash::Damaged),
        "scrypt" => scrypt(rest).ok_or(NoHash::Damaged),
        "bcrypt" => bcrypt(rest, false).ok_or(NoHash::Damaged),
        "bcrypt_sha256" => bcrypt(rest, true).ok_or(NoHash::Damaged),
        // Django writes its name of the algorithm before a PHC string.
        ARGON2_PREFIX => argon2(&format!("${rest}")).ok_or(NoHash::Damaged),
        "md5" | "sha1" | "unsalted_md5" | "unsalted_sha1" | "crypt" => Err(NoHash::Weak),
        "" if text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()) => Err(NoHash::Weak),
        "" => parse_phc(text),
        _ => Err(NoHash::Unknown),
    }
}

/// Parses a text that begins with a dollar sign.
fn parse_phc(text: &str) -> Result<ForeignHash, NoHash> {
    let name = text.split('$').nth(1).ok_or(NoHash::Unknown)?;
    let parsed = match name {
        "argon2id" | "argon2i" => argon2(text),
        "2a" | "2b" | "2y" => bcrypt(text, false),
        "scrypt" | "pbkdf2-sha1" | "pbkdf2-sha256" | "pbkdf2-sha512" => ForeignHash::parse_phc(text),
        "1" | "5" | "6" | "apr1" => return Err(NoHash::Weak),
        _ => return Err(NoHash::Unknown),
    };
    parsed.ok_or(NoHash::Damaged)
}

/// `ITERATIONS$SALT$TAG`. The salt is text and used as its bytes. The tag is base64 with padding.
fn pbkdf2(digest: Pbkdf2Digest, rest: &str) -> Option<ForeignHash> {
    let mut parts = rest.split('$');
    let (iterations, salt, tag) = (parts.next()?, parts.next()?, parts.next()?);
    let (None, Some(iterations)) = (parts.next(), decimal(iterations)) else { return None };
    let (salt, tag) = (SaltBytes::new(salt.as_bytes())?, output(tag)?);
    Some(ForeignHash::Pbkdf2(Pbkdf2Hash { digest, iterations, salt, tag }))
}

/// `N$SALT$r$p$TAG`, like [`pbkdf2()`].
fn scrypt(rest: &str) -> Option<ForeignHash> {
    let parts: Vec<&str> = rest.split('$').collect();
    let &[n, salt, r, p, tag] = parts.as_slice() else { return None };
    let (log_n, r, p) = (log2(decimal(n)?)?, decimal(r)?, decimal(p)?);
    let (salt, tag) = (SaltBytes::new(salt.as_bytes())?, output(tag)?);
    Some(ForeignHash::Scrypt(ScryptHash { log_n, r, p, salt, tag }))
}

fn bcrypt(rest: &str, of_sha256: bool) -> Option<ForeignHash> {
    BcryptHash::parse(rest, of_sha256).map(ForeignHash::Bcrypt)
}

fn argon2(phc: &str) -> Option<ForeignHash> {
    Argon2Hash::parse(phc).map(ForeignHash::Argon2)
}

fn output(base64: &str) -> Option<Output> {
    Output::new(&STANDARD.decode(base64).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_text_with_that_reason() {
        for reason in [NoHash::Unusable, NoHash::Weak, NoHash::Unknown, NoHash::Damaged, NoHash::OutOfBounds] {
            assert_eq!(StoredHash::import(reason.example()), Err(reason));
        }
    }
}
