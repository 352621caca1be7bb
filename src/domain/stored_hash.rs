//! Password hashes in their stored form: our own, and those of other systems until their owners log in.

mod imported;
mod keycloak;

use std::{fmt, str::FromStr};

use argon2::{
    Algorithm, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};

pub use self::imported::NoHash;

/// The text in place of a hash for an account without a password.
pub const NO_PASSWORD: &str = "!";
/// Begins the hashes of our own.
pub const OWN_PREFIX: &str = "$argon2id$";
/// Begins an argon2 hash of another system, so that its cost is not mistaken for our own.
const ARGON2_PREFIX: &str = "argon2";
/// Begins a bcrypt hash of the SHA-256 of the password.
const BCRYPT_SHA256_PREFIX: &str = "bcrypt_sha256$";

/// A parsed hash. The stored text is the only place where a format is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredHash {
    /// argon2id that this program computed, with the parameters of that time.
    Own(Argon2Hash),
    /// A hash that another system computed. The next login replaces it.
    Foreign(ForeignHash),
    /// The account has no password. Its owner can request a link to set one.
    NoPassword,
}

/// A hash of another system.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the names of the algorithms")]
pub enum ForeignHash {
    Argon2(Argon2Hash),
    Pbkdf2(Pbkdf2Hash),
    Scrypt(ScryptHash),
    Bcrypt(BcryptHash),
}

/// An argon2 hash (RFC 9106).
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields' types describe them")]
pub struct Argon2Hash {
    /// argon2id or argon2i.
    pub algorithm: Algorithm,
    pub version: Version,
    pub params: Params,
    pub salt: Salt,
    pub tag: Output,
}

/// A PBKDF2 hash (RFC 8018) with HMAC.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields' names describe them")]
pub struct Pbkdf2Hash {
    pub digest: Pbkdf2Digest,
    pub iterations: u32,
    pub salt: SaltBytes,
    pub tag: Output,
}

/// The digest of a PBKDF2 hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the names of the digests")]
pub enum Pbkdf2Digest {
    Sha1,
    Sha256,
    Sha512,
}

/// A scrypt hash (RFC 7914).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScryptHash {
    /// The binary logarithm of the cost `N`.
    pub log_n: u8,
    /// The block size.
    pub r: u32,
    /// The parallelization.
    pub p: u32,
    /// The salt.
    pub salt: SaltBytes,
    /// The output.
    pub tag: Output,
}

/// A bcrypt hash in its usual form of 60 ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BcryptHash {
    text: String,
    cost: u32,
    /// Whether the hexadecimal SHA-256 of the password was hashed instead of the password.
    pub of_sha256: bool,
}

impl BcryptHash {
    /// The 60 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// A salt of 1 to 64 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaltBytes(Vec<u8>);

impl SaltBytes {
    const MAX: usize = 64;

    /// Accepts 1 to 64 bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (1..=Self::MAX).contains(&bytes.len()).then(|| Self(bytes.to_owned()))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl StoredHash {
    /// Parses the stored text. Returns `None` if it is invalid, or if a comparison would cost too much.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == NO_PASSWORD {
            return Some(Self::NoPassword);
        }
        if text.starts_with(OWN_PREFIX) {
            let own = Argon2Hash::parse(text)?;
            // Our own hashes always state the version.
            return text.contains("$v=").then_some(Self::Own(own));
        }
        ForeignHash::parse(text).map(Self::Foreign)
    }
}

impl fmt::Display for StoredHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(hash) => hash.fmt(f),
            Self::Foreign(hash) => hash.fmt(f),
            Self::NoPassword => f.write_str(NO_PASSWORD),
        }
    }
}

impl ForeignHash {
    /// Parses the stored text of a hash within the limits.
    fn parse(text: &str) -> Option<Self> {
        let hash = if let Some(phc) = text.strip_prefix(ARGON2_PREFIX) {
            Self::Argon2(Argon2Hash::parse(phc)?)
        } else if let Some(bcrypt) = text.strip_prefix(BCRYPT_SHA256_PREFIX) {
            Self::Bcrypt(BcryptHash::parse(bcrypt, true)?)
        } else if text.starts_with("$2") {
            Self::Bcrypt(BcryptHash::parse(text, false)?)
        } else {
            Self::parse_phc(text)?
        };
        hash.is_within_limits().then_some(hash)
    }

    /// Parses `$NAME$PARAMETERS$SALT$TAG`, for PBKDF2 and scrypt.
    fn parse_phc(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix('$')?.split('$');
        let (name, params, salt, tag) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let params = Parameters::parse(params)?;
        let salt = SaltBytes::new(&STANDARD_NO_PAD.decode(salt).ok()?)?;
        let tag = Output::decode(tag).ok()?;
        if name == "scrypt" {
            let (log_n, r, p) = (params.get("ln")?, params.get("r")?, params.get("p")?);
            params.only(3)?;
            // Kratos writes the cost itself.
            let log_n = if log_n < 32 { u8::try_from(log_n).ok()? } else { log2(log_n)? };
            return Some(Self::Scrypt(ScryptHash { log_n, r, p, salt, tag }));
        }
        let digest = Pbkdf2Digest::ALL.into_iter().find(|digest| digest.name() == name)?;
        let iterations = params.get("i")?;
        match params.get::<usize>("l") {
            Some(length) if length == tag.len() => params.only(2)?,
            Some(_) => return None,
            None => params.only(1)?,
        }
        Some(Self::Pbkdf2(Pbkdf2Hash { digest, iterations, salt, tag }))
    }

    /// Whether a comparison is cheap enough for a login. The limits are above every default of the systems that are
    /// imported.
    fn is_within_limits(&self) -> bool {
        match self {
            Self::Argon2(Argon2Hash { params, tag, .. }) => {
                params.m_cost() <= 1 << 20 && params.t_cost() <= 16 && params.p_cost() <= 16 && tag.len() >= 16
            }
            Self::Pbkdf2(Pbkdf2Hash { iterations, tag, .. }) => {
                (1..=10_000_000).contains(iterations) && tag.len() >= 16
            }
            Self::Scrypt(ScryptHash { log_n, r, p, tag, .. }) => {
                (1..=17).contains(log_n) && (1..=16).contains(r) && (1..=16).contains(p) && tag.len() >= 16
            }
            Self::Bcrypt(BcryptHash { cost, .. }) => (4..=15).contains(cost),
        }
    }

    /// The memory that a comparison takes, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        match self {
            Self::Argon2(hash) => hash.params.block_count() * 1024,
            Self::Scrypt(ScryptHash { log_n, r, p, .. }) => 128 * *r as usize * ((1 << log_n) + *p as usize),
            Self::Pbkdf2(_) | Self::Bcrypt(_) => 0,
        }
    }

    /// A hash that costs the same, and that contains nothing of this one.
    #[must_use]
    pub fn blank(&self) -> Self {
        let mut blank = self.clone();
        let zeros = |tag: &Output| Output::init_with(tag.len(), |_zeros| Ok(())).unwrap_or(*tag);
        match &mut blank {
            Self::Argon2(hash) => {
                hash.tag = zeros(&hash.tag);
                hash.salt = Salt::new(&[0; 16]).unwrap_or(hash.salt);
            }
            Self::Pbkdf2(Pbkdf2Hash { salt, tag, .. }) | Self::Scrypt(ScryptHash { salt, tag, .. }) => {
                (*salt, *tag) = (SaltBytes(vec![0; 16]), zeros(tag));
            }
            Self::Bcrypt(hash) => hash.text = format!("$2b${:02}${}", hash.cost, ".".repeat(53)),
        }
        blank
    }

    /// The algorithm, and a figure that grows with the time of a comparison. Only figures of one algorithm compare.
    fn work(&self) -> (u8, u64) {
        match self {
            Self::Argon2(Argon2Hash { params, .. }) => (0, u64::from(params.m_cost()) * u64::from(params.t_cost())),
            Self::Scrypt(ScryptHash { log_n, r, p, .. }) => (1, (u64::from(*r) * u64::from(*p)) << log_n),
            Self::Bcrypt(BcryptHash { cost, .. }) => (2, u64::from(*cost)),
            Self::Pbkdf2(Pbkdf2Hash { digest, iterations, tag, .. }) => {
                let (index, bytes) = match digest {
                    Pbkdf2Digest::Sha1 => (3, 20),
                    Pbkdf2Digest::Sha256 => (4, 32),
                    Pbkdf2Digest::Sha512 => (5, 64),
                };
                // Each block of the output costs all iterations.
                (index, u64::from(*iterations) * tag.len().div_ceil(bytes) as u64)
            }
        }
    }

    /// Keeps the most expensive hash of each algorithm, without salts and outputs.
    #[must_use]
    pub fn most_expensive(hashes: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut kept: Vec<Self> = Vec::new();
        for hash in hashes {
            let (algorithm, work) = hash.work();
            match kept.iter_mut().find(|other| other.work().0 == algorithm) {
                Some(other) if other.work().1 < work => *other = hash.blank(),
                Some(_) => {}
                None => kept.push(hash.blank()),
            }
        }
        kept.sort_by_key(Self::work);
        kept
    }
}

impl fmt::Display for ForeignHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argon2(hash) => write!(f, "{ARGON2_PREFIX}{hash}"),
            Self::Pbkdf2(Pbkdf2Hash { digest, iterations, salt, tag }) => {
                let (name, length) = (digest.name(), tag.len());
                write!(f, "${name}$i={iterations},l={length}${}${tag}", STANDARD_NO_PAD.encode(&salt.0))
            }
            Self::Scrypt(ScryptHash { log_n, r, p, salt, tag }) => {
                write!(f, "$scrypt$ln={log_n},r={r},p={p}${}${tag}", STANDARD_NO_PAD.encode(&salt.0))
            }
            Self::Bcrypt(BcryptHash { text, of_sha256, .. }) => {
                write!(f, "{}{text}", if *of_sha256 { BCRYPT_SHA256_PREFIX } else { "" })
            }
        }
    }
}

impl Argon2Hash {
    /// Parses a PHC string. Without a version it is version 1.0 (16).
    fn parse(text: &str) -> Option<Self> {
        let hash = PasswordHash::new(text).ok()?;
        let algorithm = [Algorithm::Argon2id, Algorithm::Argon2i].into_iter().find(|a| a.ident() == hash.algorithm)?;
        let params = Params::try_from(&hash).ok()?;
        let version = hash.version.map_or(Some(Version::V0x10), |version| Version::try_from(version).ok())?;
        Some(Self { algorithm, version, params, salt: hash.salt?, tag: hash.hash? })
    }
}

impl fmt::Display for Argon2Hash {
    /// The PHC string.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = PasswordHash {
            algorithm: self.algorithm.ident(),
            version: Some(self.version.into()),
            params: ParamsString::try_from(&self.params).map_err(|_| fmt::Error)?,
            salt: Some(self.salt),
            hash: Some(self.tag),
        };
        hash.fmt(f)
    }
}

impl Pbkdf2Digest {
    const ALL: [Self; 3] = [Self::Sha1, Self::Sha256, Self::Sha512];

    const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "pbkdf2-sha1",
            Self::Sha256 => "pbkdf2-sha256",
            Self::Sha512 => "pbkdf2-sha512",
        }
    }
}

impl BcryptHash {
    /// Parses `$2b$COST$`, a salt of 22 characters and an output of 31. The versions 2a and 2y are the same algorithm.
    fn parse(text: &str, of_sha256: bool) -> Option<Self> {
        let rest = ["$2a$", "$2b$", "$2y$"].into_iter().find_map(|version| text.strip_prefix(version))?;
        let (cost, rest) = rest.split_once('$')?;
        let is_base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/');
        if cost.len() != 2 || rest.len() != 53 || !rest.bytes().all(is_base64) {
            return None;
        }
        Some(Self { text: text.to_owned(), cost: decimal(cost)?, of_sha256 })
    }
}

/// The parameters of a PHC string: `NAME=VALUE,…`.
struct Parameters<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Parameters<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        text.split(',').map(|pair| pair.split_once('=')).collect::<Option<_>>().map(Self)
    }

    fn get<T: FromStr>(&self, name: &str) -> Option<T> {
        self.0.iter().find(|(known, _)| *known == name).and_then(|(_, value)| decimal(value))
    }

    /// Checks that there are no other parameters than those that were read.
    fn only(&self, count: usize) -> Option<()> {
        (self.0.len() == count).then_some(())
    }
}

/// The binary logarithm of a power of two.
fn log2(n: u32) -> Option<u8> {
    n.is_power_of_two().then(|| u8::try_from(n.trailing_zeros()).ok()).flatten()
}

/// Parses digits only: no sign, no white space.
fn decimal<T: FromStr>(text: &str) -> Option<T> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(text: &str) -> ForeignHash {
        let Some(StoredHash::Foreign(hash)) = StoredHash::parse(text) else { panic!("not a foreign hash: {text}") };
        hash
    }

    const SALT: &str = "AAAAAAAAAAAAAAAAAAAAAA";
    const TAG: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    #[test]
    fn a_stored_hash_is_written_as_it_was_parsed() {
        let bcrypt = format!("$2y$10${}", "a".repeat(53));
        for text in [
            "!".to_owned(),
            format!("$argon2id$v=19$m=19456,t=2,p=1${SALT}${TAG}"),
            format!("argon2$argon2id$v=19$m=102400,t=2,p=8${SALT}${TAG}"),
            format!("argon2$argon2i$v=16$m=512,t=2,p=2${SALT}${TAG}"),
            format!("$pbkdf2-sha1$i=1000,l=32${SALT}${TAG}"),
            format!("$pbkdf2-sha256$i=1000000,l=32${SALT}${TAG}"),
            format!("$pbkdf2-sha512$i=210000,l=32${SALT}${TAG}"),
            format!("$scrypt$ln=14,r=8,p=5${SALT}${TAG}"),
            bcrypt.clone(),
            format!("bcrypt_sha256${bcrypt}"),
        ] {
            assert_eq!(StoredHash::parse(&text).map(|hash| hash.to_string()), Some(text.clone()), "{text}");
        }
    }

    #[test]
    fn a_hash_that_would_cost_too_much_is_rejected_r146() {
        for text in [
            format!("$pbkdf2-sha256$i=10000001,l=32${SALT}${TAG}"),
            format!("$pbkdf2-sha256$i=0,l=32${SALT}${TAG}"),
            format!("$scrypt$ln=18,r=8,p=1${SALT}${TAG}"),
            format!("$scrypt$ln=14,r=17,p=1${SALT}${TAG}"),
            format!("$scrypt$ln=14,r=8,p=17${SALT}${TAG}"),
            format!("$scrypt$ln=0,r=8,p=1${SALT}${TAG}"),
            format!("argon2$argon2id$v=19$m=1048577,t=2,p=1${SALT}${TAG}"),
            format!("argon2$argon2id$v=19$m=19456,t=17,p=1${SALT}${TAG}"),
            format!("argon2$argon2id$v=19$m=19456,t=2,p=17${SALT}${TAG}"),
            format!("$2b$16${}", "a".repeat(53)),
            format!("$2b$03${}", "a".repeat(53)),
        ] {
            assert_eq!(StoredHash::parse(&text), None, "{text}");
        }
    }

    #[test]
    fn a_malformed_hash_is_rejected() {
        for text in [
            String::new(),
            "!!".to_owned(),
            "$".to_owned(),
            format!("$argon2id$m=19456,t=2,p=1${SALT}${TAG}"),
            format!("$argon2d$v=19$m=19456,t=2,p=1${SALT}${TAG}"),
            format!("$pbkdf2-sha256$i=+1,l=32${SALT}${TAG}"),
            format!("$pbkdf2-sha256$i=1,l=31${SALT}${TAG}"),
            format!("$pbkdf2-sha256$i=1,l=32,x=1${SALT}${TAG}"),
            format!("$pbkdf2-sha256$i=1,l=32${SALT}${TAG}$"),
            format!("$pbkdf2-sha256$i=1,l=32$${TAG}"),
            format!("$pbkdf2-md5$i=1,l=32${SALT}${TAG}"),
            format!("$scrypt$ln=14,r=8${SALT}${TAG}"),
            format!("$scrypt$ln=16383,r=8,p=1${SALT}${TAG}"),
            format!("$2x$10${}", "a".repeat(53)),
            format!("$2b$10${}", "a".repeat(52)),
            format!("$2b$10${}ä", "a".repeat(51)),
        ] {
            assert_eq!(StoredHash::parse(&text), None, "{text}");
        }
    }

    #[test]
    fn the_most_expensive_hash_of_each_algorithm_is_kept() {
        let hashes = [
            format!("$pbkdf2-sha256$i=1000,l=32${SALT}${TAG}"),
            format!("$pbkdf2-sha256$i=5000,l=32${SALT}${TAG}"),
            format!("$pbkdf2-sha256$i=2000,l=32${SALT}${TAG}"),
            format!("$2b$12${}", "a".repeat(53)),
        ];
        let kept = ForeignHash::most_expensive(hashes.iter().map(|text| foreign(text)));
        let kept: Vec<String> = kept.iter().map(ToString::to_string).collect();
        assert_eq!(kept, [format!("$2b$12${}", ".".repeat(53)), format!("$pbkdf2-sha256$i=5000,l=32${SALT}${TAG}")]);
    }

    #[test]
    fn memory_is_that_of_the_algorithm() {
        assert_eq!(foreign(&format!("argon2$argon2id$v=19$m=102400,t=2,p=8${SALT}${TAG}")).memory(), 100 << 20);
        assert_eq!(foreign(&format!("$scrypt$ln=14,r=8,p=1${SALT}${TAG}")).memory(), (16 << 20) + 1024);
    }
}
