//! A password hash in its stored form.

use argon2::{
    Algorithm, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};

use super::argon::fault;
use crate::service::Error;

/// A parsed hash. Only argon2id is supported, because nothing else was ever stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredHash {
    pub(super) salt: Salt,
    pub(super) tag: Output,
    pub(super) version: Version,
    pub(super) params: Params,
}

impl StoredHash {
    /// Parses a PHC string. Returns `None` if it is invalid or not argon2id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let hash = PasswordHash::new(text).ok().filter(|hash| hash.algorithm == Algorithm::Argon2id.ident())?;
        let params = Params::try_from(&hash).ok()?;
        let version = Version::try_from(hash.version?).ok()?;
        Some(Self { salt: hash.salt?, tag: hash.hash?, version, params })
    }

    /// Formats the PHC string.
    pub fn to_phc(&self) -> Result<String, Error> {
        let hash = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(self.version.into()),
            params: ParamsString::try_from(&self.params).map_err(fault)?,
            salt: Some(self.salt),
            hash: Some(self.tag),
        };
        Ok(hash.to_string())
    }
}
